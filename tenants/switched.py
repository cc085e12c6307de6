"""Admins of rows that are turned on and off."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class Switched:
    """Actions that turn rows on and off."""

    actions: Any = ("enable", "disable")

    @admin.action(description="Turn on", permissions=("change",))
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        _switch(queryset, True)

    @admin.action(description="Turn off", permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        _switch(queryset, False)


def _switch(queryset: QuerySet[Any], enabled: bool) -> None:
    for row in queryset:  # one by one: update() would make no revision
        row.enabled = enabled
        row.save(update_fields=("enabled",))
