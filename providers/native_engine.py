"""An HTTP/1.1 client on asyncio's protocols and llhttp's parser, under httpx's transport interface.

It does what a gateway needs of a client and nothing else, in a third of the time of a general one: one request on a
connection at a time, kept alive, bodies as they come with back pressure. Framing is the parser's business; proxies are
left to another engine.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import httptools
import httpx

from providers.guard import KEEPALIVE_SECONDS, Guard
from providers.light import Header, LightRequest, LightResponse

MAX_HEAD_BYTES = 65536
HIGH_WATER = 256 * 1024  # bytes of a body that wait for their reader before the socket is left unread
NO_BODY = (204, 304)
Origin = tuple[str, str, int]


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

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.connection.next():
            yield chunk

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


class NativeTransport(httpx.AsyncBaseTransport):
    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self.guard = guard
        self.context = context
        self.pools: dict[Origin, deque[Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin, target = _place(request.text if isinstance(request, LightRequest) else str(request.url))
        pool = self.pools.get(origin)
        if pool is None:
            pool = self.pools[origin] = deque()
        message = _message(request, target)
        connection = _idle(pool) or await self._connect(origin, request.extensions.get("timeout", {}).get("connect"))
        try:
            await connection.ask(message)
        except BaseException:
            connection.transport.abort()
            raise
        return LightResponse(connection.parser.get_status_code(), connection.headers, NativeStream(connection, pool))

    async def _connect(self, origin: Origin, timeout: float | None) -> Connection:
        scheme, host, port = origin
        if scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("not http or https")
        secure = {"ssl": self.context, "server_hostname": host} if scheme == "https" else {}
        try:
            async with asyncio.timeout(timeout):
                return await self._first(await self.guard.resolve(host, port), port, secure)
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None

    async def _first(self, addresses: list[str], port: int, secure: dict[str, Any]) -> Connection:
        """A connection to the first of these addresses that takes one."""
        loop = asyncio.get_running_loop()
        failure: Exception | None = None
        for address in addresses:
            try:
                _, connection = await loop.create_connection(Connection, address, port, **secure)
                return connection
            except OSError as error:
                failure = error
        raise httpx.ConnectError("no connection") from failure

    async def aclose(self) -> None:
        for pool in self.pools.values():
            while pool:
                pool.pop().transport.abort()


def _idle(pool: deque[Connection]) -> Connection | None:
    """The connection that was used last and still stands; those that waited too long are closed."""
    while pool:
        connection = pool.pop()
        if connection.reusable and not connection.transport.is_closing():
            if time.monotonic() - connection.idle_since < KEEPALIVE_SECONDS:
                return connection
            connection.transport.abort()
    return None


@lru_cache(4096)
def _place(text: str) -> tuple[Origin, bytes]:
    """Whom to connect to for this URL, and what to ask for there."""
    url = httpx.URL(text)
    port = url.port or (443 if url.scheme == "https" else 80)
    return (url.scheme, url.raw_host.decode("ascii"), port), url.raw_path


def _message(request: httpx.Request, target: bytes) -> bytes:
    """The request as it goes over the wire, body and all."""
    headers = request.raw_headers if isinstance(request, LightRequest) else request.headers.raw
    first = b"%b %b HTTP/1.1" % (request.method.encode(), target)
    head = b"\r\n".join([first, *map(b": ".join, headers)])
    if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
        raise httpx.LocalProtocolError("a header breaks its line")
    return b"".join((head, b"\r\n\r\n", request.content))
