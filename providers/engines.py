"""The HTTP engines under httpx's transport interface. Only providers.upstream imports this.

``native`` is the default: beside it a request through aiohttp costs twice and through httpx's own pool ten times the
engine's part. ``aiohttp``, which also takes the calls that go through a proxy, and ``httpx`` stay selectable.
All resolve names through one guard, follow no redirect, keep no cookie and never decode a body.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import httpcore
import httpx

from providers.aiohttp_engine import AiohttpTransport
from providers.guard import KEEPALIVE_SECONDS, Guard
from providers.native_engine import NativeTransport


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's network with the guard in front: names are resolved here, and only good addresses are connected to."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        for address in await self.guard.resolve(host, port):
            try:
                return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                last = error
        raise last

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def httpx_transport(guard: Guard, context: ssl.SSLContext, proxy: str = "") -> httpx.AsyncBaseTransport:
    transport = httpx.AsyncHTTPTransport(
        verify=context,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEEPALIVE_SECONDS),
        proxy=proxy or None,
    )
    if not proxy:
        # httpx has no door for a network backend; its pool does.
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=256,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(guard),
        )
    return transport


def native_transport(guard: Guard, context: ssl.SSLContext, proxy: str = "") -> httpx.AsyncBaseTransport:
    return AiohttpTransport(guard, context, proxy) if proxy else NativeTransport(guard, context)


ENGINES: dict[str, Callable[[Guard, ssl.SSLContext, str], httpx.AsyncBaseTransport]] = {
    "native": native_transport,
    "aiohttp": AiohttpTransport,
    "httpx": httpx_transport,
}
