"""The SQL that writes usage: compiled once for each database, whole batches at a time.

Microseconds of our own CPU for a row, SQLite / PostgreSQL: usage row 10 / 4, rollup row read 4 / 6, written 4 / 13.
PostgreSQL's executemany takes 22 for each of these and four times the wall time, hence COPY and unnest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Any, Protocol, cast

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tenants.models import Rollup

Row = Sequence[Any]

ROLLUP_KEY = ("start", "tenant_id", "key_id", "route", "provider_id")
ROLLUP_NAMES = ("tenant", "key", "provider")
ROLLUP_SUMS = ("requests", "errors", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost", "unpriced", "duration_us")
ROLLUP_COLUMNS = (*ROLLUP_KEY, *ROLLUP_NAMES, *ROLLUP_SUMS, "latency")

_WRITERS_LOCK = 0x6777_7573_6167_65  # "gwusage": any number that nobody else takes
_CHUNK = 200


class Statements(Protocol):
    """What the drain says to one database. ``keys`` are rows of ROLLUP_KEY, ``rows`` of ROLLUP_COLUMNS, all distinct."""

    def time(self, seconds: float) -> Any:
        """A moment as a parameter. Raises OverflowError or ValueError for one that is no date."""

    def insert(self, model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Raises IntegrityError when one is there already."""

    def latencies(self, model: type[Rollup], keys: Sequence[Row]) -> list[tuple[int, bytes]]:
        """(index in ``keys``, packed histogram) of those that are there."""

    def add(self, model: type[Rollup], rows: Sequence[Row]) -> None:
        """Add the sums to the rows that are there, make the others; ``latency`` and names replace what is there."""


@contextmanager
def writing(using: str) -> Iterator[Statements]:
    """One transaction, in which no other process writes usage. Waits for the others; raises OperationalError when the
    database is away or stays locked."""
    connection = connections[using]
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with transaction.atomic(using=using):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITERS_LOCK])
            yield Postgres(connection)
        return
    # A deferred transaction would take the lock at its first write, and could then only fail, not wait.
    mode = connection.transaction_mode
    connection.transaction_mode = "IMMEDIATE"
    try:
        with transaction.atomic(using=using):
            yield Sqlite(connection)
    finally:
        connection.transaction_mode = mode


class Sqlite:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def time(self, seconds: float) -> str:
        return str(datetime.fromtimestamp(seconds, UTC))[:-6]

    def insert(self, model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(_insert_sql(model, columns), rows)

    def latencies(self, model: type[Rollup], keys: Sequence[Row]) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        with self.connection.cursor() as cursor:
            for first in range(0, len(keys), _CHUNK):
                chunk = keys[first : first + _CHUNK]
                cursor.execute(_latencies_sql(model, len(chunk)), [*chain.from_iterable((first + n, *key) for n, key in enumerate(chunk))])
                found += cursor.fetchall()
        return found

    def add(self, model: type[Rollup], rows: Sequence[Row]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(_insert_sql(model, ROLLUP_COLUMNS) + _add_sql(model), rows)


class Postgres:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def time(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    def insert(self, model: type[models.Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        sql = f"COPY {_table(model)} ({_names(columns)}) FROM STDIN"
        with self.connection.cursor() as cursor, self.connection.wrap_database_errors, cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)

    def latencies(self, model: type[Rollup], keys: Sequence[Row]) -> list[tuple[int, bytes]]:
        source = f"unnest({_arrays(model, ROLLUP_KEY)}) WITH ORDINALITY AS given({_names(ROLLUP_KEY)}, place)"
        sql = f"SELECT given.place - 1, kept.latency FROM {source} JOIN {_table(model)} kept USING ({_names(ROLLUP_KEY)})"  # noqa: S608
        with self.connection.cursor() as cursor:
            cursor.execute(sql, _by_column(keys))
            return cast("list[tuple[int, bytes]]", cursor.fetchall())

    def add(self, model: type[Rollup], rows: Sequence[Row]) -> None:
        sql = f"INSERT INTO {_table(model)} ({_names(ROLLUP_COLUMNS)}) SELECT * FROM unnest({_arrays(model, ROLLUP_COLUMNS)})"  # noqa: S608
        with self.connection.cursor() as cursor:
            cursor.execute(sql + _add_sql(model), _by_column(rows))
