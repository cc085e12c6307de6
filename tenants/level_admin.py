"""What the admin pages of tenants, projects and keys share: the settings of a level, and the switch."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from tenants import switched

ON_OFF = {"on": "success", "off": "danger", "expired": "warning"}
TAB = ("tab",)
LIMITS = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "concurrent_requests")


def fieldset(title: str, *fields: Any, description: str = "") -> tuple[str, dict[str, Any]]:
    """One tab of a page."""
    told = {"description": description} if description else {}
    return title, {"fields": fields, "classes": TAB, **told}


def levels(*more_access: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The tabs of a level. Empty says nothing; of what tenant, project and key say the tightest holds."""
    return (
        fieldset("What it may use", "allowed_models", "denied_models", "allowed_providers", "networks", *more_access),
        fieldset("Limits", LIMITS[:2], LIMITS[2:], ("max_input_tokens", "max_output_tokens")),
        fieldset("Tags and logs", "default_tags", "log_bodies"),
    )


class Switched(switched.Switched):
    """Of what is refused once it is off."""

    @admin.action(description="Turn off: refused within a second", permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        super().disable(request, queryset)
