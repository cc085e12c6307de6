"""Reads a request's body from ASGI: under its cap, in time, and decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from routing.coding import CODINGS, Corrupt

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MAX_CODINGS = 2


class BodyError(Exception):
    """Why a body cannot be taken: a status and a kind of the contract's error table."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class ClientGone(Exception):
    """The client hung up, or reads so slowly that it counts as gone."""


class Budget:
    """The bytes of request bodies that all requests together may hold."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0


class Share:
    """What one request holds of the budget; leaving its ``with`` gives it back."""

    __slots__ = ("budget", "size")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.size = 0

    def take(self, size: int) -> None:
        """Hold ``size`` bytes more. Raises BodyError where all requests together would hold too much."""
        if self.budget.held + size > self.budget.limit:
            raise BodyError(503, "overloaded", "The gateway holds too many request bodies at this moment.")
        self.budget.held += size
        self.size += size

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self.budget.held -= self.size
        self.size = 0


async def read(headers: Mapping[bytes, bytes], receive: Receive, *, limit: int, share: Share) -> bytes:
    """The whole body, decoded; ``headers`` by lower-case name. How long it may take is the caller's to limit.

    Raises BodyError, or ClientGone if the rest never came.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)
    body = await _raw(receive, limit, share)
    coding = headers.get(b"content-encoding")
    return body if coding is None else await _decoded(body, coding.decode("latin-1"), limit, share)


async def _raw(receive: Receive, limit: int, share: Share) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        share.take(len(piece))
        if not message.get("more_body"):
            return b"".join([*parts, piece]) if parts else piece
        parts.append(piece)


async def _decoded(body: bytes, codings: str, limit: int, share: Share) -> bytes:
    names = [name.strip().lower() for name in codings.split(",") if name.strip().lower() not in ("", "identity")]
    unknown = [name for name in names if name not in CODINGS]
    if unknown or len(names) > MAX_CODINGS:
        raise BodyError(415, "invalid_request", "The content-encoding must be one of gzip, deflate, br, zstd, or identity.")
    for name in reversed(names):
        body = await _expanded(body, name, limit, share)
    return body


async def _expanded(body: bytes, name: str, limit: int, share: Share) -> bytes:
    decoder = CODINGS[name]()
    parts: list[bytes] = []
    size = 0
    try:
        for piece in decoder.feed(body):
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            share.take(len(piece))
            parts.append(piece)
            await asyncio.sleep(0)  # a large body must not stall every stream
        decoder.finish()
    except Corrupt:
        raise BodyError(400, "invalid_request", f"The body is not the {name} that its content-encoding says.") from None
    return b"".join(parts)


def too_large(limit: int) -> BodyError:
    return BodyError(413, "invalid_request", f"The body is larger than {limit} bytes.")
