"""Budgets of a file for ``manage.py apply``, and their increases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from routing.apply_read import Map
from routing.revision import actor
from tenants.budget_pages import end_early
from tenants.models import Budget, LeaseIncrease, Tenant

if TYPE_CHECKING:
    from routing.apply import _Work


def budgets(work: _Work, parent: Map, tenant: Tenant) -> None:
    rows = Budget.objects.filter(tenant=tenant).select_related("tenant", "project", "key")
    entries, line = work.entries(parent, "budgets"), parent.line_of("budgets")
    for entry, budget in work.section("budget", entries, rows, line, tenant=tenant):
        if "increases" in entry:
            _increases(work, entry, budget)


def _increases(work: _Work, parent: Map, budget: Budget) -> None:
    """By their reasons. Only those that are not over: the others are history, which nobody changes; so that pruning ends
    one early."""
    kind = work.kinds["increase"]
    preset = {"counter": budget.counter, "made_by": actor.get()()[:150] or "apply"}
    kind.check.context["budget"] = budget
    current = list(LeaseIncrease.objects.filter(counter=budget.counter, ends_at__gt=timezone.now()))
    pairs, spare = work.pair(kind, work.entries(parent, "increases"), current, preset)
    for row in spare if work.prune else ():
        end_early(budget, row)
        work.report.lines.append(f"ended {kind.label((row.reason,), preset)} of {budget.name}")
    for entry, row in pairs:
        work.upsert(kind, entry, row, preset)
