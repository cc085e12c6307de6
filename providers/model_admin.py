"""The admin of the models that providers say they have: what each can do is the operator's to say."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from providers.abilities import FLAGS, ability_of
from providers.chat import BadRequest
from providers.forms import UpstreamModelForm
from providers.models import UpstreamModel


class SaidFilter(admin.SimpleListFilter):
    title = "abilities"
    parameter_name = "abilities"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("said", "said by the operator")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UpstreamModel]) -> QuerySet[UpstreamModel]:
        return queryset.exclude(abilities={}) if self.value() == "said" else queryset


@admin.register(UpstreamModel)
class UpstreamModelAdmin(ModelAdmin):  # type: ignore[misc]
    """The rows are what providers say of themselves, save the abilities."""

    form = UpstreamModelForm
    list_display = ("name", "provider", "can_do", "seen_at")
    list_filter = (SaidFilter, "provider")
    list_select_related = ("provider",)
    search_fields = ("name",)
    search_help_text = "A part of a model's name"
    fields = ("provider", "name", "abilities", "can_do", "seen_at", "details")
    readonly_fields = ("can_do", "seen_at", "details")
    warn_unsaved_form = True

    def get_readonly_fields(self, request: HttpRequest, obj: UpstreamModel | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "provider", "name") if obj else self.readonly_fields

    @admin.display(description="what is known of it")
    def can_do(self, row: UpstreamModel) -> str:
        """As requests are judged by it: the provider's word, and the operator's over that."""
        try:
            ability = ability_of(row.details, row.abilities)
        except BadRequest as error:
            return f"{error.field} {error.message}"
        if ability is None:
            return "nothing: it gets every request"
        words = [f"{ability.context_length:,} tokens"] if ability.context_length else []
        return ", ".join([*words, *(f"{'' if able else 'no '}{FLAGS[flag]}" for flag, able in ability.flags)])
