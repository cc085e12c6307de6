"""Corrects charges that were made by another price than holds now, by rows of their own.

The ledger is append-only. A correction is a row of the kind ``correction`` that names the charge and says by how much it
was wrong; a charge and its corrections add up to the new price. It is booked when it is made: ``created_at`` is now, so an
hour, a day or a month that has been reported and billed stays as it was, and the difference stands in the hour of the
correction, under the same tenant, project, key, route, provider and tags. Budgets' windows are not rewritten, neither the
one of the charge, which is over or whose refusals cannot be undone, nor the running one. ``unpriced`` of the charge's hour
stays, too: it was a request without a price then.

Running it again adds nothing. Two runs at once take turns, batch by batch, by the lock of all who write usage.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Sum

from tenants.drain import write
from tenants.ledger import Entry
from tenants.models import Usage
from tenants.price_usage import PriceOf, batches, charges, cost_of, ratable
from tenants.pricing import Price
from tenants.statements import writing
from tenants.units import BadUnits

#: What a correction has from its charge.
COPIED = (
    *(
        "request_id",
        "tenant_id",
        "tenant",
        "project_id",
        "project",
        "key_id",
        "key",
        "key_prefix",
        "dialect",
        "endpoint",
    ),
    *("model", "route", "provider_id", "provider", "target_id", "upstream_model", "status", "service_tier", "end_user"),
)


@dataclass(slots=True)
class Sums:
    """Of charges that were wrong."""

    requests: int = 0
    before: int = 0
    after: int = 0


@dataclass(slots=True)
class Outcome:
    """``wrong`` is by provider and its model. Left alone are those that were ``interrupted``, those ``without`` a price, and
    those whose counts cannot be ``meant``; ``refused`` is what could not be stored, which the log tells."""

    looked: int = 0
    wrong: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    interrupted: int = 0
    without: int = 0
    meant: int = 0
    refused: int = 0


def rerate(start: datetime, end: datetime, price_of: PriceOf, *, dry_run: bool = False, **filters: Any) -> Outcome:
    """Correct the charges of requests taken in from ``start`` until before ``end``, each batch in one transaction.
    ``filters`` are of Usage. Raises the database's errors: what is done then is done, and the rest is for another run."""
    outcome = Outcome()
    for batch in batches(charges(start, end, **filters)):
        with nullcontext() if dry_run else writing("default"):
            entries = list(_corrections(batch, price_of, outcome))
            if entries and not dry_run:
                outcome.refused += write(entries)
    return outcome


def _corrections(batch: Iterable[Usage], price_of: PriceOf, outcome: Outcome) -> Iterator[Entry]:
    rows = list(batch)
    corrected = _corrected(rows)
    for row in rows:
        outcome.looked += 1
        price = _price(row, price_of, outcome)
        if price is None:
            continue
        try:
            after = cost_of(row, price)
        except BadUnits:
            outcome.meant += 1
            continue
        before = (row.cost or 0) + corrected.get(row.id, 0)
        if before == after and (row.cost is not None or row.id in corrected):
            continue
        sums = outcome.wrong[row.provider, row.upstream_model]
        sums.requests, sums.before, sums.after = sums.requests + 1, sums.before + before, sums.after + after
        yield _correction(row, price, after - before)


def _price(row: Usage, price_of: PriceOf, outcome: Outcome) -> Price | None:
    """By what it is to be charged; None: it stays as it is."""
    if not ratable(row):
        outcome.interrupted += row.interrupted
        return None
    price = price_of(row)
    outcome.without += price is None
    return price


def _corrected(rows: Iterable[Usage]) -> dict[UUID, int]:
    """What has been corrected of each already."""
    found = Usage.objects.filter(corrects__in=[row.id for row in rows], kind="correction")
    sums = found.order_by().values_list("corrects").annotate(total=Sum("cost"))
    return {charge: total or 0 for charge, total in sums if charge is not None}


def _correction(row: Usage, price: Price, amount: int) -> Entry:
    entry = Entry(kind="correction", corrects=row.id, created_at=time.time(), cost=amount)
    for name in COPIED:
        setattr(entry, name, getattr(row, name))
    entry.declared = list(row.declared)
    entry.price_version = price.version[:100]
    return entry
