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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

PREFIX_LENGTH = 11
BLOCK = 64  # bytes of a SHA-256 block


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


class Names:
    """Names and ``*``-ended patterns that something is allowed; without any, everything is."""

    __slots__ = ("everything", "exact", "prefixes")

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.everything = not names or "*" in names
        self.exact = frozenset(name for name in names if not name.endswith("*"))
        self.prefixes = tuple(name[:-1] for name in names if name.endswith("*"))

    def __contains__(self, name: object) -> bool:
        return (
            self.everything
            or name in self.exact
            or (isinstance(name, str) and bool(self.prefixes) and name.startswith(self.prefixes))
        )


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as requests see it, and what the gateway stores for it: whether, for how long, and how much."""

    id: int
    name: str
    enabled: bool = True
    store_responses: bool = True
    response_seconds: int = 30 * 86_400
    response_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Key:
    """A key as requests see it. ``expires_at`` is seconds since the epoch, 0 for never."""

    id: int
    name: str
    tenant_id: int
    enabled: bool = True
    expires_at: float = 0
    allowed_models: Names = Names()
    allowed_providers: Names = Names()
    may_choose_provider: bool = True


def find(keys: Mapping[bytes, Key], plain: str, peppers: Sequence[bytes]) -> Key | None:
    """The key that ``plain`` is, whichever pepper it was stored under. The table is looked up by HMAC,
    so the time taken tells nothing about any stored digest."""
    for pepper in peppers:
        key = keys.get(digest(plain, pepper))
        if key is not None:
            return key
    return None
