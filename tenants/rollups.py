"""Hourly and daily sums of usage rows, kept by the drain in the rows' own transaction: always exactly their sum.

A correction adds its tokens and cost, but is no request. An error is a request with a status from 400 on or with an
error kind, so a client that left counts as one. ``unpriced`` counts requests that used something without a price.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tenants import histogram
from tenants.columns import Columns
from tenants.models import Rollup, TagDay, TagHour, UsageDay, UsageHour
from tenants.statements import ROLLUP_SUMS, Row, Statements
from tenants.usage import Sums

HOUR = 3600

Key: TypeAlias = tuple[Any, ...]
"""Of a model's KEY; the start in whole hours since the epoch."""


class Sum:
    """What the rows of one key add to its rollup."""

    __slots__ = ("latency", "names", "sums")

    def __init__(self, names: tuple[str, ...], sums: Sequence[int] = (0,) * len(ROLLUP_SUMS), latency: int = 0) -> None:
        self.names, self.sums, self.latency = names, sums, latency

    def include(self, other: Sum) -> None:
        self.names = other.names
        self.sums = list(map(operator.add, self.sums, other.sums))
        self.latency += other.latency


class Additions:
    """What each entry adds to the sums of its keys."""

    def __init__(self, columns: Columns) -> None:
        kinds, statuses, costs = columns["kind"], columns["status"], columns["cost"]
        inputs, outputs = columns["input_tokens"], columns["output_tokens"]
        requests = [kind == "charge" for kind in kinds]
        errors = [
            request and (status >= 400 or error != "")
            for request, status, error in zip(requests, statuses, columns["error_kind"], strict=True)
        ]
        unpriced = [
            cost is None and request and (status < 400 or given > 0 or made > 0)
            for request, cost, status, given, made in zip(requests, costs, statuses, inputs, outputs, strict=True)
        ]
        known = [cost or 0 for cost in costs]
        durations = [us if request else 0 for request, us in zip(requests, columns["duration_us"], strict=True)]
        tokens = [columns[name] for name in ROLLUP_SUMS[2:7]]
        self._sums = list(zip(requests, errors, *tokens, known, unpriced, durations, strict=True))
        self._latencies = [histogram.one(us) if one else 0 for one, us in zip(requests, durations, strict=True)]

    def of(self, places: list[int], names: tuple[str, ...]) -> Sum:
        """Of the entries at these places."""
        sums = [self._sums[place] for place in places]
        return Sum(names, list(map(sum, zip(*sums, strict=True))), sum([self._latencies[place] for place in places]))


def hourly(columns: Columns, additions: Additions | None = None) -> dict[Key, Sum]:
    """The sums of entries by hour, tenant, project, key, route and provider."""
    places: defaultdict[Key, list[int]] = defaultdict(list)
    for place, key in enumerate(zip(_hours(columns), *map(columns.__getitem__, Rollup.KEY[1:]), strict=True)):
        places[key].append(place)
    names = [columns[name] for name in Rollup.NAMES]
    additions = additions or Additions(columns)
    return {key: additions.of(found, tuple([column[found[-1]] for column in names])) for key, found in places.items()}


def tagged(columns: Columns, additions: Additions | None = None) -> dict[Key, Sum]:
    """The sums of entries by hour, tenant and declared tag; an entry counts once for each tag."""
    if not any(columns["declared"]):
        return {}
    tenants, places = columns["tenant"], defaultdict[Key, list[int]](list)
    found = zip(_hours(columns), columns["tenant_id"], columns["declared"], strict=True)
    for place, (hour, tenant_id, tags) in enumerate(found):
        for tag in dict.fromkeys(tags):
            places[hour, tenant_id, tag].append(place)
    additions = additions or Additions(columns)
    return {key: additions.of(found, (tenants[found[-1]],)) for key, found in places.items()}


def _hours(columns: Columns) -> list[int]:
    return [int(moment // HOUR) for moment in columns["created_at"]]


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


def store(statements: Statements, columns: Columns) -> None:
    """Add entries, stored as rows in the same transaction, to the rollups. Raises what the database raises."""
    if not columns:
        return
    additions = Additions(columns)
    _store(statements, UsageHour, UsageDay, hourly(columns, additions))
    _store(statements, TagHour, TagDay, tagged(columns, additions))


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
