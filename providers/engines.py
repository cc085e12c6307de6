"""The HTTP engines under httpx's transport interface. Only providers.upstream imports this.

``aiohttp`` is the default because it is several times as fast as httpx's own pool; ``httpx`` stays selectable.
Both resolve names through one guard, follow no redirect, keep no cookie and never decode a body.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from providers.aiohttp_engine import AiohttpTransport
from providers.guard import KEEPALIVE_SECONDS, Guard


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
        self.guard.check(host)
        for address in await self._resolve(host, port):
            try:
                return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                last = error
        raise last

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError("no such host") from error
        return self.guard.select([str(entry[4][0]) for entry in found])

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


ENGINES: dict[str, Callable[[Guard, ssl.SSLContext, str], httpx.AsyncBaseTransport]] = {
    "aiohttp": AiohttpTransport,
    "httpx": httpx_transport,
}
