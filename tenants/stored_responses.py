"""The response store in the database: what is in a response is sealed before it gets there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from tenants import models, responses
from tenants.responses import (
    Missing,
    ResponseStoreError,
    StoredResponse,
    check_cap,
    check_chain,
    check_one,
    weight,
)
from tenants.rows import clean, moment
from tenants.sealed import Unreadable, seal, unseal
from tenants.stored import chunks, stored_id
from tenants.threads import Threads

_LENGTH = 8
_KEPT = ("previous_id", "model", "route", "created_at", "expires_at", "content")
_NAMED = ("response_id", *_KEPT)
_EXPIRES = _KEPT.index("expires_at")
_REPLACED = ("previous_id", "model", "route", "size", "content", "created_at", "expires_at")

_TABLE = f'"{models.StoredResponse._meta.db_table}"'
# Whether a row has expired is asked of it when it is found: as a condition it would tempt planners that know little of
# the table to go through all rows of a tenant that have not.
_CHAIN = f"""
WITH RECURSIVE link (response_id, previous_id, size, live, place) AS (
    SELECT response_id, previous_id, size, expires_at > %s, 1 FROM {_TABLE}
    WHERE response_id = %s AND tenant_id = %s
    UNION ALL
    SELECT older.response_id, older.previous_id, older.size, older.expires_at > %s, link.place + 1
    FROM link JOIN {_TABLE} older ON older.response_id = link.previous_id AND older.tenant_id = %s
    WHERE link.live AND link.previous_id <> '' AND link.place <= %s
)
SELECT response_id, previous_id, size, live FROM link ORDER BY place
"""  # noqa: S608  the table's name comes from the model


class Saved(NamedTuple):
    row: models.StoredResponse
    cap: int


class DatabaseResponses(Threads):
    """A ``ResponseStore`` over ``tenants.models.StoredResponse``. A tenant's cap is held exactly, whichever workers save
    at once; it counts bytes as they are stored."""

    name = "response"

    @staticmethod
    def away() -> Exception:
        return ResponseStoreError("the database of stored responses is away")

    async def save(self, item: StoredResponse, cap: int) -> None:
        check_one(item)
        row = await asyncio.to_thread(_row, item)
        await self._write_together(_save, Saved(row, cap))

    async def find(self, tenant_id: int, id: str) -> StoredResponse | None:
        return await self._read(_find, tenant_id, id)

    async def chain(self, tenant_id: int, id: str) -> list[StoredResponse]:
        return await self._read(_chain, tenant_id, id)

    async def forget(self, tenant_id: int, id: str) -> bool:
        return await self._write(_forget, tenant_id, id)


def _row(item: StoredResponse) -> models.StoredResponse:
    kept_id = stored_id(item.id)
    plain = len(item.response).to_bytes(_LENGTH, "big") + item.response + item.input
    content = seal(_label(item.tenant_id, kept_id), plain)
    return models.StoredResponse(
        tenant_id=item.tenant_id,
        response_id=kept_id,
        previous_id=stored_id(item.previous_id),
        model=clean(item.model, 255),
        route=clean(item.route, 255),
        size=len(content),
        content=content,
        created_at=moment(item.created_at),
        expires_at=moment(item.expires_at),
    )


def _label(tenant_id: int, kept_id: str) -> bytes:
    return f"{tenant_id} {kept_id}".encode()


def _rows(connection: BaseDatabaseWrapper, tenant_id: int, kept_ids: Sequence[str]) -> QuerySet[models.StoredResponse]:
    rows = models.StoredResponse.objects.using(connection.alias)
    return rows.filter(tenant_id=tenant_id, response_id__in=kept_ids)


class Account:
    """What one tenant holds, while its row is locked."""

    def __init__(self, tenant_id: int, held: int, using: str) -> None:
        self.rows = models.StoredResponse.objects.using(using).filter(tenant_id=tenant_id)
        self.held = held

    def save(self, row: models.StoredResponse, cap: int) -> None:
        same = Q(response_id=row.response_id)
        grown = row.size - sum(self.rows.filter(same).values_list("size", flat=True))
        if self.held + grown > cap:
            self._drop(self.rows.filter(~same, expires_at__lte=timezone.now()))
        check_cap(self.held + grown, cap)
        self.rows.bulk_create(
            [row], update_conflicts=True, unique_fields=("response_id", "tenant"), update_fields=_REPLACED
        )
        self.held += grown

    def _drop(self, rows: QuerySet[models.StoredResponse]) -> None:
        self.held -= rows.aggregate(all=Sum("size"))["all"] or 0
        rows.delete()


def _save(connection: BaseDatabaseWrapper, together: Sequence[Saved]) -> dict[int, Exception]:
    refused: dict[int, Exception] = {}
    using = connection.alias
    with transaction.atomic(using=using):
        held = models.StoredBytes.held({saved.row.tenant_id for saved in together}, using)
        accounts = {tenant_id: Account(tenant_id, size, using) for tenant_id, size in held.items()}
        for place, (row, cap) in enumerate(together):
            try:
                _account(accounts, row.tenant_id).save(row, cap)
            except ResponseStoreError as error:
                refused[place] = error
        models.StoredBytes.keep({tenant_id: account.held for tenant_id, account in accounts.items()}, using)
    return refused


def _account(accounts: dict[int, Account], tenant_id: int) -> Account:
    if tenant_id not in accounts:
        raise ResponseStoreError(f"there is no tenant {tenant_id} to store for")
    return accounts[tenant_id]


def _find(connection: BaseDatabaseWrapper, tenant_id: int, id: str) -> StoredResponse | None:
    kept_id = stored_id(id)
    row = _rows(connection, tenant_id, [kept_id]).values_list(*_KEPT).first()
    return None if row is None or row[_EXPIRES] <= timezone.now() else _opened(id, kept_id, tenant_id, row)


def _opened(id: str, kept_id: str, tenant_id: int, row: Sequence[Any]) -> StoredResponse:
    """The response of a row of _KEPT."""
    previous_id, model, route, created_at, expires_at, content = row
    try:
        plain = unseal(_label(tenant_id, kept_id), bytes(content))
    except Unreadable as error:
        raise ResponseStoreError(f"the stored response {id} cannot be read: {error}") from None
    end = _LENGTH + int.from_bytes(plain[:_LENGTH], "big")
    times = created_at.timestamp(), expires_at.timestamp()
    return StoredResponse(id, tenant_id, previous_id, model, route, *times, plain[_LENGTH:end], plain[end:])


def _chain(connection: BaseDatabaseWrapper, tenant_id: int, id: str) -> list[StoredResponse]:
    links = _links(connection, tenant_id, stored_id(id))
    check_chain(len(links), sum(size for _, _, size in links))
    if links and (gone := links[-1][1]):
        raise Missing(gone)
    found: list[StoredResponse] = []
    size = 0
    for names in chunks(kept_id for kept_id, _, _ in links):
        by_id = {kept_id: row for kept_id, *row in _rows(connection, tenant_id, names).values_list(*_NAMED)}
        for kept_id in names:
            if kept_id not in by_id:
                raise Missing(kept_id)
            found.append(_opened(id if not found else kept_id, kept_id, tenant_id, by_id[kept_id]))
            size += weight(found[-1])
            check_chain(len(found), size)
    return found[::-1]


def _links(connection: BaseDatabaseWrapper, tenant_id: int, kept_id: str) -> list[tuple[str, str, int]]:
    """(id, previous id, size as stored), newest first; one more than the limit shows that there are too many."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_CHAIN, [now, kept_id, tenant_id, now, tenant_id, responses.MOST_LINKS])
        return [(name, previous, size) for name, previous, size, live in cursor.fetchall() if live]


def _forget(connection: BaseDatabaseWrapper, tenant_id: int, id: str) -> bool:
    rows = _rows(connection, tenant_id, [stored_id(id)])
    there = rows.values_list("expires_at", flat=True).first()
    deleted, _ = rows.delete()
    return there is not None and there > timezone.now() and deleted > 0
