"""The admin of workers that hold money, and the release of those whose host is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from tenants import lease_store
from tenants.budget_rows import Budget
from tenants.figures import dollars
from tenants.lease_rows import HeldLease, LeaseOwner, LeaseWindow
from tenants.read_only import ReadOnly

RELEASE = "tenants.change_leaseowner"
"""Nothing else of an owner can be changed, so that this is a permission of its own."""
LIVELY = timedelta(minutes=5)
STATES = {"at work": "success", "silent": "warning", "ended": "info", "released": "danger"}
MOST = 500
LeaseOwner._meta.verbose_name = "worker"  # here, for pages only: its rows and permissions are called what they are
LeaseOwner._meta.verbose_name_plural = "workers that hold money"


def state_of(owner: LeaseOwner) -> str:
    if owner.ended_at is not None:
        return "released" if owner.ended_by else "ended"
    return "at work" if owner.seen_at > timezone.now() - LIVELY else "silent"


def _held(total: Any) -> Coalesce:
    """Of the owner's leases, by what ``total`` says of them."""
    rows = HeldLease.objects.filter(owner=OuterRef("pk")).order_by().values("owner")
    return Coalesce(Subquery(rows.annotate(total=total).values("total")), 0, output_field=IntegerField())


@admin.register(LeaseOwner)
class LeaseOwnerAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "state", "leases", "seen", "ended", "ended_by")
    list_filter = ("ended_at",)
    search_fields = ("name",)
    ordering = ("ended_at", "-seen_at")
    fields = ("worker", "state", "seen", "ended", "ended_by", "holds")
    readonly_fields = fields
    actions_detail = ("release",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LeaseOwner]:
        found: QuerySet[LeaseOwner] = super().get_queryset(request).annotate(leases_held=_held(Count("pk")))
        return found

    def has_view_permission(self, request: HttpRequest, obj: LeaseOwner | None = None) -> bool:
        return request.user.has_perm("tenants.view_leaseowner") or request.user.has_perm(RELEASE)

    def has_release_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm(RELEASE)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": "Workers that hold money", **(extra_context or {})})

    @admin.display(description="worker")
    def worker(self, owner: LeaseOwner) -> str:
        return owner.name

    @display(description="state", label=STATES)  # type: ignore[untyped-decorator]
    def state(self, owner: LeaseOwner) -> str:
        return state_of(owner)

    @admin.display(description="slices held", ordering="leases_held")
    def leases(self, owner: Any) -> int:
        return int(owner.leases_held)

    @admin.display(description="last seen (UTC)", ordering="seen_at")
    def seen(self, owner: LeaseOwner) -> str:
        return f"{owner.seen_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="ended (UTC)", ordering="ended_at")
    def ended(self, owner: LeaseOwner) -> str:
        return f"{owner.ended_at:%Y-%m-%d %H:%M:%S}" if owner.ended_at else "-"

    @admin.display(description="what it holds")
    def holds(self, owner: LeaseOwner) -> SafeString:
        return render_to_string("tenants/lease_holds.html", {"rows": held_by(owner.name)})

    @action(description="Release: this host is lost", url_path="release", icon="link_off", permissions=("release",))  # type: ignore[untyped-decorator]
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first. Whoever was seen just now needs to be named by hand."""
        owner = LeaseOwner.objects.filter(pk=unquote(object_id)).first()
        if owner is None or not self.has_release_permission(request):
            raise PermissionDenied
        back = reverse("admin:tenants_leaseowner_change", args=[quote(owner.pk)])
        wrong = request.method == "POST" and request.POST.get("name", "").strip() != owner.name
        if request.method == "POST" and not wrong:
            self._release(request, owner)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Release {owner}",
            "owner": owner,
            "state": state_of(owner),
            "rows": held_by(owner.name),
            "wrong": wrong,
            "back": back,
        }
        return TemplateResponse(request, "tenants/lease_release.html", context, status=400 if wrong else 200)

    def _release(self, request: HttpRequest, owner: LeaseOwner) -> None:
        with transaction.atomic():
            lease_store.release(connection, owner.name, timezone.now(), request.user.get_username()[:150])
            self.log_change(request, owner, "Released: its host is lost.")
        messages.success(request, f"What {owner} held is free again.")


def held_by(owner: str) -> list[dict[str, Any]]:
    """What is left of its slices, by what they are of."""
    left = Greatest(F("granted") - F("settled"), 0)
    sums = (
        HeldLease.objects.filter(owner=owner)
        .values_list("window_id")
        .annotate(total=Sum(left), slices=Count("id"))
        .order_by()
    )
    held = {window: (amount, count) for window, amount, count in sums[:MOST]}
    windows = list(LeaseWindow.objects.filter(pk__in=held).order_by("counter", "subject", "start"))
    budgets = _budgets(windows)
    return [
        {
            "window": window,
            "budget": (budget := budgets.get(window.counter.partition(".")[0])),
            "left": dollars(held[window.pk][0]) if budget else f"{held[window.pk][0]:,}",
            "slices": held[window.pk][1],
        }
        for window in windows
    ]


def _budgets(windows: list[LeaseWindow]) -> dict[str, Budget]:
    """By the first part of their counters' names."""
    firsts = {window.counter.partition(".")[0] for window in windows}
    ids = [int(first[1:]) for first in firsts if first[:1] == "b" and first[1:].isdecimal()]
    return {f"b{row.pk}": row for row in Budget.objects.filter(pk__in=ids).select_related("tenant")}
