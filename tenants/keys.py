"""Clients' keys: issue, hash, find. No Django here: requests use it.

A key is ``gw-`` and 256 random bits. What is stored is an HMAC-SHA-256 of it under a pepper, so that neither the
database nor a backup of it lets anyone in.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from tenants.terms import NOTHING, Level

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

PREFIX_LENGTH: Final = 11
BLOCK: Final = 64  # bytes of a SHA-256 block


def issue(start: str = "gw-") -> str:
    """A new random key: ``start`` and 43 characters of base64url."""
    return start + secrets.token_urlsafe(32)


def prefix_of(plain: str) -> str:
    """The part of a key that may be shown. A short key shows less than a third of itself."""
    return plain[: min(PREFIX_LENGTH, len(plain) // 3)]


def digest(plain: str, pepper: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of the key, from hashes that have taken in the pepper already: a third of hmac's time."""
    pads = _pads(pepper)
    inner, outer = pads[0].copy(), pads[1].copy()
    inner.update(plain.encode("utf-8", "surrogateescape"))
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(64)
def _pads(pepper: bytes) -> tuple[Hash, Hash]:
    block = (hashlib.sha256(pepper).digest() if len(pepper) > BLOCK else pepper).ljust(BLOCK, b"\0")
    return hashlib.sha256(bytes(x ^ 0x36 for x in block)), hashlib.sha256(bytes(x ^ 0x5C for x in block))


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as requests see it, and what the gateway stores for it: whether, for how long, and how much."""

    id: int
    name: str
    enabled: bool = True
    store_responses: bool = True
    response_seconds: int = 30 * 86_400
    response_bytes: int = 256 * 2**20
    queue_weight: int = 1
    level: Level = NOTHING
    unpriced: Literal["block", "warn", "allow"] = "warn"
    interrupted: Literal["counted", "bound", "zero"] = "counted"
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """A part of a tenant as requests see it."""

    id: int
    name: str
    tenant_id: int
    enabled: bool = True
    level: Level = NOTHING


@dataclass(frozen=True, slots=True)
class Key:
    """A key as requests see it. ``expires_at`` is seconds since the epoch, 0 for never. ``level`` is what it says itself;
    what holds for it is told by ``routing.table.Table.terms``."""

    id: int
    name: str
    tenant_id: int
    enabled: bool = True
    expires_at: float = 0
    may_choose_provider: bool = True
    may_explain: bool = False
    project_id: int = 0
    scopes: tuple[str, ...] = ()
    level: Level = NOTHING


def find(keys: Mapping[bytes, Key], plain: str, peppers: Sequence[bytes]) -> Key | None:
    """The key that ``plain`` is, whichever pepper it was stored under. The table is looked up by HMAC,
    so the time taken tells nothing about any stored digest."""
    for pepper in peppers:
        key = keys.get(digest(plain, pepper))
        if key is not None:
            return key
    return None
