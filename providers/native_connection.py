"""One HTTP/1.1 connection to an upstream, on asyncio's protocols and llhttp's parser: a request at a time, kept alive."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

import httptools
import httpx

from providers.light import Header

MAX_HEAD_BYTES: Final = 65536
HIGH_WATER: Final = 256 * 1024  # bytes of a body that wait for their reader before the socket is left unread
NO_BODY: Final = (204, 304)


class Connection(asyncio.Protocol):
    """One connection to an upstream. ``reusable`` once a reply has been taken in whole and both sides keep alive."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.waiter: asyncio.Future[None] | None = None
        self.closed = False
        self.failure: Exception | None = None
        self.reusable = False
        self._begin()

    def _begin(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[Header] = []
        self.chunks: deque[bytes] = deque()
        self.buffered = self.head_bytes = 0
        self.paused = self.headed = self.complete = self.until_close = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for the head of its reply. Raises httpx's errors."""
        if self.reusable:
            self._begin()
            self.reusable = False
        self.transport.write(request)
        while not self.headed:
            if self.failure is not None or self.closed:
                raise self.failure or httpx.RemoteProtocolError("closed before a reply")
            await self._wait()

    async def next(self) -> bytes:
        """The next piece of the body, b"" at its end. Raises httpx's errors."""
        while not self.chunks:
            if self.complete:
                return b""
            if self.failure is not None or self.closed:
                raise self.failure or httpx.RemoteProtocolError("the reply ended early")
            self.waiter = self.loop.create_future()  # as _wait, without a coroutine for each piece
            try:
                await self.waiter
            finally:
                self.waiter = None
        return self.take()

    def take(self) -> bytes:
        """What has come of the body and was not taken yet; there must be some."""
        chunk = self.chunks.popleft() if len(self.chunks) == 1 else self._joined()
        self.buffered -= len(chunk)
        if self.paused and self.buffered < HIGH_WATER and not self.closed:
            self.paused = False
            self.transport.resume_reading()
        return chunk

    def _joined(self) -> bytes:
        chunk = b"".join(self.chunks)
        self.chunks.clear()
        return chunk

    async def _wait(self) -> None:
        self.waiter = self.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.complete:  # more than was asked for: nobody knows whose it is
            self.failure = httpx.RemoteProtocolError("data after the reply")
            self.transport.abort()
            return
        if not self.headed:
            self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.failure = httpx.RemoteProtocolError("not an HTTP reply")
        if not self.headed and self.head_bytes > MAX_HEAD_BYTES:
            self.failure = httpx.RemoteProtocolError("the head of the reply is too large")
        if self.failure is not None:
            self.transport.abort()
        elif self.buffered > HIGH_WATER and not self.paused and not self.complete:
            self.paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self.complete = self.complete or (self.until_close and self.headed)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self.until_close and self.headed:
            self.complete = True
        self.closed = True
        self.reusable = False
        self._wake()

    # What the parser says.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:  # trailers are dropped
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if 100 <= status < 200:
            self.headers = []
            return
        self.headed = True
        names = {name for name, _ in self.headers}
        framed = b"content-length" in names or b"transfer-encoding" in names
        self.until_close = not framed and status not in NO_BODY

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)
        self.buffered += len(body)

    def on_message_complete(self) -> None:
        if self.headed and not self.until_close:
            self.complete = True
            self.reusable = self.parser.should_keep_alive()


class NativeStream(httpx.AsyncByteStream):
    """A reply's body as it arrives. Closing it before its end closes the connection at once."""

    def __init__(self, connection: Connection, pool: deque[Connection]) -> None:
        self.connection = connection
        self.pool = pool

    def __aiter__(self) -> NativeStream:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.connection.next():
            return chunk
        raise StopAsyncIteration

    async def next(self) -> bytes:
        """The next piece, b"" at the end: what iterating gives, for those who know this stream."""
        return await self.connection.next()

    def rest(self) -> bytes | None:
        """All that was not taken yet, where the reply has come to its end; None where more may come."""
        connection = self.connection
        if not connection.complete:
            return None
        return connection.take() if connection.chunks else b""

    async def aclose(self) -> None:
        connection = self.connection
        if connection.reusable and not connection.chunks and not connection.transport.is_closing():
            if connection not in self.pool:
                connection.idle_since = time.monotonic()
                self.pool.append(connection)
        else:
            connection.transport.abort()
