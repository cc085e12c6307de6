"""The SQL that writes usage: compiled once for each database, whole batches at a time.

Microseconds of our own CPU for each row, SQLite / PostgreSQL: usage row 8 to 10 / 4, rollup row 6 to 9 / 7 to 12.
PostgreSQL by executemany would take 22 and 35, and three times the wall time: hence COPY and JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, Protocol, cast

import orjson
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tenants import histogram
from tenants.models import Usage
from tenants.rows import COLUMNS, moment
from tenants.usage import Sums

Row = Sequence[Any]

ROLLUP_SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced",
    "duration_us",
)

WRITERS_LOCK = 0x6777_7573_6167_65  # "gwusage": any number that nobody else takes


def columns(model: type[Sums]) -> tuple[str, ...]:
    """Of a row of sums."""
    return (*model.KEY, *model.NAMES, *ROLLUP_SUMS, "latency")


class Statements(Protocol):
    """What the drain says to one database."""

    def time(self, seconds: float) -> Any:
        """A moment as a parameter. Raises OverflowError or ValueError for one that is no date."""

    def insert(self, rows: Sequence[Row]) -> None:
        """Usage rows of ``tenants.rows.COLUMNS``. Raises IntegrityError when one is there already."""

    def add(self, model: type[Sums], sums: Sequence[Row]) -> None:
        """Add sums, rows of ``columns(model)`` with distinct keys, to those that are there; make the others. Numbers and
        histograms add up, names are replaced."""


@contextmanager
def writing(using: str) -> Iterator[Statements]:
    """One transaction, in which no other process writes usage. Waits for the others; raises OperationalError when the
    database is away or stays locked."""
    connection = connections[using]
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITERS_LOCK])
            yield Postgres(connection)
        else:
            # The settings make every transaction IMMEDIATE: it holds SQLite's one write lock from its beginning.
            yield Sqlite(connection)


class Sqlite:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        # Half the time of reading histograms, adding them here and writing them.
        connection.connection.create_function("histogram_add", 2, histogram.add_packed, deterministic=True)

    def time(self, seconds: float) -> str:
        return str(moment(seconds))[:-6]

    def insert(self, rows: Sequence[Row]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(_insert_sql(Usage, COLUMNS), rows)

    def add(self, model: type[Sums], sums: Sequence[Row]) -> None:
        latency = f'histogram_add({_table(model)}."latency", excluded."latency")'
        with self.connection.cursor() as cursor:
            cursor.executemany(_insert_sql(model, columns(model)) + _add_sql(model, latency), sums)


class Postgres:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def time(self, seconds: float) -> datetime:
        return moment(seconds)

    def insert(self, rows: Sequence[Row]) -> None:
        sql = f"COPY {_table(Usage)} ({_names(COLUMNS)}) FROM STDIN"
        with self.connection.cursor() as cursor, self.connection.wrap_database_errors, cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)

    def add(self, model: type[Sums], sums: Sequence[Row]) -> None:
        given = [list(row) for row in sums]
        for place, latency in self._latencies(model, given):
            given[place][-1] = histogram.add_packed(latency, given[place][-1])
        for row in given:
            row[-1] = "\\x" + row[-1].hex()
        names = _names(columns(model))
        sql = f"INSERT INTO {_table(model)} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{_table(model)}, %s)"
        with self.connection.cursor() as cursor:
            cursor.execute(sql + _add_sql(model, 'excluded."latency"'), [_json(columns(model), given)])

    def _latencies(self, model: type[Sums], rows: Sequence[Row]) -> list[tuple[int, bytes]]:
        """(place among ``rows``, packed histogram) of those that are there. Nobody changes them before we do."""
        given = f"json_populate_recordset(NULL::{_table(model)}, %s) WITH ORDINALITY AS given"
        sql = f"SELECT given.ordinality - 1, kept.latency FROM {given} JOIN {_table(model)} kept USING ({_names(model.KEY)})"
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [_json(model.KEY, rows)])
            return cast("list[tuple[int, bytes]]", cursor.fetchall())


def _json(columns: Sequence[str], rows: Sequence[Row]) -> str:
    return orjson.dumps([dict(zip(columns, row, strict=False)) for row in rows]).decode()


def _table(model: type[models.Model]) -> str:
    return f'"{model._meta.db_table}"'


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


@cache
def _insert_sql(model: type[models.Model], columns: Sequence[str]) -> str:
    return f"INSERT INTO {_table(model)} ({_names(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"


@cache
def _add_sql(model: type[Sums], latency: str) -> str:
    """The tail of an INSERT into ``model`` that adds to what is there; ``latency`` is the sum of the histograms."""
    sums = [f'"{name}" = {_table(model)}."{name}" + excluded."{name}"' for name in ROLLUP_SUMS]
    replaced = [f'"{name}" = excluded."{name}"' for name in model.NAMES]
    return f' ON CONFLICT ({_names(model.KEY)}) DO UPDATE SET {", ".join(sums + replaced)}, "latency" = {latency}'
