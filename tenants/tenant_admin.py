"""The admin of tenants, with their keys."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from tenants.forms import ApiKeyForm, LevelForm
from tenants.issuing import ShowsOnce
from tenants.key_page import issued_key
from tenants.level_admin import ON_OFF, fieldset, levels
from tenants.models import ApiKey, Project, Tenant


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
    form = LevelForm
    inlines = (ApiKeyInline,)
    list_display = ("name", "title", "state", "anonymous", "project_count", "key_count", "created_at")
    list_filter = ("enabled", "anonymous")
    search_fields = ("name", "title")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "title", "enabled", "anonymous", "created_at")}),
        *levels(),
        fieldset(
            "End users",
            ("user_requests_per_minute", "user_requests_per_day"),
            ("user_tokens_per_minute", "user_concurrent_requests"),
            description="End users are who a client says that it asks for, with x-gateway-user or in the request's body.",
        ),
        fieldset("Money", "unpriced", "interrupted", "tags"),
        fieldset("Waiting", "queue_weight"),
        fieldset("Stored responses", "store_responses", "response_days", "response_bytes"),
    )
    change_form_outer_before_template = "gateway/page_warnings.html"
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        projects = Project.objects.filter(tenant=OuterRef("pk")).order_by().values("tenant").annotate(n=Count("pk"))
        counted = Coalesce(Subquery(projects.values("n"), output_field=IntegerField()), 0)
        found: QuerySet[Tenant] = super().get_queryset(request)
        return found.annotate(keys_known=Count("keys"), projects_known=counted)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        return ("created_at", "name") if obj else ("created_at",)

    @display(description="state", label=ON_OFF, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, tenant: Tenant) -> str:
        return "on" if tenant.enabled else "off"

    @admin.display(description="keys", ordering="keys_known")
    def key_count(self, tenant: Any) -> int:
        return int(tenant.keys_known)

    @admin.display(description="projects", ordering="projects_known")
    def project_count(self, tenant: Any) -> int:
        return int(tenant.projects_known)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for key, plain in getattr(formset, "issued", ()):
            self.note_issued(request, issued_key(request, key, plain))
