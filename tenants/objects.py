"""Whose the objects are that upstreams keep: responses, conversations, containers, files. No Django here.

A provider's account is shared by all tenants, so a request may name such an object by id only if the same tenant was
given that id through this gateway. Requests talk to an ``ObjectStore``; ``tenants.stored`` keeps it in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ObjectStoreError(Exception):
    """The store could not be asked: its database is away. Nothing is known, so nothing may be allowed."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An upstream object, its owner, and where it was made: only there it can be used again."""

    object_id: str
    tenant_id: int
    kind: str
    provider_id: int
    credential_id: int = 0
    target_id: int = 0
    route: str = ""
    model: str = ""


class ObjectStore(Protocol):
    """All methods raise ObjectStoreError when the store is away. ``calls`` of it and ``seconds`` in them are counted."""

    calls: int
    seconds: float

    async def remember(self, objects: Sequence[StoredObject]) -> None:
        """Keep what an upstream has made; on return every worker finds it. What is kept already stays as it was."""

    async def find(self, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
        """By id, those of ``ids`` that are this tenant's. A foreign or unknown id is absent."""

    async def forget(self, tenant_id: int, object_id: str) -> None:
        """Drop this tenant's object, if there is one."""


class MemoryStore:
    """Objects in this process only: for tests, and for the data plane as a library. Beyond ``most`` the oldest go."""

    calls = 0
    seconds = 0.0

    def __init__(self, most: int = 100_000) -> None:
        self.most = most
        self._kept: dict[tuple[int, str], StoredObject] = {}

    async def remember(self, objects: Sequence[StoredObject]) -> None:
        for item in objects:
            self._kept.setdefault((item.tenant_id, item.object_id), item)
        while len(self._kept) > self.most:
            del self._kept[next(iter(self._kept))]

    async def find(self, tenant_id: int, ids: Sequence[str]) -> dict[str, StoredObject]:
        return {name: self._kept[tenant_id, name] for name in ids if (tenant_id, name) in self._kept}

    async def forget(self, tenant_id: int, object_id: str) -> None:
        self._kept.pop((tenant_id, object_id), None)
