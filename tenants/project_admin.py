"""The admin of projects."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tenants.forms import LevelForm
from tenants.level_admin import ON_OFF, Switched, levels
from tenants.models import Project

LONGEST_ID = 18


@admin.register(Project)
class ProjectAdmin(Switched, ModelAdmin):  # type: ignore[misc]
    form = LevelForm
    list_display = ("name", "tenant", "title", "state", "key_count", "created_at")
    list_filter = ("enabled",)
    ordering = ("tenant__name", "name")
    list_select_related = ("tenant",)
    search_fields = ("name", "title", "tenant__name")
    search_help_text = "A part of the project's name, of its title or of its tenant's name"
    autocomplete_fields = ("tenant",)
    warn_unsaved_form = True
    fieldsets = ((None, {"fields": ("tenant", "name", "title", "enabled", "created_at")}), *levels())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        found: QuerySet[Project] = super().get_queryset(request).annotate(keys_known=Count("keys"))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        return ("created_at", "tenant", "name") if obj else ("created_at",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Project], search_term: str
    ) -> tuple[QuerySet[Project], bool]:
        """Where a key's project is chosen, only those of its tenant: the page says which, in ``of_tenant``."""
        of_tenant = request.GET.get("of_tenant", "")
        if "of_tenant" in request.GET:
            known = of_tenant.isascii() and of_tenant.isdecimal() and len(of_tenant) <= LONGEST_ID
            queryset = queryset.filter(tenant_id=int(of_tenant)) if known else queryset.none()
        found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
        return found

    @display(description="state", label=ON_OFF, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, project: Project) -> str:
        return "on" if project.enabled else "off"

    @admin.display(description="keys", ordering="keys_known")
    def key_count(self, project: Any) -> int:
        return int(project.keys_known)
