"""Brings what a client's request names by URL, for upstreams that take only the data itself.

A client chooses these URLs, so they lead to public addresses or to networks that the operator named, and nowhere else.
Every name, that of each redirect too, is looked up once, and what is connected to is the address that was judged.
Nothing of the gateway's goes along: no credential, cookie, referer or proxy of the environment. Ports are 80, 443 and
all from 1024 up: below, nobody serves media, and other protocols listen.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from ipaddress import ip_address

import httpx

from providers import addresses, media_types
from providers.chat import BadRequest
from providers.guard import Guard, RefusedAddress
from providers.light import LightRequest
from providers.media_parts import check_sources, inline
from providers.native_engine import NativeTransport

__all__ = ["Fetcher", "MediaGuard", "check_sources", "inline"]

MAX_URL_LENGTH = 8192
LOOKUPS = 8
PORTS = (80, 443)
LEAST_PORT, MOST_PORT = 1024, 65535
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = ((b"user-agent", b"llm-gateway"), (b"accept", b"*/*"), (b"accept-encoding", b"identity"))
#: A name that resolvers look up. One whose last label is a number they take for an address, however it is written.
NAME = re.compile(
    r"(?=.{1,253}\.?\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"(?!(?:[0-9]+|0x[0-9a-f]*)\.?\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?\Z"
)
NO_ADDRESS = "its URL names no host that may be fetched from"
TIMED_OUT = "its URL did not deliver in time"
#: What a client is told, the first that fits. A name that leads inside is told like one that does not exist.
FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, TIMED_OUT),
    (httpx.TimeoutException, TIMED_OUT),
    (RefusedAddress, NO_ADDRESS),
    (socket.gaierror, NO_ADDRESS),
    (OSError, "its URL could not be fetched"),
    (httpx.HTTPError, "its URL could not be fetched"),
)
UNFIT = {
    "": "its URL leads to nothing of a known media type",
    media_types.HTML: "its URL leads to a web page, not to media",
    media_types.SVG: "its URL leads to an SVG drawing, which models do not take",
}


class MediaGuard(Guard):
    """Lets through public addresses and those that the operator allowed.

    Names are looked up in threads of its own: the slow ones of a client hold up nobody else's.
    """

    def __init__(self, allowed: Sequence[addresses.Network] = ()) -> None:
        super().__init__(allowed)
        self.lookups = ThreadPoolExecutor(LOOKUPS, "media-lookup")

    def check(self, host: str) -> None:
        try:
            good = "%" not in host and addresses.public(host, self.allowed)
        except ValueError:
            good = NAME.match(host) is not None
        if not good:
            raise RefusedAddress(host)

    async def resolve(self, host: str, port: int) -> list[str]:
        self.check(host)
        with suppress(ValueError):
            return [str(ip_address(host))]
        lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self.lookups, lookup)
        return self.select([str(entry[4][0]) for entry in found])

    def select(self, found: list[str]) -> list[str]:
        good = [text for text in found if addresses.public(text, self.allowed)]
        if not good:
            raise RefusedAddress("no address that may be fetched from")
        return good


class WireUrl(httpx.URL):
    """A URL whose host stays as it goes over the wire, so that no engine encodes it once more in its own way."""

    @property
    def host(self) -> str:
        return self.raw_host.decode("ascii")


class Fetcher:
    """Fetches by URL under limits that fail and never cut. ``transport`` takes the engine's place, guard included."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        allowed: Sequence[addresses.Network] = (),
        max_bytes: int = 20 * 1024 * 1024,
        max_total: int = 50 * 1024 * 1024,
        timeout: float = 20.0,
        max_redirects: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.enabled = enabled
        self.guard = MediaGuard(allowed)
        self.max_bytes = max_bytes
        self.max_total = max(max_total, max_bytes)
        self.timeout = timeout
        self.max_redirects = max_redirects
        self.transport = transport

    async def fetch(self, url: str, field: str) -> tuple[str, bytes]:
        """The media type, as the bytes themselves tell it, and the bytes. Raises BadRequest naming ``field``."""
        if not self.enabled:
            raise BadRequest(field, "must be sent as data: the model's provider takes no URL here, and none is fetched")
        try:
            async with asyncio.timeout(self.timeout):
                hint, data = await self._through(url, field)
        except (OSError, httpx.HTTPError) as error:
            words = next(text for kind, text in FAILURES if isinstance(error, kind))
            raise BadRequest(field, words) from error
        media_type = media_types.find(data, hint)
        if media_type in UNFIT:
            raise BadRequest(field, UNFIT[media_type])
        return media_type, data

    async def close(self) -> None:
        self.guard.lookups.shutdown(wait=False, cancel_futures=True)
        if self.transport is not None:
            await self.transport.aclose()

    async def _through(self, url: str, field: str) -> tuple[str, bytes]:
        if self.transport is not None:
            return await self._follow(self.transport, url, field)
        # One for this fetch alone: a lasting one would remember every host that clients ever named.
        transport = NativeTransport(self.guard, await asyncio.to_thread(_trusted))
        try:
            return await self._follow(transport, url, field)
        finally:
            await transport.aclose()

    async def _follow(self, transport: httpx.AsyncBaseTransport, address: str, field: str) -> tuple[str, bytes]:
        """The content-type header and the body at the end of the redirects."""
        url = _url(address, field)
        for _ in range(self.max_redirects + 1):
            self.guard.check(url.host)
            headers = [(b"host", url.netloc), *HEADERS]
            request = LightRequest("GET", url, str(url), headers, b"", self.timeout)
            response = await transport.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            try:
                if response.status_code not in REDIRECTS:
                    return response.headers.get("content-type", ""), await self._body(response, response.stream, field)
                url = _next(url, response, field)
            finally:
                await response.stream.aclose()
        raise BadRequest(field, "its URL redirects too often")

    async def _body(self, response: httpx.Response, stream: httpx.AsyncByteStream, field: str) -> bytes:
        if response.status_code != 200:
            raise BadRequest(field, f"its URL was answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise BadRequest(field, "its URL delivers compressed data, which was not asked for")
        length = response.headers.get("content-length", "")
        size = int(length[:20]) if length[:20].isdecimal() else 0
        chunks: list[bytes] = []
        if size <= self.max_bytes:
            size = 0
            async for chunk in stream:
                size += len(chunk)
                if size > self.max_bytes:
                    break
                chunks.append(chunk)
        if size > self.max_bytes:
            raise BadRequest(field, f"its URL leads to more than the {self.max_bytes} bytes that are fetched")
        if not size:
            raise BadRequest(field, "its URL leads to nothing")
        return b"".join(chunks)


@cache
def _trusted() -> ssl.SSLContext:
    # Made once and off the event loop: reading all authorities takes a fifth of a second.
    return ssl.create_default_context()


def _url(text: str, field: str) -> WireUrl:
    if len(text) > MAX_URL_LENGTH:
        raise BadRequest(field, "its URL is too long")
    try:
        url = WireUrl(text)
    except (httpx.InvalidURL, ValueError):
        raise BadRequest(field, "its URL is not well formed") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise BadRequest(field, "its URL is not one of http or https")
    if url.userinfo:
        raise BadRequest(field, "its URL must not hold a user name or a password")
    port = url.port
    if port is not None and port not in PORTS and not LEAST_PORT <= port <= MOST_PORT:
        raise BadRequest(field, "its URL names a port that is not fetched from")
    return url


def _next(url: WireUrl, response: httpx.Response, field: str) -> WireUrl:
    """Where a redirect leads."""
    try:
        joined = str(url.join(response.headers["location"]))
    except (KeyError, ValueError, httpx.InvalidURL):
        raise BadRequest(field, "its URL redirects to nowhere") from None
    target = _url(joined, field)
    if url.scheme == "https" != target.scheme:
        raise BadRequest(field, "its URL redirects from https to http")
    return target
