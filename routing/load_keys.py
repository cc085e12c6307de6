"""Keys, as the snapshot knows them, from their rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tenants.counting import level_of
from tenants.keys import Key, Project, Tenant


class Keys:
    """Keys by their digests. ``found`` is never changed once it has been handed out: requests may be reading it."""

    def __init__(self) -> None:
        self.found: dict[bytes, Key] = {}
        self._digests: dict[int, tuple[bytes, ...]] = {}

    def take(self, rows: Iterable[Any]) -> int:
        """Take these rows in; how many they are."""
        count = 0
        for count, row in enumerate(rows, 1):
            if count == 1:
                self.found = dict(self.found)
            self._forget(row.id)
            for digest, key in _named(row):
                self.found[digest] = key
                self._digests[row.id] = (*self._digests.get(row.id, ()), digest)
        return count

    def drop(self, key_id: int) -> None:
        self.found = dict(self.found)
        self._forget(key_id)

    def _forget(self, key_id: int) -> None:
        for digest in self._digests.pop(key_id, ()):
            self.found.pop(digest, None)


def _named(row: Any) -> Iterable[tuple[bytes, Key]]:
    """The key under its digest, and under the one before while that is still accepted."""
    key = key_of(row)
    if row.previous_until is not None and (until := row.previous_until.timestamp()) > time.time():
        before = replace(key, expires_at=min(until, key.expires_at or until))
        yield bytes.fromhex(row.previous_digest), before
    yield bytes.fromhex(row.digest), key


def key_of(row: Any) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        tenant_id=row.tenant_id,
        enabled=row.enabled,
        expires_at=row.expires_at.timestamp() if row.expires_at else 0,
        may_choose_provider=row.may_choose_provider,
        may_explain=row.may_explain,
        project_id=row.project_id or 0,
        scopes=tuple(row.scopes),
        level=level_of("key", row),
    )


def tenant_of(row: Any) -> Tenant:
    return Tenant(
        row.id,
        row.name,
        row.enabled,
        row.store_responses,
        row.response_days * 86_400,
        row.response_bytes,
        row.queue_weight,
        level_of("tenant", row),
        row.unpriced,
        row.interrupted,
        tuple(row.tags),
    )


def project_of(row: Any) -> Project:
    return Project(row.id, row.name, row.tenant_id, row.enabled, level_of("project", row))
