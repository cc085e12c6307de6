"""The admin's list of requests: read-only, and quick at millions of rows.

Nothing here counts, sorts or searches without an index: pages know no total, filters stand on indexed columns, times are
ranges of the primary key (a UUIDv7 begins with its time), and search is for exactly one request id.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tenants import logged_admin
from tenants.figures import dollars, duration
from tenants.models import Usage
from tenants.read_only import LongList, ReadOnly
from tenants.usage_filters import (
    EndUserFilter,
    ErrorFilter,
    MarkFilter,
    PeriodFilter,
    ProviderFilter,
    RouteFilter,
    TenantFilter,
)


@admin.register(Usage)
class UsageAdmin(LongList, ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = (
        "when",
        "request_id",
        "tenant",
        "key",
        "user",
        "route",
        "provider",
        "outcome",
        "tokens_in",
        "tokens_out",
        "price",
        "took",
    )
    list_display_links = ("when", "request_id")
    list_filter = (PeriodFilter, ErrorFilter, MarkFilter, TenantFilter, EndUserFilter, ProviderFilter, RouteFilter)
    search_fields = ("request_id__exact",)
    search_help_text = "A whole request id"
    list_fullwidth = True
    fieldsets = (
        (None, {"fields": ("id", "request_id", "when", "kind", "corrects", "status", "error_kind")}),
        ("Who", {"fields": ("tenant", "project", "key", "key_prefix", "client_ip", "user", "tags", "declared")}),
        ("What", {"fields": ("dialect", "endpoint", "model", "stream", "route", "revision")}),
        (
            "Where",
            {"fields": ("provider", "upstream_model", "upstream_request_id", "upstream_response_id", "attempts")},
        ),
        ("Why there", {"fields": ("why",)}),
        (
            "How much",
            {
                "fields": (
                    "input_tokens",
                    "cache_read_tokens",
                    "cache_write_tokens",
                    "output_tokens",
                    "reasoning_tokens",
                    "estimated",
                    "price",
                    "cost",
                    "price_version",
                    "service_tier",
                    "billed",
                    "charged_to",
                    "interrupted",
                    "bound_exceeded",
                )
            },
        ),
        ("How long", {"fields": ("took", "first_byte", "duration_us", "first_byte_us")}),
    )
    readonly_fields = ("when", "user", "why", "price", "took", "first_byte", "logged")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        may_read = request.user.has_perm(logged_admin.READ)
        return (*self.fieldsets, ("What was said", {"fields": ("logged",)})) if may_read else self.fieldsets

    @admin.display(description="time (UTC)")
    def when(self, row: Usage) -> str:
        return f"{row.created_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="end user")
    def user(self, row: Usage) -> str:
        """As a link to all that this one asked for."""
        if not row.end_user:
            return ""
        url = f"{reverse('admin:tenants_usage_changelist')}?{urlencode({EndUserFilter.parameter_name: row.end_user})}"
        return format_html('<a class="gw-link" href="{}">{}</a>', url, row.end_user)

    @display(description="outcome", label={"ok": "success", "cancelled": "warning", "failed": "danger"})  # type: ignore[untyped-decorator]
    def outcome(self, row: Usage) -> tuple[str, str]:
        colour = (
            "cancelled" if row.error_kind == "cancelled" else "failed" if row.error_kind or row.status >= 400 else "ok"
        )
        return colour, f"{row.status} {row.error_kind}".strip()

    @admin.display(description="bodies")
    def logged(self, row: Usage) -> str:
        return logged_admin.links(row)

    @admin.display(description="in")
    def tokens_in(self, row: Usage) -> str:
        return f"{row.input_tokens:,}"

    @admin.display(description="out")
    def tokens_out(self, row: Usage) -> str:
        return f"{row.output_tokens:,}"

    @admin.display(description="cost")
    def price(self, row: Usage) -> str:
        return dollars(row.cost)

    @admin.display(description="decision")
    def why(self, row: Usage) -> SafeString:
        # Its words are routing's, whose template this is.
        return render_to_string("gateway/request_decision.html", {"original": row})

    @admin.display(description="time taken")
    def took(self, row: Usage) -> str:
        return duration(row.duration_us)

    @admin.display(description="to the first byte")
    def first_byte(self, row: Usage) -> str:
        return duration(row.first_byte_us)
