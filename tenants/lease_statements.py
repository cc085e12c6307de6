# ruff: noqa: S608  table names come from the models
"""The SQL of leases. What is granted is decided by one conditional UPDATE of the window's row, whoever asks at once.

Who locks, locks the owner's row first, then windows in the order of their counter, subject and start: an owner's leases
are only touched under its lock, and nobody waits for each other. A process that is stopped while it holds locks, or whose
host is gone, loses them after a moment: PostgreSQL ends its session. SQLite cannot; there all wait until it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from tenants.lease_rows import HeldLease, LeaseCounter, LeaseOwner, LeaseWindow
from tenants.leases import Key

_COUNTERS, _WINDOWS, _OWNERS, _HELD = (
    f'"{model._meta.db_table}"' for model in (LeaseCounter, LeaseWindow, LeaseOwner, HeldLease)
)
_SHORT = timedelta(seconds=2)
"""How long others are told that somebody could not be served. They look several times a second."""
_BRIEFLY = " RETURNING set_config('idle_in_transaction_session_timeout', '3000', true)"
"""Milliseconds that others may have to wait for a process that says nothing in the middle of its transaction."""
_LESSER = {"sqlite": ("min", "max"), "postgresql": ("least", "greatest")}

_ADD_OWNER = f"""
INSERT INTO {_OWNERS} (name, exchanged_through, settled_through, seen_at, ended_by) VALUES (%s, -1, -1, %s, '')
ON CONFLICT (name) DO NOTHING
"""
_ADVANCE_OWNER = f"UPDATE {_OWNERS} SET seen_at = %s, {{column}} = %s WHERE name = %s AND {{column}} < %s{{alive}}"
_END_OWNER = f"""
UPDATE {_OWNERS} SET seen_at = %s, ended_by = CASE WHEN ended_at IS NULL THEN %s ELSE ended_by END, ended_at = COALESCE(ended_at, %s)
WHERE name = %s
"""

_ADD_WINDOW = f"""
INSERT INTO {_WINDOWS} (counter, subject, start, cap, granted, spent, latest, warned)
SELECT name, %s, %s, 0, 0, 0, 0, 0 FROM {_COUNTERS} WHERE name = %s ON CONFLICT (counter, subject, start) DO NOTHING
"""
_ONE_WINDOW = f"{_WINDOWS}.counter = %(counter)s AND {_WINDOWS}.subject = %(subject)s AND {_WINDOWS}.start = %(start)s"
_POOL = f"(limits.cap + %(extra)s - {_WINDOWS}.granted + %(back)s - {_WINDOWS}.spent)"
# Slices shrink with what is left, and nothing is granted that serves nobody.
_GRANT = f"""
CASE WHEN {_POOL} < %(least)s THEN 0
ELSE {{lesser}}({_POOL}, {{greater}}(%(need)s, {{lesser}}(%(want)s, {_POOL} / %(divisor)s))) END
"""
_CLAIM = f"""
UPDATE {_WINDOWS} SET cap = limits.cap + %(extra)s, granted = granted - %(back)s + {_GRANT}, latest = {_GRANT},
    short_until = CASE WHEN {_POOL} < %(least)s THEN %(short)s ELSE short_until END
FROM {_COUNTERS} AS limits WHERE {_ONE_WINDOW} AND limits.name = {_WINDOWS}.counter
RETURNING {_WINDOWS}.id, {_WINDOWS}.cap, {_WINDOWS}.granted, {_WINDOWS}.spent, {_WINDOWS}.latest
"""
_GIVE_BACK = (
    f"UPDATE {_WINDOWS} SET granted = granted - %(back)s WHERE {_ONE_WINDOW} RETURNING id, cap, granted, spent, 0"
)
_HOLD = f"""
INSERT INTO {_HELD} (owner, number, window_id, granted, settled, closed) VALUES (%s, %s, %s, %s, 0, %s)
ON CONFLICT (owner, number) DO UPDATE SET granted = excluded.granted, closed = excluded.closed
"""
_SHORTAGES = f"""
SELECT DISTINCT counter, subject, start FROM {_HELD} JOIN {_WINDOWS} ON {_WINDOWS}.id = window_id
WHERE owner = %s AND NOT closed AND short_until > %s
"""


class Locked(NamedTuple):
    id: int
    counter: str
    subject: str
    start: int
    spent: int
    warned: int


class Claimed(NamedTuple):
    window_id: int
    cap: int
    granted: int
    spent: int
    latest: int


class Claim(NamedTuple):
    """Of one window: what comes back, and what is asked for after that."""

    counter: str
    subject: str
    start: int
    extra: int
    back: int
    least: int
    need: int
    want: int
    divisor: int


def begin_exchange(connection: BaseDatabaseWrapper, owner: str, sequence: int, now: datetime) -> bool:
    """Lock the owner until the transaction ends. False if it has ended, or if this exchange or a later one was begun."""
    return _advance(connection, owner, "exchanged_through", sequence, now, " AND ended_at IS NULL")


def begin_settlement(connection: BaseDatabaseWrapper, owner: str, sequence: int, now: datetime) -> bool:
    """As ``begin_exchange``; an owner that has ended settles all the same."""
    return _advance(connection, owner, "settled_through", sequence, now, "")


def _advance(
    connection: BaseDatabaseWrapper, owner: str, column: str, sequence: int, now: datetime, alive: str
) -> bool:
    time = connection.ops.adapt_datetimefield_value(now)
    sql = _ADVANCE_OWNER.format(column=column, alive=alive) + _briefly(connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, [time, sequence, owner, sequence])
        if not cursor.rowcount:
            cursor.execute(_ADD_OWNER, [owner, time])
            if cursor.rowcount:
                cursor.execute(sql, [time, sequence, owner, sequence])
        return bool(cursor.rowcount)


def end_owner(connection: BaseDatabaseWrapper, owner: str, by: str, now: datetime) -> None:
    """Once it has ended, who says so stays the first one. Lock it until the transaction ends."""
    time = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(_ADD_OWNER, [owner, time])
        cursor.execute(_END_OWNER + _briefly(connection), [time, by, time, owner])


def _briefly(connection: BaseDatabaseWrapper) -> str:
    return _BRIEFLY if connection.vendor == "postgresql" else ""


def claim(connection: BaseDatabaseWrapper, asked: Claim, now: datetime) -> Claimed | None:
    """None when the counter is gone."""
    lesser, greater = _LESSER[connection.vendor]
    short = connection.ops.adapt_datetimefield_value(now + _SHORT)
    sql = _CLAIM.format(lesser=lesser, greater=greater)
    values = {**asked._asdict(), "short": short}
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found = cursor.fetchone()
        if found is None:
            cursor.execute(_ADD_WINDOW, [asked.subject, asked.start, asked.counter])
            cursor.execute(sql, values)
            found = cursor.fetchone()
    return Claimed(*found) if found else None


def give_back(connection: BaseDatabaseWrapper, asked: Claim) -> Claimed | None:
    """Where the counter is gone. None when its window is, too."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, asked._asdict())
        found = cursor.fetchone()
    return Claimed(*found) if found else None


