"""The admin of keys: what each may do, seen as it, rotated, and issued by the hundred."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import ForeignKey
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from unfold.decorators import action, display

from tenants.bulk_page import bulk_page
from tenants.forms import ApiKeyForm
from tenants.issuing import Rotates
from tenants.key_page import issued_key
from tenants.last_used import Listed, last_used
from tenants.level_admin import ON_OFF, Switched, levels
from tenants.models import ApiKey
from tenants.see_as_key import see_page

DAY = 86_400
BASICS: tuple[str, ...] = ("tenant", "project", "name", "prefix", "enabled", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(Switched, Rotates):
    issued = staticmethod(issued_key)
    form = ApiKeyForm
    overlaps = ((0, "no time"), (3600, "one hour"), (DAY, "24 hours"), (7 * DAY, "7 days"))
    list_display = ("name", "tenant", "project", "prefix", "state", "used", "expires_at", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("tenant", "project")
    list_fullwidth = True
    search_fields = ("prefix", "name", "tenant__name", "project__name")
    search_help_text = "A part of the key's name, of its first characters, of its tenant's or its project's name"
    autocomplete_fields = ("tenant", "project")
    actions_detail = ("see_as_key", "rotate")
    actions_list = ("bulk_issue",)
    change_form_outer_before_template = "tenants/key_before.html"
    fieldsets = (
        (None, {"fields": BASICS}),
        *levels("scopes", "may_choose_provider", "may_explain"),
    )

    class Media:
        js = ("gateway/key.js",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Listed]:
        return Listed

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return ((None, {"fields": (*BASICS, "used")}), *self.fieldsets[1:]) if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("prefix", "tenant", "used") if obj else ("prefix",)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        match = request.resolver_match
        object_id = match.kwargs.get("object_id") if match is not None else None
        if field is not None and db_field.name == "project" and object_id:
            key = self.get_object(request, object_id)
            field.widget.attrs["data-of-tenant"] = key.tenant_id if key is not None else ""
        return field

    @display(description="state", label=ON_OFF, ordering="enabled")  # type: ignore[untyped-decorator]
    def state(self, key: ApiKey) -> str:
        return "expired" if key.expired else "on" if key.enabled else "off"

    @admin.display(description="last used")
    def used(self, key: ApiKey) -> str:
        listed: str | None = getattr(key, "used", None)
        return listed or last_used([key.pk]).get(key.pk, "never")

    # pages

    def get_urls(self) -> list[URLPattern]:
        end = self.admin_site.admin_view(self.end_previous)
        return [path("<path:object_id>/end-previous/", end, name="tenants_apikey_end_previous"), *super().get_urls()]

    def end_previous(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ends the overlap of a rotation."""
        key = self.get_object(request, object_id)
        if key is None or not self.has_change_permission(request, key):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with transaction.atomic():
            key.end_previous()
            key.save()
            self.log_change(request, key, "Ended the key before the last rotation.")
        messages.success(request, "The previous key is refused within a second.")
        return HttpResponseRedirect(self.page_of(key))

    @action(description="See as key", url_path="see", icon="visibility", permissions=("view",))  # type: ignore[untyped-decorator]
    def see_as_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What holds for it, and which level says so."""
        key = self.get_object(request, object_id)
        if key is None or not self.has_view_permission(request, key):
            raise PermissionDenied
        return see_page(request, self.admin_site, key, self.page_of(key))

    @action(description="Issue many", url_path="bulk", icon="playlist_add", permissions=("add",))  # type: ignore[untyped-decorator]
    def bulk_issue(self, request: HttpRequest) -> HttpResponse:
        """Keys from a CSV file."""
        return bulk_page(request, self.admin_site)
