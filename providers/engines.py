"""The HTTP engines under httpx's transport interface. Only providers.upstream imports this.

``aiohttp`` is the default because it is several times as fast as httpx's own pool; ``httpx`` stays selectable.
Both resolve names through one guard, follow no redirect, keep no cookie and never decode a body.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import aiohttp
import httpcore
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from providers import addresses

MAX_HEADER_BYTES = 65536
KEEPALIVE_SECONDS = 60
MAX_HOSTS = 4096


class RefusedAddress(OSError):
    """A host that resolves only to addresses that are never called."""


class Guard:
    """Lets an address through, or raises RefusedAddress."""

    def __init__(self, allowed: Sequence[addresses.Network] = ()) -> None:
        self.allowed = tuple(allowed)
        self.passed: set[str] = set()

    def check(self, host: str) -> None:
        """Refuse ``host`` if it is itself a refused address."""
        if host in self.passed:
            return
        try:
            bad = addresses.refused(host.strip("[]"), self.allowed)
        except ValueError:
            bad = False
        if bad:
            raise RefusedAddress(host)
        if len(self.passed) < MAX_HOSTS:
            self.passed.add(host)

    def select(self, found: list[str]) -> list[str]:
        good = [text for text in found if not addresses.refused(text, self.allowed)]
        if found and not good:
            raise RefusedAddress(found[0])
        return good


class GuardedResolver(AbstractResolver):
    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.inner = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self.inner.resolve(host, port, family)
        good = set(self.guard.select([entry["host"] for entry in found]))
        return [entry for entry in found if entry["host"] in good]

    async def close(self) -> None:
        await self.inner.close()


class AiohttpStream(httpx.AsyncByteStream):
    """A reply's body as it arrives. Closing it before its end closes the connection at once."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self.reply.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.RemoteProtocolError("the reply ended early") from error

    async def aclose(self) -> None:
        self.reply.close() if not self.reply.content.at_eof() else self.reply.release()


@lru_cache(4096)
def _yarl(url: str) -> URL:
    return URL(url, encoded=True)


@lru_cache(64)
def _timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


class AiohttpTransport(httpx.AsyncBaseTransport):
    def __init__(self, guard: Guard, context: ssl.SSLContext, proxy: str = "") -> None:
        self.guard = guard
        self.context = context
        self.proxy = proxy or None
        self.session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self.context,
            resolver=GuardedResolver(self.guard),
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self.session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self.session or self._open()
        extensions = request.extensions
        url = _yarl(extensions.get("url") or str(request.url))
        if url.host:
            self.guard.check(url.host)
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw]
        try:
            reply = await session.request(
                request.method,
                url,
                headers=headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=_timeout(extensions["timeout"]["connect"]),
                proxy=self.proxy,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error) from error
        return httpx.Response(reply.status, headers=reply.raw_headers, stream=AiohttpStream(reply))

    async def aclose(self) -> None:
        if self.session is not None:
            await self.session.close()


def _mapped(error: Exception) -> Exception:
    """aiohttp's exception as httpx's."""
    if isinstance(error, asyncio.TimeoutError):
        return httpx.ConnectTimeout("no connection in time")
    cause = getattr(error, "os_error", error)
    if isinstance(cause, RefusedAddress):
        return cause
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError | ssl.SSLError):
        return httpx.ConnectError("no connection")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return httpx.RemoteProtocolError("not an HTTP reply")
    return httpx.ReadError("the connection broke")


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's network with the guard in front: names are resolved here, and only good addresses are connected to."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: Any = None) -> httpcore.AsyncNetworkStream:
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
    transport = httpx.AsyncHTTPTransport(verify=context, limits=httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEEPALIVE_SECONDS), proxy=proxy or None)
    if not proxy:
        # httpx has no door for a network backend; its pool does.
        transport._pool = httpcore.AsyncConnectionPool(ssl_context=context, max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEEPALIVE_SECONDS, network_backend=GuardedBackend(guard))
    return transport


ENGINES: dict[str, Callable[[Guard, ssl.SSLContext, str], httpx.AsyncBaseTransport]] = {
    "aiohttp": AiohttpTransport,
    "httpx": httpx_transport,
}