def hold(connection: BaseDatabaseWrapper, row: Sequence[Any]) -> None:
    """Owner, number, window, granted, closed."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, row)


def shortages(connection: BaseDatabaseWrapper, owner: str, now: datetime) -> list[Key]:
    with connection.cursor() as cursor:
        cursor.execute(_SHORTAGES, [owner, connection.ops.adapt_datetimefield_value(now)])
        return [(counter, subject, start) for counter, subject, start in cursor.fetchall()]


def lock_windows(
    connection: BaseDatabaseWrapper, keys: Sequence[Key] = (), unsure: Collection[Key] = (), ids: Sequence[int] = ()
) -> list[Locked]:
    """Those that are there, until the transaction ends; ``unsure`` are those of ``keys`` that may have to be made."""
    if ids:
        return _locked(connection, f"id IN ({', '.join(['%s'] * len(ids))})", ids)
    if unsure:
        unsure = set(unsure) - {row[1:4] for row in _locked(connection, *_among(list(unsure)), lock=False)}
    if not unsure:
        return _locked(connection, *_among(keys)) if keys else []
    found: list[Locked] = []
    for key in sorted(keys):
        if key in unsure:
            counter, subject, start = key
            with connection.cursor() as cursor:
                cursor.execute(_ADD_WINDOW, [subject, start, counter])
        found += _locked(connection, *_among([key]))
    return found


def _among(keys: Sequence[Key]) -> tuple[str, list[Any]]:
    places = ", ".join(["(%s, %s, %s)"] * len(keys))
    return f"(counter, subject, start) IN (VALUES {places})", [value for key in keys for value in key]


def _locked(connection: BaseDatabaseWrapper, where: str, values: Sequence[Any], *, lock: bool = True) -> list[Locked]:
    sql = f"SELECT id, counter, subject, start, spent, warned FROM {_WINDOWS} WHERE {where}"
    if lock and connection.vendor == "postgresql":
        # In the order of Python's strings, which is that of whoever claims.
        sql += ' ORDER BY counter COLLATE "C", subject COLLATE "C", start FOR UPDATE'
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [Locked(*row) for row in cursor.fetchall()]


def charge_windows(connection: BaseDatabaseWrapper, changes: Sequence[tuple[int, int, int, int]]) -> None:
    """Of each, by id: what is no longer granted, what is spent besides, and the threshold that was warned at."""
    changed = "granted = granted - given.column2, spent = spent + given.column3, warned = given.column4"
    _update(connection, _WINDOWS, changed, changes)


def settle_leases(connection: BaseDatabaseWrapper, owner: str, changes: Sequence[tuple[int, int]]) -> None:
    """Of each, by id: what is settled besides. Those that are closed and settled go."""
    _update(connection, _HELD, "settled = settled + given.column2", changes)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {_HELD} WHERE owner = %s AND closed AND settled >= granted", [owner])


def _update(connection: BaseDatabaseWrapper, table: str, changed: str, rows: Sequence[tuple[int, ...]]) -> None:
    if not rows:
        return
    places = ", ".join([f"({', '.join(['%s'] * len(rows[0]))})"] * len(rows))
    sql = f"UPDATE {table} SET {changed} FROM (VALUES {places}) AS given WHERE {table}.id = given.column1"
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for row in rows for value in row])
