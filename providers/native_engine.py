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
from functools import lru_cache
from typing import Any

import httpx

from providers.guard import KEEPALIVE_SECONDS, Guard
from providers.light import Header, LightRequest, LightResponse
from providers.native_connection import Connection, NativeStream

Origin = tuple[str, str, int]


class NativeTransport(httpx.AsyncBaseTransport):
    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self.guard = guard
        self.context = context
        self.pools: dict[Origin, deque[Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream = await self.ask(
            request.method,
            request.text if isinstance(request, LightRequest) else str(request.url),
            request.raw_headers if isinstance(request, LightRequest) else request.headers.raw,
            request.content,
            request.extensions.get("timeout", {}).get("connect"),
        )
        return LightResponse(stream.connection.parser.get_status_code(), stream.connection.headers, stream)

    async def ask(
        self, method: str, url: str, headers: list[Header], content: bytes, connect_timeout: float | None
    ) -> NativeStream:
        """The same without httpx's objects around it: the head of the reply is there. Raises httpx's errors."""
        origin, target = _place(url)
        pool = self.pools.get(origin)
        if pool is None:
            pool = self.pools[origin] = deque()
        message = _message(method, target, headers, content)
        connection = _idle(pool) or await self._connect(origin, connect_timeout)
        try:
            await connection.ask(message)
        except BaseException:
            connection.transport.abort()
            raise
        return NativeStream(connection, pool)

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


def _message(method: str, target: bytes, headers: list[Header], content: bytes) -> bytes:
    """The request as it goes over the wire, body and all."""
    first = b"%b %b HTTP/1.1" % (method.encode(), target)
    head = b"\r\n".join([first, *map(b": ".join, headers)])
    if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
        raise httpx.LocalProtocolError("a header breaks its line")
    return b"".join((head, b"\r\n\r\n", content))
