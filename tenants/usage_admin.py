"""The admin's list of requests: read-only, and quick at millions of rows.

Nothing here counts, sorts or searches without an index: pages know no total, filters stand on indexed columns, times are
ranges of the primary key (a UUIDv7 begins with its time), and search is for exactly one request id.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from tenants.models import Tenant, Usage, UsageDay

PERIODS = {"hour": ("Last hour", timedelta(hours=1)), "day": ("Last 24 hours", timedelta(days=1)), "week": ("Last 7 days", timedelta(days=7)), "month": ("Last 30 days", timedelta(days=30))}
KINDS = ("invalid_request", "auth", "permission", "unknown_model", "rate_limit", "budget", "overloaded", "timeout", "network", "server_error", "cancelled", "interrupted")
MOST = 100


def first_id(since: timedelta) -> UUID:
    """The least UUIDv7 of ``since`` ago."""
    return UUID(int=int((timezone.now() - since).timestamp() * 1000) << 80)


class PeriodFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [(key, title) for key, (title, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return queryset.filter(id__gte=first_id(PERIODS[self.value() or ""][1])) if self.value() in PERIODS else queryset


class ErrorFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [("any", "Any error"), *((kind, kind) for kind in KINDS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        failed = queryset.exclude(error_kind="")
        return failed if self.value() == "any" else failed.filter(error_kind=self.value()) if self.value() else queryset


class TenantFilter(admin.SimpleListFilter):
    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[int, str]]:
        return list(Tenant.objects.values_list("id", "name")[:MOST])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return queryset.filter(tenant_id=int(self.value() or 0)) if (self.value() or "").isdecimal() else queryset


class _Recent(admin.SimpleListFilter):
    """The values that one column had in the last month, read from the daily sums."""

    column = ""
    label = ""

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        since = timezone.now() - timedelta(days=31)
        rows = UsageDay.objects.filter(start__gte=since).exclude(**{self.label: ""}).order_by(self.label)
        return [(str(value), label) for value, label in rows.values_list(self.column, self.label).distinct()[:MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ProviderFilter(_Recent):
    title, parameter_name, column, label = "provider", "provider", "provider_id", "provider"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return super().queryset(request, queryset) if (self.value() or "").isdecimal() else queryset


class RouteFilter(_Recent):
    title, parameter_name, column, label = "route", "route", "route", "route"


def dollars(nano: int | None) -> str:
    """Nano-dollars as dollars, exactly."""
    if nano is None:
        return "no price"
    whole, rest = divmod(abs(nano), 1_000_000_000)
    cents = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{cents}"


def duration(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds / 1000:,.1f} ms" if microseconds < 1_000_000 else f"{microseconds / 1_000_000:,.2f} s"


@admin.register(Usage)
class UsageAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("created_at", "request_id", "tenant", "key", "route", "provider", "outcome", "tokens_in", "tokens_out", "price", "took")
    list_display_links = ("created_at", "request_id")
    list_filter = (PeriodFilter, ErrorFilter, TenantFilter, ProviderFilter, RouteFilter)
    search_fields = ("request_id__exact",)
    search_help_text = "A whole request id"
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    list_fullwidth = True
    fieldsets = (
        (None, {"fields": ("id", "request_id", "created_at", "kind", "corrects", "status", "error_kind")}),
        ("Who", {"fields": ("tenant", "key", "key_prefix", "client_ip", "end_user", "tags")}),
        ("What", {"fields": ("dialect", "endpoint", "model", "stream", "route", "revision")}),
        ("Where", {"fields": ("provider", "upstream_model", "upstream_request_id", "upstream_response_id", "attempts")}),
        ("How much", {"fields": ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "estimated", "price", "cost")}),
        ("How long", {"fields": ("took", "first_byte", "duration_us", "first_byte_us")}),
    )
    readonly_fields = ("price", "took", "first_byte")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="outcome", label={"ok": "success", "cancelled": "warning", "failed": "danger"})  # type: ignore[untyped-decorator]
    def outcome(self, row: Usage) -> tuple[str, str]:
        colour = "cancelled" if row.error_kind == "cancelled" else "failed" if row.error_kind or row.status >= 400 else "ok"
        return colour, f"{row.status} {row.error_kind}".strip()

    @display(description="in")  # type: ignore[untyped-decorator]
    def tokens_in(self, row: Usage) -> str:
        return f"{row.input_tokens:,}"

    @display(description="out")  # type: ignore[untyped-decorator]
    def tokens_out(self, row: Usage) -> str:
        return f"{row.output_tokens:,}"

    @display(description="cost")  # type: ignore[untyped-decorator]
    def price(self, row: Usage) -> str:
        return dollars(row.cost)

    @display(description="time taken")  # type: ignore[untyped-decorator]
    def took(self, row: Usage) -> str:
        return duration(row.duration_us)

    @display(description="to the first byte")  # type: ignore[untyped-decorator]
    def first_byte(self, row: Usage) -> str:
        return duration(row.first_byte_us)
