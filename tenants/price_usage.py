"""What rows of usage cost by prices of now: the same sum that their requests were charged by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from tenants.models import Usage
from tenants.pricing import Price, cost
from tenants.units import COUNTED, NAMES, BadUnits, Units

#: Gives the price of a row's model at its provider, at its time.
PriceOf = Callable[[Usage], Price | None]
BATCH = 500


def units_of(row: Usage) -> Units:
    """What was used: the columns, and of ``billed`` what has none. Raises BadUnits."""
    try:
        told = json.loads(row.billed) if row.billed else {}
    except ValueError:
        told = None
    if not isinstance(told, dict) or not NAMES.issuperset(told):
        raise BadUnits(f"{row.id}: {row.billed[:100]!r} are no units.")
    counted = {name: count for name, count in told.items() if name in COUNTED}
    tokens = {name: count for name, count in told.items() if name not in COUNTED}
    columns = {
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
    }
    return Units(**(tokens | columns), counted=counted)


def cost_of(row: Usage, price: Price) -> int:
    """Raises BadUnits."""
    return cost(price, units_of(row), row.created_at.timestamp(), row.service_tier)


def ratable(row: Usage) -> bool:
    """Whether its charge is a price times what it used. One that was cut off by the death of its process is charged by its
    tenant's policy, perhaps for what it might have used; and what used nothing costs nothing."""
    used = row.status < 400 or row.input_tokens > 0 or row.output_tokens > 0
    return not row.interrupted and bool(row.upstream_model) and (used if row.cost is None else bool(row.price_version))


def charges(start: datetime, end: datetime, **filters: Any) -> QuerySet[Usage]:
    """The charges of requests taken in from ``start`` until before ``end``."""
    return Usage.objects.filter(created_at__gte=start, created_at__lt=end, kind="charge", **filters)


def batches(rows: QuerySet[Usage], size: int = BATCH) -> Iterator[list[Usage]]:
    """All of ``rows`` in the order of their times, by the index of these, and no cursor left open between two batches."""
    ordered = rows.order_by("created_at", "id").defer("decision", "tags", "charged_to")
    batch = list(ordered[:size])
    while batch:
        yield batch
        time, number = batch[-1].created_at, batch[-1].id
        after = Q(created_at__gt=time) | Q(created_at=time, id__gt=number)
        batch = list(ordered.filter(after, created_at__gte=time)[:size])
