"""What a budget begins with that counts something else, or in other periods, than it did.

Nothing is given away by the change: its running window begins with what the ledger says was spent in it by the same
subject, and with what workers held of the counter before, which grants nothing any more. What they give back later
stays counted until the window ends.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import F, QuerySet, Sum, TextField, Value
from django.db.models.functions import Cast, StrIndex
from django.utils import timezone

from tenants import lease_statements as statements
from tenants.lease_rows import LeaseCounter, LeaseIncrease, LeaseWindow
from tenants.periods import Window
from tenants.usage import Usage

if TYPE_CHECKING:
    from tenants.budget_rows import Budget

Spent = dict[str, int]
"""By subject: the end user where each is counted alone, else empty."""


def spent_by_ledger(budget: Budget, window: Window) -> Spent:
    """Nano-dollars that the rows of requests admitted in ``window`` sum up to. One query."""
    rows = _rows(budget).filter(created_at__gte=_moment(window.start), created_at__lt=_moment(window.end))
    if budget.each_alone:
        sums = rows.exclude(end_user="").values_list("end_user").annotate(Sum("cost")).order_by()
        return {user: int(cost or 0) for user, cost in sums}
    return {"": int(rows.aggregate(cost=Sum("cost"))["cost"] or 0)}


def carry(budget: Budget, before: str) -> None:
    """Begin the window of now, in the transaction that changes the budget; ``before`` is its counter until then."""
    held = _close(before)
    LeaseIncrease.objects.filter(counter=before, ends_at__gt=timezone.now()).update(counter=budget.counter)
    window = budget.windows().window(timezone.now().timestamp())
    if window is None:
        return
    spent = spent_by_ledger(budget, window)
    for subject, amount in held.items():
        name = subject if budget.each_alone else ""
        spent[name] = spent.get(name, 0) + amount
    LeaseWindow.objects.bulk_create(
        [
            LeaseWindow(counter=budget.counter, subject=subject, start=window.start, cap=budget.amount, spent=amount)
            for subject, amount in spent.items()
            if amount and (subject or not budget.each_alone)
        ],
        ignore_conflicts=True,
    )


def _close(counter: str) -> Spent:
    """Grant nothing of it any more; what workers hold of it. Its windows stay locked, so that each charge stands in the
    ledger before they are summed up, or is among what is held."""
    LeaseCounter.objects.filter(name=counter).update(cap=0, thresholds=[])
    windows = LeaseWindow.objects.filter(counter=counter, granted__gt=0)
    ids = sorted(windows.values_list("pk", flat=True))
    if not ids:
        return {}
    statements.lock_windows(connection, ids=ids)
    sums = LeaseWindow.objects.filter(pk__in=ids).values_list("subject").annotate(Sum("granted")).order_by()
    return dict(sums)


def _rows(budget: Budget) -> QuerySet[Usage]:
    rows = Usage.objects.filter(tenant_id=budget.tenant_id)
    if budget.of == "project":
        return rows.filter(project_id=budget.project_id or 0)
    if budget.of == "key":
        return rows.filter(key_id=budget.key_id or 0)
    if budget.of == "tag":  # both databases know this, and no case is folded; tags need no escapes
        return rows.annotate(text=Cast(F("tags"), TextField()), at=StrIndex("text", Value(f'"{budget.tag}"'))).filter(
            at__gt=0
        )
    return rows.filter(end_user=budget.end_user) if budget.end_user else rows


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
