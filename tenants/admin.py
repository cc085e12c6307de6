"""The admin of tenants and their keys. Operators and usage have modules of their own, imported here to be registered."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from tenants import operator_admin, report_views, response_admin, usage_admin
from tenants.forms import ApiKeyForm
from tenants.issuing import Rotates, ShowsOnce
from tenants.key_page import issued_key
from tenants.models import ApiKey, Tenant

#: Modules that register their models when they are imported.
__all__ = ("operator_admin", "response_admin", "usage_admin")
ON_OFF = {"on": "success", "off": "danger", "expired": "warning"}


class KeyFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    """Issues a key for each new row; the admin takes them from ``issued``."""

    def save_new(self, form: ModelForm[ApiKey], commit: bool = True) -> ApiKey:
        key: ApiKey = super().save_new(form, commit=False)
        self.issued: list[tuple[ApiKey, str]] = [*getattr(self, "issued", ()), (key, key.issue())]
        key.save()
        return key


class ApiKeyInline(TabularInline):  # type: ignore[misc]
    model = ApiKey
    form = ApiKeyForm
    formset = KeyFormSet
    fields = ("name", "prefix", "enabled", "expires_at", "allowed_models")
    readonly_fields = ("prefix",)
    per_page = 20
    show_change_link = True
    verbose_name_plural = "keys: a new one is shown once, after saving"

    def get_extra(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1


@admin.register(Tenant)
class TenantAdmin(ShowsOnce):
    inlines = (ApiKeyInline,)
    list_display = ("name", "title", "state", "anonymous", "key_count", "created_at")
    list_filter = ("enabled", "anonymous")
    search_fields = ("name", "title")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "title", "enabled", "anonymous", "created_at")}),
        ("Stored responses", {"fields": ("store_responses", "response_days", "response_bytes")}),
    )
    change_form_outer_before_template = "gateway/page_warnings.html"
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        found: QuerySet[Tenant] = super().get_queryset(request).annotate(keys_known=Count("keys"))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        return ("created_at", "name") if obj else ("created_at",)

    @display(description="state", label=ON_OFF, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, tenant: Tenant) -> str:
        return "on" if tenant.enabled else "off"

    @admin.display(description="keys", ordering="keys_known")
    def key_count(self, tenant: Any) -> int:
        return int(tenant.keys_known)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for key, plain in getattr(formset, "issued", ()):
            self.note_issued(request, issued_key(request, key, plain))


@admin.register(ApiKey)
class ApiKeyAdmin(Rotates):
    issued = staticmethod(issued_key)
    form = ApiKeyForm
    list_display = ("name", "tenant", "prefix", "state", "expires_at", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("tenant",)
    search_fields = ("prefix", "name", "tenant__name")
    search_help_text = "A part of the key's name, of its first characters or of its tenant's name"
    autocomplete_fields = ("tenant",)
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("tenant", "name", "prefix", "enabled", "expires_at")}),
        ("What it may use", {"fields": ("allowed_models", "allowed_providers", "may_choose_provider")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("prefix", "tenant") if obj else ("prefix",)

    @display(description="state", label=ON_OFF, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, key: ApiKey) -> str:
        return "expired" if key.expired else "on" if key.enabled else "off"

    @admin.action(description="Turn on", permissions=("change",))
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        _switch(queryset, True)

    @admin.action(description="Turn off: refused within a second", permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        _switch(queryset, False)


def _switch(queryset: QuerySet[ApiKey], enabled: bool) -> None:
    for key in queryset:  # one by one: update() would make no revision
        key.enabled = enabled
        key.save(update_fields=("enabled",))


site: Any = admin.site
site.extra_urls = report_views.urls  # how unfold takes pages of no model
