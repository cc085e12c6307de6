# ruff: noqa: S608  table names come from the model
"""Monthly partitions of usage rows on PostgreSQL: ranges of ids, which begin with the time. Elsewhere there are none.

Those of this month and the next two are there before they are needed. What a clock makes that has jumped goes to the
default partition, and from there to its month's, should that be made later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper

from tenants.statements import writing

TABLE = "tenants_usage"
AHEAD = 2
_MONTH, _DEFAULT, _OLD = f"{TABLE}_p", f"{TABLE}_default", f"{TABLE}_old"
_EARLIEST = (2020, 1)
_PATIENCE = "SET LOCAL lock_timeout = '5s'"
"""Who waits for a lock on the table makes all others wait behind it."""

_ARE_THERE = """
SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass(%s)
"""
_MONTHS_OF_ROWS = f"""
SELECT DISTINCT date_trunc('month', to_timestamp(('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000)
    AT TIME ZONE 'UTC') FROM {TABLE}
"""
_INDEXES = """
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%s) AND NOT indisprimary
"""
_PRIMARY = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'p'
"""


class Month(NamedTuple):
    """Of the calendar, in UTC. Its partition holds ids from ``lower`` on, before ``upper``."""

    year: int
    month: int

    @property
    def first(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def following(self) -> Month:
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def lower(self) -> UUID:
        return first_id(self.first)

    @property
    def upper(self) -> UUID:
        return self.following.lower

    @property
    def table(self) -> str:
        return f"{_MONTH}{self.year:04}{self.month:02}"


def first_id(moment: datetime) -> UUID:
    """The least UUIDv7 of then."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def month_of(moment: datetime) -> Month:
    moment = moment.astimezone(UTC)
    return Month(moment.year, moment.month)


def ahead(now: datetime) -> list[Month]:
    """This month and the next ones, which must be there."""
    months = [month_of(now)]
    for _ in range(AHEAD):
        months.append(months[-1].following)
    return months


def there(connection: BaseDatabaseWrapper) -> list[Month]:
    """Whose partitions there are, the oldest first; none where the table has no partitions."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        return sorted(month for name in _names(cursor) if (month := _read(name)) is not None)


def make_ahead(now: datetime, using: str = "default") -> list[Month]:
    """Make the partitions that are missing of this month and the next ones; which they were. Raises OperationalError when
    somebody else keeps the table locked."""
    return make(ahead(now), using)


def make(months: Sequence[Month], using: str = "default") -> list[Month]:
    """As ``make_ahead``, of any months."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not set(months) - set(there(connection)):
        return []
    with writing(using), connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
        names = _names(cursor)
        missing = [month for month in months if names and month.table not in names]
        for month in missing:
            _make(cursor, month)
    return missing


def drop(connection: BaseDatabaseWrapper, month: Month) -> None:
    """Within a transaction in which nobody else writes usage."""
    with connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
        cursor.execute(f"DROP TABLE {month.table}")


def partition(editor: BaseDatabaseSchemaEditor, now: datetime) -> None:
    """Make partitions of the whole table and move its rows there."""
    with editor.connection.cursor() as cursor:
        begun = {Month(found.year, found.month) for found in _months_of_rows(cursor)}
        months = sorted({month for month in begun if _EARLIEST <= month <= ahead(now)[-1]} | set(ahead(now)))
        _rebuild(cursor, months)


def unpartition(editor: BaseDatabaseSchemaEditor) -> None:
    """Make one table of it again."""
    with editor.connection.cursor() as cursor:
        _rebuild(cursor, [])


def _rebuild(cursor: CursorWrapper, months: list[Month]) -> None:
    """The same table with the same indexes, in partitions if there are ``months``."""
    cursor.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    cursor.execute(_INDEXES, [TABLE])
    indexes = [definition.replace(" ON ONLY ", " ON ", 1) for (definition,) in cursor.fetchall()]
    cursor.execute(_PRIMARY, [TABLE])
    ((name, primary),) = cursor.fetchall()
    cursor.execute(f"ALTER TABLE {TABLE} RENAME TO {_OLD}")
    way = " PARTITION BY RANGE (id)" if months else ""
    cursor.execute(f"CREATE TABLE {TABLE} (LIKE {_OLD} INCLUDING DEFAULTS INCLUDING CONSTRAINTS){way}")
    for month in months:
        cursor.execute(f"CREATE TABLE {month.table} PARTITION OF {TABLE} {_values(month)}")
    if months:
        cursor.execute(f"CREATE TABLE {_DEFAULT} PARTITION OF {TABLE} DEFAULT")
    cursor.execute(f"INSERT INTO {TABLE} SELECT * FROM {_OLD}")
    cursor.execute(f"DROP TABLE {_OLD}")
    cursor.execute(f'ALTER TABLE {TABLE} ADD CONSTRAINT "{name}" {primary}')
    for definition in indexes:
        cursor.execute(definition)
    cursor.execute(f"ANALYZE {TABLE}")


def _make(cursor: CursorWrapper, month: Month) -> None:
    """With what the default partition holds of the month."""
    cursor.execute(f"CREATE TABLE {month.table} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    moved = f"DELETE FROM {_DEFAULT} WHERE id >= %s AND id < %s RETURNING *"
    cursor.execute(f"WITH moved AS ({moved}) INSERT INTO {month.table} SELECT * FROM moved", [month.lower, month.upper])
    cursor.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {month.table} {_values(month)}")


def _values(month: Month) -> str:
    return f"FOR VALUES FROM ('{month.lower}') TO ('{month.upper}')"


def _names(cursor: CursorWrapper) -> set[str]:
    cursor.execute(_ARE_THERE, [TABLE])
    return {name for (name,) in cursor.fetchall()}


def _read(name: str) -> Month | None:
    digits = name.removeprefix(_MONTH)
    return Month(int(digits[:4]), int(digits[4:])) if len(digits) == 6 and digits.isdecimal() else None


def _months_of_rows(cursor: CursorWrapper) -> list[datetime]:
    cursor.execute(_MONTHS_OF_ROWS)
    return [found for (found,) in cursor.fetchall()]
