"""Leases in the database: what workers are granted, what is charged, and how a lease ends.

Time alone frees nothing. A lease ends by its owner's last exchange and settlement, or by ``end``: for whoever holds a dead
owner's lock and has settled all that is in its spool, and by an operator who knows that a lost host is lost. Until then
it counts as if it were spent.

Everything may be repeated: an exchange that was done is answered again, one that comes after a later one of its owner does
nothing, a settlement is done once for each sequence, and to end what has ended frees nothing twice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Min, Sum

from tenants import lease_statements as statements
from tenants.labels import Label, apart, read_label
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseIncrease, LeaseOwner, LeaseWindow
from tenants.lease_statements import Claim, Claimed, Locked
from tenants.leases import Ask, Grant, Key, crossed, reached
from tenants.leases import OwnerEnded as OwnerEnded
from tenants.periods import NEVER

_HELD = ("number", "pk", "granted", "settled")


class Crossing(NamedTuple):
    """A threshold that a charge has reached. Told once for each window, again after the cap was raised above it."""

    counter: str
    subject: str
    start: int
    percent: int
    spent: int
    cap: int


class Increase(NamedTuple):
    amount: int = 0
    until: int = NEVER


def exchange(
    connection: BaseDatabaseWrapper, owner: str, asks: Sequence[Ask], now: datetime, workers: int = 1
) -> list[Grant]:
    """Answer asks; none, if those of a later exchange have come before. Raises OwnerEnded."""
    using, last = connection.alias, max(ask.sequence for ask in asks)
    with transaction.atomic(using=using):
        begun = statements.begin_exchange(connection, owner, last, now)
        rows = HeldLease.objects.using(using).filter(owner=owner, number__in={ask.number for ask in asks})
        held = {row.number: row for row in rows}
        if not begun:
            return _answer_again(using, owner, asks, held)
        raised = increases(using, {ask.counter for ask in asks}, now)
        grants = []
        for ask in sorted(asks, key=lambda ask: (ask.counter, ask.subject, ask.start)):
            increase = raised.get(ask.counter, Increase())
            grants.append(_exchange_one(connection, owner, ask, held.get(ask.number), increase, now, 2 * workers))
    return grants


def _exchange_one(
    connection: BaseDatabaseWrapper,
    owner: str,
    ask: Ask,
    row: HeldLease | None,
    increase: Increase,
    now: datetime,
    divisor: int,
) -> Grant:
    if row is None and ask.last:
        return _grant(ask, Claimed(0, 0, 0, 0, 0), ask.keep, 0)  # it has ended, or never began
    granted, settled = (row.granted, row.settled) if row else (0, 0)
    # What was charged beyond the lease is spent already: it is no longer asked for.
    debt = max(0, settled - ask.keep)
    back = max(0, granted - settled) - max(0, ask.keep - settled)
    least, need, want = (max(0, amount - debt) for amount in (ask.least, ask.need, ask.want))
    claim = Claim(ask.counter, ask.subject, ask.start, increase.amount, back, least, need, want, divisor)
    claimed = statements.claim(connection, claim, now)
    gone = claimed is None
    claimed = claimed or statements.give_back(connection, claim) or Claimed(0, 0, 0, 0, 0)
    now_granted = ask.keep + debt + claimed.latest
    if ask.last and now_granted <= settled:
        HeldLease.objects.using(connection.alias).filter(owner=owner, number=ask.number).delete()
    else:
        statements.hold(connection, (owner, ask.number, claimed.window_id, now_granted, ask.last))
    left = max(0, now_granted - settled)
    met = claimed.latest >= least and not gone
    return _grant(ask, claimed, now_granted, left, met, increase.until, gone)


def _answer_again(using: str, owner: str, asks: Sequence[Ask], held: Mapping[int, HeldLease]) -> list[Grant]:
    """It has been done, only the answer was lost; or it must not be done any more."""
    known = LeaseOwner.objects.using(using).get(pk=owner)
    if known.ended_at is not None:
        raise OwnerEnded(owner)
    if known.exchanged_through > max(ask.sequence for ask in asks):
        return []
    windows = LeaseWindow.objects.using(using).in_bulk({row.window_id for row in held.values()})
    grants = []
    for ask in asks:
        row = held.get(ask.number)
        window = windows.get(row.window_id) if row else None
        claimed = Claimed(window.pk, window.cap, window.granted, window.spent, 0) if window else Claimed(0, 0, 0, 0, 0)
        granted, left = (row.granted, row.left) if row else (ask.keep, 0)
        grants.append(_grant(ask, claimed, granted, left, granted >= ask.keep + ask.least))
    return grants


def _grant(
    ask: Ask, window: Claimed, granted: int, left: int, met: bool = True, until: int = NEVER, gone: bool = False
) -> Grant:
    pool = max(0, window.cap - window.granted - window.spent)
    return Grant(ask.number, ask.sequence, granted, pool, max(0, window.granted - left), met, until, gone)


def increases(using: str, counters: Iterable[str], now: datetime) -> dict[str, Increase]:
    """What is in force, and until when."""
    rows = LeaseIncrease.objects.using(using).filter(counter__in=list(counters), begins_at__lte=now, ends_at__gt=now)
    sums = rows.values_list("counter").annotate(Sum("amount"), Min("ends_at")).order_by()
    return {counter: Increase(amount, math.floor(ends_at.timestamp())) for counter, amount, ends_at in sums}


def settle(
    connection: BaseDatabaseWrapper, owner: str, charges: Iterable[tuple[str, int]], sequence: int, now: datetime
) -> list[Crossing]:
    """Charge amounts to labels, unless this sequence or a later one of this owner's has been settled. In the transaction
    that stores the rows they are of, as its last statement, since others wait for it; owners in the order of their names.
    What is charged to a lease that has ended, or to none, is charged all the same."""
    with transaction.atomic(using=connection.alias):
        if not statements.begin_settlement(connection, owner, sequence, now):
            return []
        texts: defaultdict[str, int] = defaultdict(int)  # the same come again and again: each is read once
        for text, amount in charges:
            texts[text] += amount
        sums: defaultdict[Label, int] = defaultdict(int)
        for text, amount in apart(texts.items()):
            sums[read_label(text)] += amount
        return _charge(connection, owner, sums, now) if sums else []


def _charge(connection: BaseDatabaseWrapper, owner: str, sums: Mapping[Label, int], now: datetime) -> list[Crossing]:
    spent: defaultdict[Key, int] = defaultdict(int)
    for label, amount in sums.items():
        spent[_window(label)] += amount
    rows = HeldLease.objects.using(connection.alias).filter(owner=owner, number__in={label.number for label in sums})
    held = {number: (pk, granted, so_far) for number, pk, granted, so_far in rows.values_list(*_HELD)}
    freed: defaultdict[Key, int] = defaultdict(int)
    unsure, settled = set(), []
    for label, amount in sums.items():
        if label.number not in held:
            unsure.add(_window(label))
            continue
        pk, granted, before = held[label.number]
        held[label.number] = pk, granted, before + amount
        freed[_window(label)] += max(0, granted - before) - max(0, granted - before - amount)
        settled.append((pk, amount))
    statements.settle_leases(connection, owner, settled)
    changes, crossings = [], []
    windows = statements.lock_windows(connection, list(spent), unsure)
    limits = _limits(connection.alias, {window.counter for window in windows}, now)
    for window in windows:
        key = (window.counter, window.subject, window.start)
        warned, told = _warn(limits, window, window.spent + spent[key])
        changes.append((window.id, freed[key], spent[key], warned))
        crossings += told
    statements.charge_windows(connection, changes)
    return crossings


def _window(label: Label) -> Key:
    return label.counter, label.subject, label.start


class Thresholds(NamedTuple):
    cap: int
    percents: tuple[int, ...]


def _limits(using: str, names: set[str], now: datetime) -> dict[str, Thresholds]:
    """Of those that warn."""
    rows = LeaseCounter.objects.using(using).filter(name__in=names).values_list("name", "cap", "thresholds")
    found = {name: Thresholds(cap, tuple(thresholds)) for name, cap, thresholds in rows if thresholds}
    raised = increases(using, found, now) if found else {}
    return {name: limit._replace(cap=limit.cap + raised.get(name, Increase()).amount) for name, limit in found.items()}


def _warn(limits: Mapping[str, Thresholds], window: Locked, spent: int) -> tuple[int, list[Crossing]]:
    """The highest threshold that is reached, which is less than it was where the cap was raised; and what is to be told."""
    limit = limits.get(window.counter)
    if limit is None:
        return window.warned, []
    told = crossed(limit.percents, limit.cap, spent, window.warned)
    warned = max((percent for percent in limit.percents if reached(percent, limit.cap, spent)), default=0)
    where = (window.counter, window.subject, window.start)
    return warned, [Crossing(*where, percent, spent, limit.cap) for percent in told]


def end(connection: BaseDatabaseWrapper, owner: str, now: datetime, *, quiet: float = 0.0, by: str = "") -> int:
    """Free what is left of an owner's leases, and grant it nothing any more; how many leases remain.

    Call it with the dead owner's lock in hand, or as the owner itself, when all that is in its spool has been settled.
    ``quiet`` is for how many seconds, by a clock that never jumps, it has admitted nothing: what it admitted before still
    counts in trailing windows, so call it again until nothing remains. ``by`` is the operator who says so without proof.
    """
    using = connection.alias
    with transaction.atomic(using=using):
        statements.end_owner(connection, owner, by, now)
        held = list(HeldLease.objects.using(using).filter(owner=owner))
        windows = statements.lock_windows(connection, ids=sorted({row.window_id for row in held})) if held else []
        counters = LeaseCounter.objects.using(using).filter(name__in={window.counter for window in windows})
        seconds = dict(counters.values_list("name", "seconds"))
        waits = {window.id for window in windows if seconds.get(window.counter, 0) > quiet}
        freed: defaultdict[int, int] = defaultdict(int)
        for row in held:
            freed[row.window_id] += row.left
        changes = [(row.id, freed[row.id], 0, row.warned) for row in windows if row.id not in waits]
        statements.charge_windows(connection, changes)
        HeldLease.objects.using(using).filter(owner=owner).exclude(window_id__in=waits).delete()
    return sum(row.window_id in waits for row in held)


def release(connection: BaseDatabaseWrapper, owner: str, now: datetime, by: str) -> None:
    """An operator says that the owner's host is lost. What it charged and has not told comes on top, should it ever
    tell."""
    end(connection, owner, now, quiet=math.inf, by=by)


def forget(connection: BaseDatabaseWrapper, before: datetime) -> int:
    """Delete owners that ended before then and hold nothing; how many they were. Not sooner than their spools are gone."""
    owners = LeaseOwner.objects.using(connection.alias).filter(ended_at__lt=before)
    return owners.exclude(name__in=HeldLease.objects.using(connection.alias).values("owner")).delete()[0]
