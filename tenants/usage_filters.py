"""Filters of the list of requests: each stands on an indexed column, times on the primary key, which begins with the time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from tenants.models import Tenant, Usage, UsageDay
from tenants.partitions import first_id
from tenants.usage import UNPRICED

PERIODS = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}
KINDS = (
    "invalid_request",
    "auth",
    "permission",
    "unknown_model",
    "rate_limit",
    "budget",
    "overloaded",
    "timeout",
    "network",
    "server_error",
    "cancelled",
    "interrupted",
)
MOST = 100


class PeriodFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [(key, title) for key, (title, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        _, since = PERIODS.get(self.value() or "", ("", None))
        return queryset.filter(id__gte=first_id(timezone.now() - since)) if since else queryset


class ErrorFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [("any", "Any error"), *((kind, kind) for kind in KINDS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        failed = queryset.exclude(error_kind="")
        return failed if self.value() == "any" else failed.filter(error_kind=self.value()) if self.value() else queryset


class MarkFilter(admin.SimpleListFilter):
    """What somebody should look at. Each has an index of its own, with just these rows."""

    title = "marked"
    parameter_name = "marked"

    MARKS = {
        "interrupted": ("Interrupted", Q(interrupted=True)),
        "exceeded": ("Bound exceeded", Q(bound_exceeded=True)),
        "unpriced": ("Without a price", UNPRICED),
    }

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [(key, title) for key, (title, _) in self.MARKS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        _, condition = self.MARKS.get(self.value() or "", ("", None))
        return queryset.filter(condition) if condition else queryset


class _Open(admin.SimpleListFilter):
    """A filter that also takes values that it does not offer: what was deleted, or is one too many."""

    def has_output(self) -> bool:
        return super().has_output() or bool(self.value())


class TenantFilter(_Open):
    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        return [(str(pk), name) for pk, name in Tenant.objects.values_list("id", "name")[:MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return queryset.filter(tenant_id=int(self.value() or 0)) if (self.value() or "").isdecimal() else queryset


class _Recent(_Open):
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


class EndUserFilter(_Open):
    """One that a row names: there may be millions, so none is offered but the one that was chosen."""

    title = "end user"
    parameter_name = "end_user"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Usage]) -> Iterable[tuple[str, str]]:
        chosen = request.GET.get(self.parameter_name, "")
        return [(chosen, chosen)] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        # The second condition is the index's own: without it no plan can use it.
        return queryset.filter(end_user=self.value()).exclude(end_user="") if self.value() else queryset
