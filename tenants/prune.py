"""Deletes old usage rows, never their sums: reports stay as they are.

A row stays as long as something may still be computed from it: while a budget's period runs in which it was used (a
budget that is changed begins with what its rows sum up to), and while a correction of it, or what it corrects, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import Max, Q, QuerySet

from tenants import partitions
from tenants.models import Budget, Chore, Usage
from tenants.partitions import Month, first_id
from tenants.statements import writing

KEPT_SINCE = "usage rows are kept since"
BATCH = 2_000
MOST_DAYS = 36_500


class Running(NamedTuple):
    """A budget whose period has begun before the rows that are to stay, and goes on."""

    tenant: str
    budget: str
    since: datetime


@dataclass(slots=True)
class Plan:
    """What goes: rows from before ``cutoff``, a midnight (UTC), but not those of tenants in ``needed`` from then on."""

    cutoff: datetime
    needed: dict[int, datetime] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def needs(self, tenant_id: int, created_at: datetime) -> bool:
        return created_at >= self.cutoff or created_at >= self.needed.get(tenant_id, self.cutoff)


@dataclass(slots=True)
class Count:
    """``rows`` have gone or would go, in batches or with ``months``; the others are older, too, but stay."""

    rows: int = 0
    budgets: int = 0
    corrections: int = 0
    months: list[Month] = field(default_factory=list)


class Facts(NamedTuple):
    id: UUID
    corrects: UUID | None
    tenant_id: int
    created_at: datetime

    @property
    def charge(self) -> UUID:
        return self.corrects or self.id


def kept_since(using: str = "default") -> datetime | None:
    """From when on all rows are there; None if none was ever deleted."""
    return Chore.objects.using(using).filter(name=KEPT_SINCE).values_list("begun_at", flat=True).first()


def plan(days: int, now: datetime) -> Plan:
    """Keep the rows of the last ``days`` whole days and of today. Raises ValueError for days that make no sense."""
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"Rows are kept for 1 to {MOST_DAYS:,} days.")
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = Plan(today - timedelta(days=days))
    for budget in Budget.objects.select_related("tenant").order_by("tenant__name", "name"):
        since = _began(budget, now)
        if since is not None and since < made.cutoff:
            made.needed[budget.tenant_id] = min(since, made.needed.get(budget.tenant_id, since))
            made.running.append(Running(budget.tenant.name, budget.name, since))
    return made


def prune(made: Plan, *, dry: bool = False, using: str = "default") -> Iterator[Count]:
    """Whole months first where they are partitions, then batches: after each what has gone so far. Whoever stops asking
    stops it; no transaction stays open in between."""
    if not dry:
        _remember(made.cutoff, using)
    count = Count()
    for month in _whole_months(made, using):
        rows = _drop(made, month, dry, using)
        if rows is not None:
            count.rows += rows
            count.months.append(month)
            yield count
    last = UUID(int=0)
    while batch := _batch(made, last, count.months if dry else (), using):
        last = batch[-1].id
        gone = _gone(made, batch, count, using)
        if not dry:
            with writing(using):
                Usage.objects.using(using).filter(id__in=gone).delete()
        count.rows += len(gone)
        yield count


def _began(budget: Budget, now: datetime) -> datetime | None:
    """The period that runs; also of a budget that is off, for it may be switched on again."""
    try:
        window = budget.windows().window(now.timestamp())
    except ValueError:
        return None
    return datetime.fromtimestamp(window.start, UTC) if window else None


def _remember(cutoff: datetime, using: str) -> None:
    Chore.objects.using(using).get_or_create(name=KEPT_SINCE, defaults={"begun_at": cutoff})
    Chore.objects.using(using).filter(name=KEPT_SINCE, begun_at__lt=cutoff).update(begun_at=cutoff)


def _batch(made: Plan, last: UUID, without: Iterable[Month], using: str) -> list[Facts]:
    """The oldest rows after ``last``."""
    rows = _rows(using).filter(id__gt=last, id__lt=first_id(made.cutoff)).order_by("id")
    for month in without:
        rows = rows.exclude(id__gte=month.lower, id__lt=month.upper)
    return _facts(rows[:BATCH])


def _rows(using: str) -> QuerySet[Usage]:
    return Usage.objects.using(using)


def _facts(rows: QuerySet[Usage]) -> list[Facts]:
    return [Facts(*values) for values in rows.values_list(*Facts._fields)]


def _gone(made: Plan, batch: Sequence[Facts], count: Count, using: str) -> list[UUID]:
    held = _held(made, batch, using)
    gone = []
    for row in batch:
        if row.created_at >= made.cutoff:  # a clock has stepped back: it is younger than its id
            continue
        if made.needs(row.tenant_id, row.created_at):
            count.budgets += 1
        elif row.charge in held:
            count.corrections += 1
        else:
            gone.append(row.id)
    return gone


def _held(made: Plan, batch: Sequence[Facts], using: str) -> set[UUID]:
    """Charges that stay, with all their corrections, because one of these is needed."""
    charges = {row.charge for row in batch}
    kin = Q(corrects__in=charges) | Q(id__in=[row.corrects for row in batch if row.corrects])
    known = _facts(_rows(using).filter(kin)) if _any_corrections(using) else []
    cutoff = first_id(made.cutoff)
    needed = (row for row in (*batch, *known) if row.id >= cutoff or made.needs(row.tenant_id, row.created_at))
    return {row.charge for row in needed}


def _any_corrections(using: str) -> bool:
    return _rows(using).filter(corrects__isnull=False).exists()


def _whole_months(made: Plan, using: str) -> list[Month]:
    months = partitions.there(connections[using])
    return [month for month in months if month.following.first <= made.cutoff and _goes_whole(made, month, using)]


def _goes_whole(made: Plan, month: Month, using: str) -> bool:
    within: dict[str, Any] = {"id__gte": month.lower, "id__lt": month.upper}
    latest = _rows(using).filter(**within).values_list("tenant_id").annotate(Max("created_at")).order_by()
    if any(made.needs(tenant_id, created_at) for tenant_id, created_at in latest):
        return False
    corrections = _rows(using).filter(corrects__isnull=False)
    of_it = Q(corrects__gte=month.lower, corrects__lt=month.upper)
    return not corrections.filter(of_it).exclude(**within).union(corrections.filter(**within).exclude(of_it)).exists()


def _drop(made: Plan, month: Month, dry: bool, using: str) -> int | None:
    """How many rows go with it; None if one has come meanwhile that stays."""
    if dry:
        return _rows(using).filter(id__gte=month.lower, id__lt=month.upper).count()
    with writing(using):
        rows = _rows(using).filter(id__gte=month.lower, id__lt=month.upper).count()
        if not _goes_whole(made, month, using):
            return None
        partitions.drop(connections[using], month)
    return rows
