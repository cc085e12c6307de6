# ruff: noqa: S608  table names come from the models
"""The part of ``tenants.ledger_check`` that is about budgets: what their windows have spent and what they have granted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Min, QuerySet
from django.utils import timezone

from tenants.compared import Compared, Span
from tenants.labels import read_subject
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseIncrease, LeaseWindow
from tenants.leases import Key
from tenants.models import Budget, Usage

_COUNTER = re.compile(r"b[0-9]+\.([0-9]+)")
"""Of a budget; the number after the dot rises with each change of what it counts."""

_CHARGED = f"""
SELECT charged_to, SUM(COALESCE(cost, 0)), MAX(CASE WHEN bound_exceeded THEN 1 ELSE 0 END), MIN(revision)
FROM "{Usage._meta.db_table}" WHERE charged_to <> '' AND kind <> 'correction' GROUP BY charged_to
"""
_REST = "CASE WHEN granted > settled THEN granted - settled ELSE 0 END"
_GRANTED = f"""
SELECT windows.counter, windows.subject, windows.start, windows.granted, COALESCE(held.rest, 0)
FROM "{LeaseWindow._meta.db_table}" AS windows
LEFT JOIN (SELECT window_id, SUM({_REST}) AS rest FROM "{HeldLease._meta.db_table}" GROUP BY window_id) AS held
ON held.window_id = windows.id WHERE windows.granted <> COALESCE(held.rest, 0)
"""
_LOST = f"""
SELECT owner, number, {_REST} FROM "{HeldLease._meta.db_table}" AS held WHERE granted > settled
AND NOT EXISTS (SELECT 1 FROM "{LeaseWindow._meta.db_table}" AS windows WHERE windows.id = held.window_id)
"""


@dataclass(slots=True)
class Charged:
    """To one window, by rows. ``revision`` is the first configuration under which that was done."""

    amount: int = 0
    exceeded: bool = False
    revision: int | None = None

    def include(self, amount: int, exceeded: bool, revision: int) -> None:
        self.amount += amount
        self.exceeded |= exceeded
        self.revision = revision if self.revision is None else min(self.revision, revision)


class Window(NamedTuple):
    counter: str
    subject: str
    start: int
    cap: int
    granted: int
    spent: int

    @property
    def key(self) -> Key:
        return self.counter, self.subject, self.start


def spent(using: str, span: Span, kept: datetime | None, charged: Mapping[Key, Charged]) -> Compared:
    """What each window has spent is what the rows cost that name it. One that began with what another one had spent, when
    its budget was changed, has spent no less."""
    found, charged = Compared("spent = charged"), dict(charged)
    running, carried, skipped = _running(using), _first_windows(using), 0
    for window in _windows(using, span):
        told = charged.pop(window.key, Charged()).amount
        if kept and window.start < kept.timestamp() and (window.counter, window.start) not in running:
            skipped += 1
            continue
        found.sums += 1
        if window.spent > told and carried.get(window.counter) == window.start:
            found.note(f"{_name(window.key)}: began with {window.spent - told:,}, when the budget was changed")
        elif window.spent != told:
            found.tell(f"{_name(window.key)}: spent {window.spent:,}, rows {told:,}, {window.spent - told:+,}")
    if skipped:
        found.note(f"{skipped:,} windows have ended, and rows of their time were deleted")
    _without_window(found, using, span, charged)
    return found


def _without_window(found: Compared, using: str, span: Span, charged: dict[Key, Charged]) -> None:
    """What was charged to windows that are not there. Those of deleted budgets were never made."""
    known = set(LeaseCounter.objects.using(using).values_list("name", flat=True))
    for key, told in charged.items():
        if told.amount and key[0] in known and _within(key[2], span):
            found.tell(f"{_name(key)}: no such window, rows {told.amount:,}")


def granted(connection: BaseDatabaseWrapper) -> Compared:
    """What each window has granted, of budgets and of limits, is what its leases have left."""
    found = Compared("granted = held", LeaseWindow.objects.using(connection.alias).count())
    with connection.cursor() as cursor:
        cursor.execute(_GRANTED)
        for counter, subject, start, amount, held in cursor:
            key = (counter, subject, start)
            found.tell(f"{_name(key)}: granted {amount:,}, held {int(held):,}, {amount - int(held):+,}")
        cursor.execute(_LOST)
        for owner, number, rest in cursor:
            found.tell(f"{owner} holds {rest:,} as its lease {number}, of no window")
    return found


def within_caps(using: str, span: Span, charged: Mapping[Key, Charged]) -> Compared:
    """What each window of a hard budget has granted and spent is no more than its cap, unless that was another one
    meanwhile or a provider has billed more than anything could cost."""
    found = Compared("granted + spent ≤ cap")
    budgets = {budget.counter: budget for budget in Budget.objects.using(using).filter(hard=True)}
    raised = set(LeaseIncrease.objects.using(using).values_list("counter", flat=True))
    carried = _first_windows(using)
    for window in _windows(using, span):
        budget = budgets.get(window.counter)
        if budget is None:
            continue
        found.sums += 1
        over = window.granted + window.spent - max(window.cap, budget.amount)
        if over <= 0:
            continue
        told = charged.get(window.key, Charged())
        changed = told.revision is None or told.revision < budget.changed_revision
        if told.exceeded or changed or window.counter in raised or carried.get(window.counter) == window.start:
            why = "a bound was exceeded" if told.exceeded else "the budget was changed"
            found.note(f"{_name(window.key)}: {over:,} over its cap, for {why}")
        else:
            found.tell(f"{_name(window.key)}: {over:,} over its cap of {max(window.cap, budget.amount):,}")
    return found


def charges(connection: BaseDatabaseWrapper) -> dict[Key, Charged]:
    """By window of a budget. Few texts are told apart, for all rows of a period name the same windows."""
    sums: dict[Key, Charged] = {}
    with connection.cursor() as cursor:
        cursor.execute(_CHARGED)
        for text, amount, exceeded, revision in cursor:
            for key in _read(text):
                sums.setdefault(key, Charged()).include(int(amount), bool(exceeded), revision)
    return sums


def _read(text: str) -> Iterator[Key]:
    """The budgets' windows of ``Usage.charged_to``: the subject may have slashes."""
    for line in text.split("\n"):
        counter, _, rest = line.partition("/")
        subject, _, start = rest.rpartition("/")
        if _COUNTER.fullmatch(counter) and start.isdecimal():
            yield counter, read_subject(subject), int(start)


