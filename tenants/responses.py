"""Responses that the gateway keeps itself, for upstreams that have no Responses API. No Django here.

A client may read such a response again, delete it, or go on from it by ``previous_response_id``: so each is kept with
the input of its own turn, and a conversation is the chain of its responses. Whoever asks names the tenant, and finds
only what is that tenant's. Requests talk to a ``ResponseStore``; ``tenants.stored_responses`` is the one in the database.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

LARGEST = 32 * 2**20
"""Bytes of one response and its input."""
LARGEST_CHAIN = 128 * 2**20
MOST_LINKS = 1000


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One turn. ``created_at`` and ``expires_at`` are seconds since the epoch, kept to the microsecond; ``response`` is
    the response object as JSON, ``input`` a JSON array of this turn's input items, each with an id. ``previous_id`` is
    "" where a conversation begins."""

    id: str
    tenant_id: int
    previous_id: str
    model: str
    route: str
    created_at: float
    expires_at: float
    response: bytes
    input: bytes


class ResponseStoreError(Exception):
    """The store could not be asked, or could not open what it holds: nothing is known. The root of those below, which
    say that it was asked.

    ResponseStoreError
    ├── TooLarge
    └── Missing
    """


class TooLarge(ResponseStoreError):
    """Over the tenant's cap, or over the limit of one response or of one chain."""


class Missing(ResponseStoreError):
    """A response that a later one goes on from was deleted or has expired: the conversation cannot be told whole."""

    def __init__(self, id: str) -> None:
        super().__init__(f"response {id} is no longer stored")
        self.id = id


class ResponseStore(Protocol):
    """All methods raise ResponseStoreError when the store is away. ``calls`` of it and ``seconds`` in them are counted.
    What has expired counts as not there, everywhere."""

    calls: int
    seconds: float

    async def save(self, item: StoredResponse, cap: int) -> None:
        """Keep ``item``; on return every worker finds it. It replaces what this tenant has kept under the same id.
        Raises TooLarge, with nothing changed, when the tenant would hold more than ``cap`` bytes."""

    async def find(self, tenant_id: int, id: str) -> StoredResponse | None:
        """This tenant's response of that id."""

    async def chain(self, tenant_id: int, id: str) -> list[StoredResponse]:
        """The conversation up to ``id``, oldest first; empty if there is no such response. Raises Missing where an
        older one is gone, and TooLarge beyond MOST_LINKS or LARGEST_CHAIN."""

    async def forget(self, tenant_id: int, id: str) -> bool:
        """Drop this tenant's response; whether there was one."""


def weight(item: StoredResponse) -> int:
    """The bytes of its content."""
    return len(item.response) + len(item.input)


def check_one(item: StoredResponse) -> None:
    if weight(item) > LARGEST:
        raise TooLarge(f"a response of {weight(item):,} bytes cannot be stored: {LARGEST:,} are the most")


def check_cap(total: int, cap: int) -> None:
    if total > cap:
        raise TooLarge(f"this tenant's stored responses would take {total:,} bytes: {cap:,} are the most")


def check_chain(links: int, size: int) -> None:
    if links > MOST_LINKS:
        raise TooLarge(f"a conversation of more than {MOST_LINKS:,} stored responses cannot be continued")
    if size > LARGEST_CHAIN:
        raise TooLarge(f"a conversation of more than {LARGEST_CHAIN:,} bytes cannot be continued")


class MemoryResponses:
    """Responses in this process only: for tests, and for the data plane as a library. All tenants together hold at most
    ``most`` bytes."""

    calls = 0
    seconds = 0.0

    def __init__(self, most: int = 2**28) -> None:
        self.most = most
        self._kept: dict[tuple[int, str], StoredResponse] = {}

    async def save(self, item: StoredResponse, cap: int) -> None:
        check_one(item)
        self._drop_expired()
        key = (item.tenant_id, item.id)
        others = [kept for name, kept in self._kept.items() if name != key]
        check_cap(weight(item) + sum(weight(kept) for kept in others if kept.tenant_id == item.tenant_id), cap)
        check_cap(weight(item) + sum(map(weight, others)), self.most)
        self._kept[key] = item

    async def find(self, tenant_id: int, id: str) -> StoredResponse | None:
        item = self._kept.get((tenant_id, id))
        return item if item is not None and item.expires_at > time.time() else None

    async def chain(self, tenant_id: int, id: str) -> list[StoredResponse]:
        found: list[StoredResponse] = []
        size, name = 0, id
        while item := await self.find(tenant_id, name):
            found.append(item)
            size += weight(item)
            check_chain(len(found), size)
            if not item.previous_id:
                return found[::-1]
            name = item.previous_id
        if found:
            raise Missing(name)
        return []

    async def forget(self, tenant_id: int, id: str) -> bool:
        there = await self.find(tenant_id, id) is not None
        self._kept.pop((tenant_id, id), None)
        return there

    def _drop_expired(self) -> None:
        now = time.time()
        self._kept = {name: item for name, item in self._kept.items() if item.expires_at > now}
