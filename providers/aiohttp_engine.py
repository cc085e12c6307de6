"""aiohttp under httpx's transport interface: follows no redirect, keeps no cookie, never decodes a body."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_writer import StreamWriter
from yarl import URL

from providers.guard import KEEPALIVE_SECONDS, Guard, RefusedAddress
from providers.light import LightRequest, LightResponse

MAX_HEADER_BYTES = 65536
LARGE = 1024 * 1024  # from here on aiohttp wants bytes as a file, which it writes piece by piece
SMALL = 32768  # bytes of a request body that a socket takes without waiting


class GuardedResolver(AbstractResolver):
    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
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


class LeanRequest(aiohttp.ClientRequest):
    """aiohttp's request without headers of its own, and with a small body written at once instead of by a task."""

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        self._skip_auto_headers = None

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        size = self.body.size if self.body else 0
        if size is None or size > SMALL or self.proxy or conn.protocol.writing_paused:
            return await super().send(conn)
        writer = StreamWriter(conn.protocol, self.loop)
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await self.write_bytes(writer, conn)
        made = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=self.session,
            stream_writer=writer,
        )
        self.response = made  # type: ignore[assignment]  # declared None, as aiohttp's own code leaves it
        return made


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
            request_class=LeanRequest,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self.session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self.session or self._open()
        if isinstance(request, LightRequest):
            url, raw = _yarl(request.text), request.raw_headers
        else:
            url, raw = _yarl(str(request.url)), request.headers.raw
        if url.host:
            self.guard.check(url.host)
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in raw]
        try:
            reply = await session.request(
                request.method,
                url,
                headers=headers,
                data=request.content if len(request.content) < LARGE else io.BytesIO(request.content),
                allow_redirects=False,
                timeout=_timeout(request.extensions.get("timeout", {}).get("connect")),
                proxy=self.proxy,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error) from error
        return LightResponse(reply.status, list(reply.raw_headers), AiohttpStream(reply))

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
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return httpx.UnsupportedProtocol("not http or https")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError | ssl.SSLError):
        return httpx.ConnectError("no connection")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return httpx.RemoteProtocolError("not an HTTP reply")
    return httpx.ReadError("the connection broke")
