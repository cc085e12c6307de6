"""The object store in the database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tenants import models
from tenants.objects import ObjectStoreError, StoredObject
from tenants.rows import clean
from tenants.threads import Threads

T = TypeVar("T")

CHUNK = 200
_LONGEST_ID = 255

_TABLE = f'"{models.StoredObject._meta.db_table}"'
_KEPT = ("object_id", "tenant_id", "kind", "provider_id", "credential_id", "target_id", "route", "model")
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_KEPT)}, created_at) VALUES "
_ROW = f"({', '.join(['%s'] * (len(_KEPT) + 1))})"
_UNLESS_KEPT = " ON CONFLICT (object_id, tenant_id) DO NOTHING"
_SELECT = f"SELECT {', '.join(_KEPT)} FROM {_TABLE} WHERE tenant_id = %s AND object_id IN "
_DELETE = f"DELETE FROM {_TABLE} WHERE tenant_id = %s AND object_id = %s"


class DatabaseStore(Threads):
    """An ``ObjectStore`` over ``tenants.models.StoredObject``."""

    name = "object"

    @staticmethod
    def away() -> Exception:
        return ObjectStoreError("the database of stored objects is away")

    async def remember(self, objects: Sequence[StoredObject]) -> None:
        if objects:
            await self._write_together(_insert, objects)

    async def find(self, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
        return await self._read(_find, tenant_id, ids) if ids else {}

    async def forget(self, tenant_id: int, object_id: str) -> None:
        await self._write(_forget, tenant_id, object_id)


def stored_id(object_id: str) -> str:
    """The id as its column holds it: itself, or a hash when it is longer than that or holds what no column takes."""
    if len(object_id) <= _LONGEST_ID and object_id.isascii() and object_id.isprintable():
        return object_id
    return "sha256:" + hashlib.sha256(object_id.encode("utf-8", "surrogatepass")).hexdigest()


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    chunk = list(items)
    yield from (chunk[first : first + CHUNK] for first in range(0, len(chunk), CHUNK))


def _insert(connection: BaseDatabaseWrapper, together: Sequence[Sequence[StoredObject]]) -> None:
    # One statement is one transaction: a chunk takes one round trip.
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        for chunk in chunks(item for objects in together for item in objects):
            values = [value for item in chunk for value in (*_values(item), now)]
            cursor.execute(_INSERT + ", ".join([_ROW] * len(chunk)) + _UNLESS_KEPT, values)


def _values(item: StoredObject) -> tuple[Any, ...]:
    ids = (item.provider_id, item.credential_id, item.target_id)
    return (stored_id(item.object_id), item.tenant_id, item.kind, *ids, clean(item.route, 255), clean(item.model, 255))


def _find(connection: BaseDatabaseWrapper, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
    asked = {stored_id(name): name for name in ids}
    found = {}
    with connection.cursor() as cursor:
        for chunk in chunks(asked):
            cursor.execute(f"{_SELECT}({', '.join(['%s'] * len(chunk))})", [tenant_id, *chunk])
            for kept, *rest in cursor.fetchall():
                found[asked[kept]] = StoredObject(asked[kept], *rest)
    return found


def _forget(connection: BaseDatabaseWrapper, tenant_id: int, object_id: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [tenant_id, stored_id(object_id)])
