"""Reads a request's body under limits of size, time and memory, and decodes it where it is compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from types import coroutine
from typing import Any, Final

from routing.encodings import CODECS, MAX_ENCODINGS, DecodedTooLong, Decoder, EncodingError, UnknownEncoding
from routing.encodings import decoder as decoder
from routing.errors import GatewayError

Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[Any]]

_PIECE: Final = 256 * 1024  # after so much work others get their turn
_STEP: Final = 4096  # what a step costs at least, counted in bytes
_DIGITS: Final = 20


class BodyError(GatewayError):
    """A body that is not taken in, in words for the client."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(kind, message, status=status, retry_after=1 if kind == "overloaded" else 0)


class ClientGone(Exception):
    """The client hung up, or reads so slowly that it counts as gone."""


class Budget:
    """Counts the bytes of all bodies that this process holds at once, ``limit`` at most."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def hold(self) -> Hold:
        """The share of one request, for a ``with`` block around all that its body is needed for."""
        return Hold(self)


class Hold:
    """``size`` bytes of a budget, given back when the block is left."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def take(self, size: int) -> None:
        """Count ``size`` bytes more. Raises BodyError (503)."""
        budget = self._budget
        if budget.held + size > budget.limit:
            raise BodyError(503, "overloaded", "The gateway holds all the bytes of requests that it may; try again.")
        budget.held += size
        self.size += size

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.held -= self.size
        self.size = 0


async def read(
    headers: Iterable[Header],
    receive: Receive,
    *,
    limit: int,
    timeout: float,
    budget: Hold,
    take: Callable[[], bytes | None] | None = None,
) -> bytes:
    """The whole body, decoded: ``limit`` bytes at most, as sent and as decoded, within ``timeout`` seconds.

    ``take`` is a server's way to give all of it at once, if it is there. What is held is counted in ``budget``. Raises
    BodyError and ClientGone.
    """
    decode = _declared(headers, limit)
    if take is not None and decode is None and (given := take()) is not None:
        if len(given) > limit:
            raise _too_long(limit)
        budget.take(len(given))
        return given
    steps = receive().__await__()
    message = waiting = None
    try:
        waiting = next(steps)
    except StopIteration as done:  # a small body is there already, and needs no clock, which costs more than all else
        message = done.value
        if decode is None and not message.get("more_body"):
            body = _chunk(message, 0, limit)
            budget.take(len(body))
            return body
    try:
        async with asyncio.timeout(timeout):
            if message is None:
                message = await _rest(steps, waiting)
            return await _all(message, receive, decode, limit, budget)
    except TimeoutError:
        raise BodyError(408, "timeout", f"The body was not sent within {timeout:g} seconds.") from None


@coroutine
def _rest(steps: Generator[Any, None, Any], waiting: Any) -> Generator[Any, None, Any]:
    """Await what is left of a call that was begun by hand and now waits for ``waiting``."""
    try:
        while True:
            try:
                yield waiting
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = next(steps)
    except StopIteration as done:
        return done.value


def _declared(headers: Iterable[Header], limit: int) -> Decoder | None:
    """What the head says of the body: nothing is read of one that is too long or that cannot be decoded."""
    encoding = b""
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit():
                raise BodyError(400, "invalid_request", "The header content-length is not a number.")
            # Python refuses to read numbers of very many digits.
            if len(value.lstrip(b"0")) > len(str(limit)) or int(value[-_DIGITS:]) > limit:
                raise _too_long(limit)
        elif name == b"content-encoding":
            encoding = encoding + b"," + value if encoding else value
    if not encoding:
        return None
    try:
        return decoder(encoding.decode("latin-1"), limit)
    except UnknownEncoding:
        known = ", ".join(sorted({*CODECS} - {"x-gzip"}))
        message = f"The content encoding is not one of {known}, or more than {MAX_ENCODINGS} of them."
        raise BodyError(415, "invalid_request", message) from None


def _too_long(limit: int) -> BodyError:
    return BodyError(413, "invalid_request", f"The body is longer than {limit} bytes.")


def _chunk(message: Any, sent: int, limit: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    chunk: bytes = message.get("body", b"")
    if sent + len(chunk) > limit:
        raise _too_long(limit)
    return chunk


async def _all(message: Any, receive: Receive, decode: Decoder | None, limit: int, budget: Hold) -> bytes:
    parts: list[bytes] = []
    sent = 0
    while True:
        chunk = _chunk(message, sent, limit)
        sent += len(chunk)
        if decode is None:
            budget.take(len(chunk))
            parts.append(chunk)
        else:
            await _decode(decode, chunk, not message.get("more_body"), parts, budget)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def _decode(decode: Decoder, chunk: bytes, last: bool, parts: list[bytes], budget: Hold) -> None:
    work = 0
    try:
        for piece in decode.pieces(chunk):
            budget.take(len(piece))
            parts.append(piece)
            work += len(piece) + _STEP
            if work > _PIECE:
                work = 0
                await asyncio.sleep(0)
        if last:
            decode.flush()
    except DecodedTooLong as error:
        raise _too_long(error.limit) from None
    except EncodingError:
        raise BodyError(400, "invalid_request", "The body cannot be decoded as its content encoding says.") from None
