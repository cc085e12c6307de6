"""Hourly and daily sums of usage rows, kept by the drain in the rows' own transaction: always exactly their sum.

A correction adds its tokens and cost, but is no request. An error is a request with a status from 400 on or with an
error kind, so a client that left counts as one. ``unpriced`` counts requests that used something without a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import add, attrgetter
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from tenants import histogram
from tenants.ledger import Entry
from tenants.models import Rollup, UsageDay, UsageHour

HOUR, DAY = 3600, 86400

KEY = ("start", "tenant_id", "key_id", "route", "provider_id")
NAMES = ("tenant", "key", "provider")
SUMS = ("requests", "errors", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost", "unpriced", "duration_us")

Key = tuple[int, int, int, str, int]
"""Of KEY; the start in whole hours since the epoch."""

_CHUNK = 200
_key_and_names = attrgetter("tenant_id", "key_id", "route", "provider_id", *NAMES)
_tokens = attrgetter(*SUMS[2:7])


class Sum:
    """What the rows of one key add to its rollup."""

    __slots__ = ("latency", "names", "sums")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sums = [0] * len(SUMS)
        self.latency = 0

    def count(self, entry: Entry) -> None:
        tokens, cost = _tokens(entry), entry.cost
        if entry.kind != "charge":
            self.sums = list(map(add, self.sums, (0, 0, *tokens, cost or 0, 0, 0)))
            return
        error = entry.status >= 400 or entry.error_kind != ""
        unpriced = cost is None and (entry.status < 400 or entry.input_tokens > 0 or entry.output_tokens > 0)
        self.sums = list(map(add, self.sums, (1, error, *tokens, cost or 0, unpriced, entry.duration_us)))
        self.latency += histogram.one(entry.duration_us)

    def include(self, other: Sum) -> None:
        self.names = other.names
        self.sums = list(map(add, self.sums, other.sums))
        self.latency += other.latency


def hourly(entries: Iterable[Entry]) -> dict[Key, Sum]:
    """The sums of entries by hour, tenant, key, route and provider."""
    sums: dict[Key, Sum] = {}
    for entry in entries:
        tenant_id, key_id, route, provider_id, *names = _key_and_names(entry)
        key = (int(entry.created_at // HOUR), tenant_id, key_id, route, provider_id)
        found = sums.get(key)
        if found is None:
            found = sums[key] = Sum(tuple(names))
        found.count(entry)
    return sums


def daily(hours: dict[Key, Sum]) -> dict[Key, Sum]:
    """The same sums by day."""
    sums: dict[Key, Sum] = {}
    for (hour, *rest), addition in hours.items():
        key = (hour - hour % 24, *rest)
        found = sums.get(key)
        if found is None:
            found = sums[key] = Sum(addition.names)
        found.include(addition)
    return sums
