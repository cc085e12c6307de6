"""The leases of one process in the database, asked for off its event loop."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import InternalError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tenants import lease_statements as statements
from tenants.lease_store import exchange
from tenants.leases import Ask, Grant, Key, LeasesAway
from tenants.threads import Threads

LOOK_AGAIN: Final = 0.002


class DatabaseLeases(Threads):
    """For the requests of one process: off its event loop. ``owner`` is the name of its spool, ``workers`` how many share
    the limits, as far as one knows: it says how large slices are, nothing else."""

    name = "lease"

    def __init__(self, owner: str, *, workers: int = 1, **options: Any) -> None:
        super().__init__(readers=1, **options)
        self.owner, self.workers = owner, workers

    @staticmethod
    def away() -> Exception:
        return LeasesAway("the database of limits is away")

    async def exchange(self, asks: Sequence[Ask]) -> list[Grant]:
        return await self._write(_exchange_soon, self.owner, asks, timezone.now(), self.workers)

    async def shortages(self) -> list[Key]:
        """Windows of which this owner holds something and somebody else cannot be served."""
        return await self._read(statements.shortages, self.owner, timezone.now())


def _exchange_soon(
    connection: BaseDatabaseWrapper, owner: str, asks: Sequence[Ask], now: datetime, workers: int
) -> list[Grant]:
    """As soon as the database lets us write. SQLite would look ever more rarely, at last ten times a second, and miss the
    pauses of a drain that has much to do, while requests wait. For as long as the settings let it look."""
    if connection.vendor != "sqlite":
        return _exchange_alive(connection, owner, asks, now, workers)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
    deadline = time.monotonic() + connection.settings_dict["OPTIONS"]["timeout"]
    while True:
        try:
            return exchange(connection, owner, asks, now, workers)
        except OperationalError as error:
            if not _locked(error) or time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_AGAIN)


def _locked(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _exchange_alive(
    connection: BaseDatabaseWrapper, owner: str, asks: Sequence[Ask], now: datetime, workers: int
) -> list[Grant]:
    """Who was stopped for so long that the database has ended its session, begins a new one as after any other loss."""
    connection.ensure_connection()
    begun_on = connection.connection
    try:
        return exchange(connection, owner, asks, now, workers)
    except InternalError as error:
        if connection.connection is begun_on and connection.is_usable():
            raise
        connection.close()
        raise OperationalError(*error.args) from error
