"""Hourly and daily sums of usage rows, kept by the drain in the rows' own transaction: always exactly their sum.

A correction adds its tokens and cost, but is no request. An error is a request with a status from 400 on or with an
error kind, so a client that left counts as one. ``unpriced`` counts requests that used something without a price.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from tenants import histogram
from tenants.ledger import Entry
from tenants.models import Rollup, TagDay, TagHour, UsageDay, UsageHour
from tenants.statements import ROLLUP_SUMS, Row, Statements
from tenants.usage import Sums

HOUR = 3600

Key: TypeAlias = tuple[Any, ...]
"""Of a model's KEY; the start in whole hours since the epoch."""

_key_and_names = attrgetter(*Rollup.KEY[1:], *Rollup.NAMES)
_tokens = attrgetter(*ROLLUP_SUMS[2:7])


class Sum:
    """What the rows of one key add to its rollup."""

    __slots__ = ("latency", "names", "sums")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sums = [0] * len(ROLLUP_SUMS)
        self.latency = 0

    def count(self, entry: Entry) -> None:
        tokens, cost = _tokens(entry), entry.cost
        if entry.kind != "charge":
            self.sums = list(map(operator.add, self.sums, (0, 0, *tokens, cost or 0, 0, 0)))
            return
        error = entry.status >= 400 or entry.error_kind != ""
        unpriced = cost is None and (entry.status < 400 or entry.input_tokens > 0 or entry.output_tokens > 0)
        self.sums = list(map(operator.add, self.sums, (1, error, *tokens, cost or 0, unpriced, entry.duration_us)))
        self.latency += histogram.one(entry.duration_us)

    def include(self, other: Sum) -> None:
        self.names = other.names
        self.sums = list(map(operator.add, self.sums, other.sums))
        self.latency += other.latency


def hourly(entries: Iterable[Entry]) -> dict[Key, Sum]:
    """The sums of entries by hour, tenant, project, key, route and provider."""
    sums: dict[Key, Sum] = {}
    for entry in entries:
        tenant_id, project_id, key_id, route, provider_id, *names = _key_and_names(entry)
        key = (int(entry.created_at // HOUR), tenant_id, project_id, key_id, route, provider_id)
        found = sums.get(key)
        if found is None:
            found = sums[key] = Sum(tuple(names))
        found.count(entry)
    return sums


def tagged(entries: Iterable[Entry]) -> dict[Key, Sum]:
    """The sums of entries by hour, tenant and declared tag; an entry counts once for each tag."""
    sums: dict[Key, Sum] = {}
    for entry in entries:
        for tag in dict.fromkeys(entry.declared):
            key = (int(entry.created_at // HOUR), entry.tenant_id, tag)
            found = sums.get(key)
            if found is None:
                found = sums[key] = Sum((entry.tenant,))
            found.count(entry)
    return sums


def daily(hours: Mapping[Key, Sum]) -> dict[Key, Sum]:
    """The same sums by day."""
    sums: dict[Key, Sum] = {}
    for key, addition in hours.items():
        day = (key[0] - key[0] % 24, *key[1:])
        found = sums.get(day)
        if found is None:
            found = sums[day] = Sum(addition.names)
        found.include(addition)
    return sums


def store(statements: Statements, entries: Sequence[Entry]) -> None:
    """Add entries, stored as rows in the same transaction, to the rollups. Raises what the database raises."""
    _store(statements, UsageHour, UsageDay, hourly(entries))
    _store(statements, TagHour, TagDay, tagged(entries))


def _store(statements: Statements, hour: type[Sums], day: type[Sums], sums: Mapping[Key, Sum]) -> None:
    rows = add(statements, hour, sums)
    starts = {key[0] for key in sums}
    if len(starts) == 1:  # nearly always: the day's additions are the hour's
        start = starts.pop()
        midnight = statements.time((start - start % 24) * HOUR)
        statements.add(day, [(midnight, *row[1:]) for row in rows])
    else:
        add(statements, day, daily(sums))


def add(statements: Statements, model: type[Sums], sums: Mapping[Key, Sum]) -> list[Row]:
    """Add ``sums``, by hour or by day as ``model`` is, to its rows; what was added."""
    if not sums:
        return []
    starts = {hour: statements.time(hour * HOUR) for hour in {key[0] for key in sums}}
    rows: list[Row] = [
        (starts[key[0]], *key[1:], *addition.names, *addition.sums, histogram.pack(addition.latency))
        for key, addition in sums.items()
    ]
    statements.add(model, rows)
    return rows
