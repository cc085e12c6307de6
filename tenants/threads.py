"""Database calls that a request awaits: off the event loop, counted, and given up when they take too long.

Writes go through one thread, which commits at once all that has come while it committed before; reads through a few
others. Each thread keeps its connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

TIMEOUT = 10.0

Query = Callable[..., T]
"""Called in a thread with that thread's connection, and with what it was given for it."""
Together = Callable[[BaseDatabaseWrapper, list[Any]], Mapping[int, Exception] | None]
"""Stores many items in one transaction. Returns why some of them were refused, by their place; raises what fails all."""


class Waiting(NamedTuple):
    item: Any
    written: Future[None]


class Threads:
    """What a store over the database is made of. ``calls``, ``seconds`` (awaited, all calls together) and ``errors`` are
    for metrics. Where the database fails, or takes longer than ``timeout`` seconds, ``away`` is raised."""

    name = "database"
    away: Callable[[], Exception] = RuntimeError

    def __init__(self, *, readers: int = 2, timeout: float = TIMEOUT, using: str = "default") -> None:
        self.using, self.timeout = using, timeout
        self.calls = self.errors = 0
        self.seconds = 0.0
        self._connections: list[BaseDatabaseWrapper] = []
        self._writer = ThreadPoolExecutor(1, f"{self.name}-writer", initializer=self._open)
        self._readers = ThreadPoolExecutor(readers, f"{self.name}-reader", initializer=self._open)
        self._unwritten: deque[Waiting] = deque()

    def close(self) -> None:
        """End the threads once they have done their work, and close their connections. Blocks."""
        self._writer.shutdown()
        self._readers.shutdown()
        while self._connections:
            self._connections.pop().close()

    async def _read(self, query: Query[T], *arguments: Any) -> T:
        return await self._counted(self._readers.submit(self._call, query, *arguments))

    async def _write(self, query: Query[T], *arguments: Any) -> T:
        return await self._counted(self._writer.submit(self._call, query, *arguments))

    async def _write_together(self, query: Together, item: Any) -> None:
        """Have ``item`` written by ``query``, of which a store has one, with all others that wait."""
        written: Future[None] = Future()
        self._unwritten.append(Waiting(item, written))
        self._writer.submit(self._write_waiting, query)
        await self._counted(written)

    async def _counted(self, result: Future[T]) -> T:
        began = time.perf_counter()
        self.calls += 1
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), self.timeout)
        except (Error, TimeoutError) as error:
            self.errors += 1
            raise self.away() from error
        finally:
            self.seconds += time.perf_counter() - began

    def _open(self) -> None:
        """In each thread, once: let ``close`` close this thread's connection."""
        connection = connections[self.using]
        connection.inc_thread_sharing()
        self._connections.append(connection)

    def _write_waiting(self, query: Together) -> None:
        """Store all that waits, also for the calls that follow, which then find nothing left."""
        batch = []
        while self._unwritten:
            batch.append(self._unwritten.popleft())
        waiting = {place: one.written for place, one in enumerate(batch) if one.written.set_running_or_notify_cancel()}
        if not batch:
            return
        try:
            refused = self._call(query, [one.item for one in batch]) or {}
        except Exception as error:
            refused = dict.fromkeys(waiting, error)
        for place, written in waiting.items():
            if place in refused:
                written.set_exception(refused[place])
            else:
                written.set_result(None)

    def _call(self, query: Query[T], *arguments: Any) -> T:
        """Run ``query`` on this thread's connection, again on a new one if it turns out to be dead."""
        connection = connections[self.using]
        before = connection.connection
        try:
            return query(connection, *arguments)
        except (OperationalError, InterfaceError):
            # The end of a transaction opens a new connection where the one it began on is dead.
            same = before is None or connection.connection is before
            if same and connection.connection is not None and connection.is_usable():
                raise
            connection.close()
            return query(connection, *arguments)
