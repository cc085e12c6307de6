"""The usage report: what was used in a period, by tenant, project, key, model, provider, tag or day. Reads rollups only.

``report`` is what the admin's page, the REST API and the CSV file are made of.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import CharField, Max, Q, QuerySet, Sum
from django.db.models.functions import Cast

from tenants import histogram
from tenants.models import ApiKey, TagDay, TagHour, UsageDay, UsageHour
from tenants.statements import ROLLUP_SUMS
from tenants.usage import Sums

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SUMS = tuple(name for name in ROLLUP_SUMS if name != "duration_us")

_GROUPS: dict[str, tuple[tuple[str, ...], *tuple[str, ...]]] = {
    "tenant": (("tenant_id",), "tenant"),
    "project": (("project_id", "tenant_id"), "project", "tenant"),  # without a project there is one 0 for each tenant
    "key": (("key_id", "tenant_id"), "key", "tenant"),
    "model": (("route",),),
    "provider": (("provider_id",), "provider"),
    "tag": (("tag", "tenant_id"), "tag", "tenant"),
    "day": (("at",),),
}
_OF_TAGS = ("tenant", "tag", "day")
"""What is known of a tag: its tenant and its time."""
BY = tuple(_GROUPS)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_NAMES = {name: name for name in ("tenant", "project", "key", "provider", "tag")} | {"model": "route"}


@dataclass(slots=True)
class Row:
    """One line of a report. ``id`` is the tenant's, project's, key's or provider's, None for a model, a tag or a day; a
    day's name is 2026-01-31. ``tenant`` is whose project, key or tag it is, else empty. ``cost`` is nano-dollars, of those requests
    that had a price; ``unpriced`` counts the others. ``p50_us`` and ``p95_us`` are microseconds, at most 5 % off, None
    without requests. Input includes cache reads and writes, output includes reasoning.
    """

    name: str
    id: int | None = None
    tenant: str = ""
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    p50_us: int | None = None
    p95_us: int | None = None


def whole_hours(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The period that a report from ``start`` until ``end`` covers: rollups know whole hours, so both bounds move
    outwards to the hour. In UTC. Raises ValueError for a time without a zone."""
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("A report's bounds need a time zone.")
    # Nothing was used before or after, and the calendar has an end.
    start, end = (min(max(bound, _EARLIEST), _LATEST).astimezone(UTC) for bound in (start, end))
    first, last = start.replace(minute=0, second=0, microsecond=0), end.replace(minute=0, second=0, microsecond=0)
    return first, last if last == end else last + HOUR


def report(start: datetime, end: datetime, by: str, filters: Mapping[str, str | int] | None = None) -> list[Row]:
    """What was used from ``start`` until ``end`` (aware, widened to ``whole_hours``, the end not included).

    ``by`` is one of BY: a row for each tenant, project, key, model (the route's name), provider, tag or day (UTC).
    ``filters`` narrows to one ``tenant``, ``project``, ``key``, ``model``, ``provider`` or ``tag``, each by name (str) or id
    (int; not for a model or a tag). A request counts in each of its declared tags, and tags are known only by tenant
    and time: ``fits`` says with what they go together. Days come in order, idle ones between them included; anything else by cost, then requests, most first.
    Nothing found is an empty list. Raises ValueError for another ``by``, an unknown filter or a naive time.
    """
    if by not in _GROUPS:
        raise ValueError(f"A report is by one of {', '.join(BY)}, not by {by!r}.")
    if not fits(by, filters or ()):
        raise ValueError("A report of tags is by tenant, tag or day, and of no more than a tenant.")
    condition = _condition(filters or {})
    hours, days = (TagHour, TagDay) if _of_tags(by, filters or ()) else (UsageHour, UsageDay)
    groups: dict[Any, _Group] = defaultdict(_Group)
    for model, first, last in _parts(hours, days, *whole_hours(start, end)):
        _read(model._default_manager.filter(condition, start__gte=first, start__lt=last), by, groups)
    rows = [group.finish(key) for key, group in groups.items()]
    if by == "day":
        return list(_with_idle_days(sorted(rows, key=lambda row: row.name)))
    return sorted(rows, key=lambda row: (-row.cost, -row.requests, row.name, row.tenant))


def fits(by: str, filters: Collection[str]) -> bool:
    """Whether there are sums of that."""
    return not _of_tags(by, filters) or {by, *filters} <= set(_OF_TAGS)


def _of_tags(by: str, filters: Collection[str]) -> bool:
    return "tag" in {by, *filters}


