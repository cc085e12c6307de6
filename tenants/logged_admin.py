"""The admin of logged requests. Whoever looks at one needs a permission of its own, and it is written in the log."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from tenants.logged import Bodies, opened
from tenants.models import LoggedRequest, Usage
from tenants.read_only import LongList
from tenants.sealed import Unreadable
from tenants.usage_filters import TenantFilter

log = logging.getLogger(__name__)
READ = "tenants.read_loggedrequest"
#: Characters of a body that a page shows.
SHOWN = 200_000


def links(usage: Usage) -> SafeString | str:
    """To what is logged of a request."""
    rows = LoggedRequest.objects.filter(usage_id=usage.pk).values_list("pk", "created_at")
    pages = [(reverse("admin:tenants_loggedrequest_change", args=[pk]), f"{at:%Y-%m-%d %H:%M:%S}") for pk, at in rows]
    return format_html_join(", ", '<a class="gw-link" href="{}">logged {}</a>', pages) or "not logged"


@admin.register(LoggedRequest)
class LoggedRequestAdmin(LongList, ModelAdmin):  # type: ignore[misc]
    list_display = ("created_at", "request_id", "tenant", "endpoint", "route", "status", "bytes_stored", "expires_at")
    list_display_links = ("created_at", "request_id")
    list_select_related = ("tenant",)
    list_filter = (TenantFilter,)
    search_fields = ("request_id__exact",)
    search_help_text = "A whole request id"
    fieldsets = (
        (None, {"fields": ("usage", "request_id", "tenant", "endpoint", "route", "model", "status")}),
        ("Bodies", {"fields": ("asked", "request_cut", "answered", "reply_cut", "error")}),
        ("Storage", {"fields": ("size", "created_at", "expires_at")}),
    )
    readonly_fields = ("usage", "asked", "answered", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LoggedRequest]:
        found: QuerySet[LoggedRequest] = super().get_queryset(request).defer("content")
        return found

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm(READ)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.has_view_permission(request):
            log.info("%s reads logged request %s", request.user.get_username(), object_id)
        reply: HttpResponse = super().change_view(request, object_id, *args, **kwargs)
        return reply

    @admin.display(description="size")
    def bytes_stored(self, row: LoggedRequest) -> str:
        return filesizeformat(row.size)

    @admin.display(description="request")
    def usage(self, row: LoggedRequest) -> SafeString:
        page = reverse("admin:tenants_usage_change", args=[row.usage_id])
        return format_html('<a class="gw-link" href="{}">{}</a>', page, row.usage_id)

    @admin.display(description="asked")
    def asked(self, row: LoggedRequest) -> SafeString | str:
        return _shown(row, "request")

    @admin.display(description="answered")
    def answered(self, row: LoggedRequest) -> SafeString | str:
        return _shown(row, "reply")

    @admin.display(description="error")
    def error(self, row: LoggedRequest) -> SafeString | str:
        return _shown(row, "error")


def _shown(row: LoggedRequest, name: str) -> SafeString | str:
    text = _text(getattr(_bodies(row), name))
    more = f"\n… and {len(text) - SHOWN:,} characters more" if len(text) > SHOWN else ""
    return format_html('<pre class="gw-code">{}{}</pre>', text[:SHOWN], more) if text else "(nothing)"


def _bodies(row: LoggedRequest) -> Bodies:
    """Opened once for all fields of a page."""
    found: Bodies | None = getattr(row, "bodies", None)
    if found is None:
        try:
            found = opened(row)
        except Unreadable as error:
            found = Bodies(b"", b"", f"It cannot be read: {error}.")
        row.bodies = found  # type: ignore[attr-defined]
    return found


def _text(body: bytes | str) -> str:
    if isinstance(body, str):
        return body
    text = body.decode("utf-8", "replace")
    if len(text) > SHOWN or not text.startswith(("{", "[")):
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
