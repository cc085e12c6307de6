"""What tests of the drain share: a spool with entries, budgets that they are charged to, what the database then holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from tenants.drain_spools import Spools
from tenants.labels import Label, write_label
from tenants.lease_store import exchange
from tenants.leases import Ask
from tenants.ledger import Entry
from tenants.models import HeldLease, LeaseCounter, LeaseWindow, Usage
from tenants.spool import Spool
from tenants.spool_owners import claim
from tests.usage_entries import an_entry

CAP = 1_000_000
COUNTER = "b7.1"
LABEL = write_label(Label(1, 0, COUNTER, ""))


def spool(root: Path, owner: str = "", **options: Any) -> Spool:
    return Spool(claim(root, owner), **options)


def settled(into: Spool, entries: Iterable[Entry], *, intended: bool = True) -> list[Entry]:
    kept = list(entries)
    for entry in kept:
        if intended:
            into.intend(entry, entry.charges)
        into.settle(entry)
    return kept


def charged(amount: int, label: str = LABEL, **changes: Any) -> Entry:
    return an_entry(cost=amount, charges={label: amount}, **changes)


def budget(name: str = COUNTER, **changes: Any) -> LeaseCounter:
    return LeaseCounter.objects.create(name=name, **{"cap": CAP, **changes})


def lease(owner: str, amount: int, *, counter: str = COUNTER, number: int = 1) -> None:
    """``owner`` is granted ``amount`` of the counter's window."""
    ask = Ask(number, number, counter, "", 0, 0, amount, amount, amount)
    (grant,) = exchange(connection, owner, [ask], timezone.now())
    assert grant.granted == amount


def window(counter: str = COUNTER) -> tuple[int, int]:
    """Granted and spent."""
    row = LeaseWindow.objects.get(counter=counter, subject="", start=0)
    return row.granted, row.spent


def leases() -> int:
    return HeldLease.objects.count()


def ids() -> list[Any]:
    return sorted(Usage.objects.values_list("id", flat=True))


def drained(root: Path, **options: Any) -> Spools:
    """One turn by a drain that has just begun."""
    spools = Spools(root, **options)
    assert spools.turn(sweeping=True)
    return spools
