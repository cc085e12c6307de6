"""The object store in the database: the only awaited database calls of a request, off the event loop and counted.

Writes go through one thread, which commits at once all that has come while it committed before; reads through a few
others. Each thread keeps its connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tenants import models
from tenants.objects import ObjectStoreError, StoredObject
from tenants.rows import clean

T = TypeVar("T")

TIMEOUT = 10.0
CHUNK = 200
_LONGEST_ID = 255

_TABLE = f'"{models.StoredObject._meta.db_table}"'
_KEPT = ("object_id", "tenant_id", "kind", "provider_id", "credential_id", "target_id", "route", "model")
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_KEPT)}, created_at) VALUES "
_ROW = f"({', '.join(['%s'] * (len(_KEPT) + 1))})"
_UNLESS_KEPT = " ON CONFLICT (object_id, tenant_id) DO NOTHING"
_SELECT = f"SELECT {', '.join(_KEPT)} FROM {_TABLE} WHERE tenant_id = %s AND object_id IN "
_DELETE = f"DELETE FROM {_TABLE} WHERE tenant_id = %s AND object_id = %s"


class DatabaseStore:
    """An ``ObjectStore`` over ``tenants.models.StoredObject``. ``calls``, ``seconds`` (awaited, all calls together) and
    ``errors`` are for metrics. A call that takes longer than ``timeout`` seconds is an ObjectStoreError too."""

    def __init__(self, *, readers: int = 2, timeout: float = TIMEOUT, using: str = "default") -> None:
        self.using, self.timeout = using, timeout
        self.calls = self.errors = 0
        self.seconds = 0.0
        self._connections: list[BaseDatabaseWrapper] = []
        self._writer = ThreadPoolExecutor(1, "object-writer", initializer=self._open)
        self._readers = ThreadPoolExecutor(readers, "object-reader", initializer=self._open)
        self._unwritten: deque[tuple[Sequence[StoredObject], Future[None]]] = deque()

    async def remember(self, objects: Sequence[StoredObject]) -> None:
        if objects:
            written: Future[None] = Future()
            self._unwritten.append((objects, written))
            self._writer.submit(self._write)
            await self._counted(written)

    async def find(self, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
        if not ids:
            return {}
        return await self._counted(self._readers.submit(self._call, _find, tenant_id, ids))

    async def forget(self, tenant_id: int, object_id: str) -> None:
        await self._counted(self._writer.submit(self._call, _forget, tenant_id, object_id))

    def close(self) -> None:
        """End the threads once they have done their work, and close their connections. Blocks."""
        self._writer.shutdown()
        self._readers.shutdown()
        while self._connections:
            self._connections.pop().close()

    async def _counted(self, result: Future[T]) -> T:
        began = time.perf_counter()
        self.calls += 1
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), self.timeout)
        except (Error, TimeoutError) as error:
            self.errors += 1
            raise ObjectStoreError("the database of stored objects is away") from error
        finally:
            self.seconds += time.perf_counter() - began

    def _open(self) -> None:
        """In each thread, once: let ``close`` close this thread's connection."""
        connection = connections[self.using]
        connection.inc_thread_sharing()
        self._connections.append(connection)

    def _write(self) -> None:
        """Store all that waits, also for the calls that follow, which then find nothing left."""
        batch = []
        while self._unwritten:
            batch.append(self._unwritten.popleft())
        waiting = [written for _, written in batch if written.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            self._call(_insert, [item for objects, _ in batch for item in objects])
        except Exception as error:
            for written in waiting:
                written.set_exception(error)
        else:
            for written in waiting:
                written.set_result(None)

    def _call(self, query: Callable[..., T], *arguments: Any) -> T:
        """Run ``query`` on this thread's connection, again on a new one if it turns out to be dead."""
        connection = connections[self.using]
        try:
            return query(connection, *arguments)
        except (OperationalError, InterfaceError):
            if connection.connection is not None and connection.is_usable():
                raise
            connection.close()
            return query(connection, *arguments)


def stored_id(object_id: str) -> str:
    """The id as its column holds it: itself, or a hash when it is longer than that or holds what no column takes."""
    if len(object_id) <= _LONGEST_ID and object_id.isascii() and object_id.isprintable():
        return object_id
    return "sha256:" + hashlib.sha256(object_id.encode("utf-8", "surrogatepass")).hexdigest()


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    chunk = list(items)
    yield from (chunk[first : first + CHUNK] for first in range(0, len(chunk), CHUNK))


def _insert(connection: BaseDatabaseWrapper, objects: Sequence[StoredObject]) -> None:
    # One statement is one transaction: a chunk takes one round trip.
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        for chunk in _chunks(objects):
            values = [value for item in chunk for value in (*_values(item), now)]
            cursor.execute(_INSERT + ", ".join([_ROW] * len(chunk)) + _UNLESS_KEPT, values)


def _values(item: StoredObject) -> tuple[Any, ...]:
    ids = (item.provider_id, item.credential_id, item.target_id)
    return (stored_id(item.object_id), item.tenant_id, item.kind, *ids, clean(item.route, 255), clean(item.model, 255))


def _find(connection: BaseDatabaseWrapper, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
    asked = {stored_id(name): name for name in ids}
    found = {}
    with connection.cursor() as cursor:
        for chunk in _chunks(asked):
            cursor.execute(f"{_SELECT}({', '.join(['%s'] * len(chunk))})", [tenant_id, *chunk])
            for kept, *rest in cursor.fetchall():
                found[asked[kept]] = StoredObject(asked[kept], *rest)
    return found


def _forget(connection: BaseDatabaseWrapper, tenant_id: int, object_id: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [tenant_id, stored_id(object_id)])