def _windows(using: str, span: Span) -> Iterator[Window]:
    """Of budgets, that began in ``span``."""
    rows = LeaseWindow.objects.using(using).filter(
        counter__startswith="b", start__gte=span.start.timestamp(), start__lt=span.end.timestamp()
    )
    for values in _ordered(rows).values_list(*Window._fields).iterator():
        window = Window(*values)
        if _COUNTER.fullmatch(window.counter):
            yield window


def _ordered(rows: QuerySet[LeaseWindow]) -> QuerySet[LeaseWindow]:
    return rows.order_by("counter", "subject", "start")


def _within(start: int, span: Span) -> bool:
    return span.start.timestamp() <= start < span.end.timestamp()


def _running(using: str) -> set[tuple[str, int]]:
    """The windows that have not ended: no row that was charged to them is ever deleted."""
    running, now = set(), timezone.now().timestamp()
    for budget in Budget.objects.using(using):
        try:
            window = budget.windows().window(now)
        except ValueError:
            continue
        if window is not None:
            running.add((budget.counter, window.start))
    return running


def _first_windows(using: str) -> dict[str, int]:
    """When those counters began that took the place of others."""
    rows = LeaseWindow.objects.using(using).filter(counter__startswith="b").values_list("counter")
    firsts = rows.annotate(Min("start")).order_by()
    return {counter: start for counter, start in firsts if (found := _COUNTER.fullmatch(counter)) and int(found[1]) > 1}


def _name(key: Key) -> str:
    counter, subject, start = key
    begun = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M}" if 0 <= start < 2**37 else str(start)
    return f"{counter}{'/' if subject else ''}{subject} from {begun}"
