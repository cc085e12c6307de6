# ruff: noqa: S608  table and column names come from the models
"""The part of ``tenants.ledger_check`` that is about rows and their sums.

Two sides are made one table, the second with its signs turned: what is equal cancels out, and only the rest comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from tenants import histogram
from tenants.compared import Compared, Span
from tenants.models import TagDay, TagHour, Usage, UsageDay, UsageHour
from tenants.statements import ROLLUP_SUMS
from tenants.usage import Sums

_USAGE = f'"{Usage._meta.db_table}"'
_CHARGE = "kind = 'charge'"
_USED = "(status < 400 OR input_tokens > 0 OR output_tokens > 0)"
_ADDED = {
    "requests": f"CASE WHEN {_CHARGE} THEN 1 ELSE 0 END",
    "errors": f"CASE WHEN {_CHARGE} AND (status >= 400 OR error_kind <> '') THEN 1 ELSE 0 END",
    "cost": "COALESCE(cost, 0)",
    "unpriced": f"CASE WHEN {_CHARGE} AND cost IS NULL AND {_USED} THEN 1 ELSE 0 END",
    "duration_us": f"CASE WHEN {_CHARGE} THEN duration_us ELSE 0 END",
}
"""What a row adds to its sums, where that is not simply its column: as tenants.rollups counts."""
_HOUR_OF = {
    "postgresql": "date_trunc('hour', created_at, 'UTC')",
    "sqlite": "substr(created_at, 1, 13) || ':00:00'",
}
_MIDNIGHT_OF = {
    "postgresql": "date_trunc('day', start, 'UTC')",
    "sqlite": "substr(start, 1, 10) || ' 00:00:00'",
}
_DAY_OF = {
    "postgresql": "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "sqlite": "substr(created_at, 1, 10)",
}
_TAGS_OF = {
    "postgresql": " CROSS JOIN LATERAL jsonb_array_elements_text(declared) AS tags(value)",
    "sqlite": f" JOIN json_each({_USAGE}.declared) AS tags",
}
_LONG = timedelta(days=14)
_NAMES = ("present", *ROLLUP_SUMS)


def rows_and_hours(connection: BaseDatabaseWrapper, title: str, model: type[Sums], span: Span) -> Compared:
    keys = {name: name for name in model.KEY} | {"start": _HOUR_OF[connection.vendor]}
    source = _USAGE
    if model is TagHour:
        keys["tag"], source = "tags.value", _USAGE + _TAGS_OF[connection.vendor]
    sums = ", ".join(f"SUM({_ADDED.get(name, name)}) AS {name}" for name in ROLLUP_SUMS)
    rows = f"{_grouped(keys, sums, source)} WHERE {_created(connection, span)} GROUP BY {_places(keys)}"
    return _compare(connection, title, rows, model, (span.start, span.end))


def hours_and_days(
    connection: BaseDatabaseWrapper, title: str, hour: type[Sums], day: type[Sums], span: Span
) -> Compared:
    """Of whole days."""
    keys = {name: name for name in hour.KEY} | {"start": _MIDNIGHT_OF[connection.vendor]}
    sums = ", ".join(f"SUM({name}) AS {name}" for name in ROLLUP_SUMS)
    rows = f"{_grouped(keys, sums, _table(hour))} WHERE start >= %s AND start < %s GROUP BY {_places(keys)}"
    return _compare(connection, title, rows, day, span.whole_days())


def _created(connection: BaseDatabaseWrapper, span: Span) -> str:
    """In the span. SQLite would take the index for any; most of a table is read faster in its own order."""
    column = "+created_at" if connection.vendor == "sqlite" and span.end - span.start > _LONG else "created_at"
    return f"{column} >= %s AND {column} < %s"


def _grouped(keys: dict[str, str], sums: str, source: str) -> str:
    columns = ", ".join(f"{value} AS {name}" for name, value in keys.items())
    return f"SELECT {columns}, 1 AS present, {sums} FROM {source}"


def _places(keys: dict[str, str]) -> str:
    return ", ".join(map(str, range(1, len(keys) + 1)))


def _table(model: type[Sums]) -> str:
    return f'"{model._meta.db_table}"'


def _compare(
    connection: BaseDatabaseWrapper, title: str, left: str, model: type[Sums], bounds: tuple[datetime, datetime]
) -> Compared:
    found, keys = Compared(title), ", ".join(model.KEY)
    turned = ", ".join(f"-{name} AS {name}" for name in ROLLUP_SUMS)
    right = f"SELECT {keys}, -1 AS present, {turned} FROM {_table(model)} AS kept WHERE start >= %s AND start < %s"
    sums = ", ".join(f"SUM({name}) AS {name}" for name in _NAMES)
    differ = " OR ".join(f"SUM({name}) <> 0" for name in _NAMES)
    sql = f"SELECT {keys}, {sums} FROM ({left} UNION ALL {right}) AS sides GROUP BY {keys} HAVING {differ}"
    values = _values(connection, bounds)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {_table(model)} WHERE start >= %s AND start < %s", values)
        found.sums = cursor.fetchone()[0]
        cursor.execute(sql, values * 2)
        for row in cursor:
            found.tell(_difference(model, row))
    return found


def _values(connection: BaseDatabaseWrapper, bounds: Sequence[datetime]) -> list[Any]:
    return [connection.ops.adapt_datetimefield_value(bound) for bound in bounds]


def _difference(model: type[Sums], row: Sequence[Any]) -> str:
    """What the left side has more."""
    key = [f"{name} {value}" for name, value in zip(model.KEY, row, strict=False)]
    present, *sums = row[len(model.KEY) :]
    side = {1: ["only on the left"], -1: ["only on the right"]}.get(int(present), [])
    more = [f"{name} {int(value):+,}" for name, value in zip(ROLLUP_SUMS, sums, strict=True) if value]
    return f"{', '.join(key)}: {', '.join(side + more)}"


def latencies(connection: BaseDatabaseWrapper, rows: Span, span: Span) -> Compared:
    """The histograms of each day: of its rows, of its hours and of itself; and of tags, of their hours and of themselves."""
    found = Compared("latencies")
    of_rows = _of_rows(connection, rows)
    hours, days, tag_hours, tag_days = (
        _stored(connection, model, span) for model in (UsageHour, UsageDay, TagHour, TagDay)
    )
    (first, last), (first_of_rows, _) = _dates(span), _dates(rows)
    for day in sorted(of_rows.keys() | hours.keys() | days.keys() | tag_hours.keys() | tag_days.keys()):
        if not first <= day < last:
            continue
        found.sums += 1
        if day >= first_of_rows and of_rows.get(day, 0) != hours.get(day, 0):
            found.tell(f"{day}: the hours have other latencies than the rows")
        if hours.get(day, 0) != days.get(day, 0):
            found.tell(f"{day}: the day has other latencies than its hours")
        if tag_hours.get(day, 0) != tag_days.get(day, 0):
            found.tell(f"{day}: the day has other latencies than its hours, by tag")
    return found


def _dates(span: Span) -> tuple[str, str]:
    first, last = span.whole_days()
    return first.date().isoformat(), last.date().isoformat()


def _stored(connection: BaseDatabaseWrapper, model: type[Sums], span: Span) -> dict[str, int]:
    """By day, of those that have any."""
    sums: dict[str, int] = {}
    with connection.cursor() as cursor:
        sql = f"SELECT start, latency FROM {_table(model)} WHERE start >= %s AND start < %s"
        cursor.execute(sql, _values(connection, (span.start, span.end)))
        for start, latency in cursor:
            day = str(start)[:10]
            sums[day] = sums.get(day, 0) + histogram.unpack(bytes(latency))
    return {day: total for day, total in sums.items() if total}


def _of_rows(connection: BaseDatabaseWrapper, span: Span) -> dict[str, int]:
    """By day, counted by the database."""
    bucket, values = "width_bucket(duration_us, %s::bigint[])", [histogram.edges()]
    if connection.vendor == "sqlite":
        connection.connection.create_function("latency_bucket", 1, histogram.bucket, deterministic=True)
        bucket, values = "latency_bucket(duration_us)", []
    day = _DAY_OF[connection.vendor]
    sql = (
        f"SELECT {day}, {bucket}, COUNT(*) FROM {_USAGE} WHERE {_CHARGE} AND {_created(connection, span)} GROUP BY 1, 2"
    )
    sums: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, *_values(connection, (span.start, span.end))])
        for found, number, count in cursor:
            sums[found] = sums.get(found, 0) + histogram.ONE[number] * count
    return sums