def as_csv(rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a CSV file, header first, for streaming. Costs are US dollars, exact; times are milliseconds. A text
    that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay numbers."""
    writer = csv.writer(_Line())
    names = [field.name for field in fields(Row)]
    yield writer.writerow(
        [{"cost": "cost_usd", "p50_us": "p50_ms", "p95_us": "p95_ms"}.get(name, name) for name in names]
    )
    for row in rows:
        yield writer.writerow([_cell(name, value) for name, value in zip(names, astuple(row), strict=True)])


def _condition(filters: Mapping[str, str | int]) -> Q:
    condition = Q()
    for name, value in filters.items():
        if name not in _NAMES or (name in ("model", "tag") and isinstance(value, int)):
            raise ValueError(f"A report cannot be filtered by {name} {value!r}.")
        if isinstance(value, int):
            condition &= Q((f"{name}_id", value))
        elif name == "key":  # the one name that may change: rows from before and after count
            condition &= Q(key=value) | Q(
                key_id__in=list(ApiKey.objects.filter(name=value).values_list("id", flat=True))
            )
        else:
            condition &= Q((_NAMES[name], value))
    return condition


def _parts(
    hours: type[Sums], days: type[Sums], start: datetime, end: datetime
) -> Iterator[tuple[type[Sums], datetime, datetime]]:
    """Whole days from ``days``, the rest from ``hours``."""
    first, last = start.replace(hour=0), end.replace(hour=0)
    if first < start:
        first += DAY
    if first > last:
        yield hours, start, end
        return
    for model, since, until in ((hours, start, first), (days, first, last), (hours, last, end)):
        if since < until:
            yield model, since, until


class _Group:
    """What becomes one row, while rollups are added to it."""

    __slots__ = ("latency", "newest", "row")

    def __init__(self) -> None:
        self.row, self.latency, self.newest = Row(""), 0, ""

    def add(self, newest: str, names: Sequence[str], sums: Sequence[int]) -> None:
        for column, number in zip(SUMS, sums, strict=True):
            setattr(self.row, column, getattr(self.row, column) + int(number))  # PostgreSQL sums to Decimal
        if newest >= self.newest:  # a key goes by its last name
            self.newest, self.row.name, self.row.tenant = newest, names[0], (*names, "")[1]

    def finish(self, key: tuple[Any, ...]) -> Row:
        self.row.id = key[0] if isinstance(key[0], int) else None
        self.row.p50_us, self.row.p95_us = histogram.quantiles(self.latency, 0.5, 0.95)
        return self.row


def _read(query: QuerySet[Any], by: str, groups: dict[Any, _Group]) -> None:
    """Add what ``query`` finds to its groups: numbers summed by the database, histograms here."""
    # As text, which costs a tenth of a datetime; it begins with the day in both databases.
    query = query.annotate(at=Cast("start", CharField()))
    columns, *names = _GROUPS[by]
    width, shown = len(columns), len(columns) + 1 + len(names)
    sums = query.values(*columns, *names).annotate(newest=Max("at"), **{f"sum_{name}": Sum(name) for name in SUMS})
    for found in sums.values_list(*columns, "newest", *names, *(f"sum_{name}" for name in SUMS)):
        key = _key(by, found[:width])
        groups[key].add(found[width], found[width + 1 : shown] or key, found[shown:])
    latencies: dict[tuple[Any, ...], int] = defaultdict(int)
    for found in query.values_list(*columns, "latency"):
        latencies[found[:width]] += histogram.unpack(found[width])
    for found, latency in latencies.items():
        groups[_key(by, found)].latency += latency


def _key(by: str, found: Sequence[Any]) -> tuple[Any, ...]:
    return (found[0][:10],) if by == "day" else tuple(found)


def _with_idle_days(rows: list[Row]) -> Iterator[Row]:
    following: date | None = None
    for row in rows:
        day = date.fromisoformat(row.name)
        while following is not None and following < day:
            yield Row(following.isoformat())
            following += DAY
        yield row
        following = day + DAY


class _Line:
    """A file for csv.writer: what is written is what ``writerow`` returns."""

    def write(self, line: str) -> str:
        return line


def _cell(name: str, value: Any) -> str | int:
    if value is None:
        return ""
    if name == "cost":
        return f"{'-' * (value < 0)}{abs(value) // 10**9}.{abs(value) % 10**9:09d}"
    if name in ("p50_us", "p95_us"):
        return str(round(value / 1000, 3))
    return inert(value) if isinstance(value, str) else value


def inert(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
