"""The only place that opens upstream connections. Every call is an ``httpx.Request`` through one transport interface."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from providers import addresses, engines
from providers.demo import DemoTransport
from providers.errors import AddressRefused, ConnectFailed, ReplyBroken, TimedOut, UpstreamError
from providers.guard import Guard, RefusedAddress
from providers.light import Header, LightRequest, LightResponse
from providers.native_connection import NativeStream
from providers.native_engine import NativeTransport
from providers.signers import Signer
from providers.urls import join
from providers.variants import Variant

#: httpx's (and so every engine's) exceptions as ours, the first that fits.
ERRORS: Final[tuple[tuple[type[Exception], type[UpstreamError], str], ...]] = (
    (RefusedAddress, AddressRefused, "the provider's address is one that is never called"),
    (httpx.ConnectTimeout, TimedOut, "no connection to the provider in time"),
    (httpx.TimeoutException, TimedOut, "no answer from the provider in time"),
    (httpx.ConnectError, ConnectFailed, "no connection to the provider"),
    (httpx.ProxyError, ConnectFailed, "no connection to the provider's proxy"),
    (httpx.UnsupportedProtocol, ConnectFailed, "the provider's URL is not one of http or https"),
    (httpx.TransportError, ReplyBroken, "the connection to the provider broke"),
    (OSError, ConnectFailed, "no connection to the provider"),
)


def mapped(error: Exception) -> UpstreamError:
    for theirs, ours, text in ERRORS:
        if isinstance(error, theirs):
            return ours(text)
    raise error


@dataclass(frozen=True, slots=True)
class Credential:
    """One secret of a provider, ready as the header that carries it, or with the signer that uses it."""

    id: int
    header: Header | None
    secret: str = field(default="", repr=False)
    signer: Signer | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """A provider as requests see it. Timeouts are seconds; all but the connect timeout are kept by the caller."""

    id: int
    name: str
    kind: str
    base_url: str
    apis: frozenset[str]
    credentials: tuple[Credential, ...] = (Credential(0, None),)
    headers: tuple[Header, ...] = ()
    strip_path: str = ""
    connect_timeout: float = 10
    first_byte_timeout: float = 600
    idle_timeout: float = 300
    max_retries: int = 2
    stream_usage: str = "ask"
    choosing_fields: frozenset[str] = frozenset()
    proxy_url: str = ""
    ca_file: str = ""
    api_version: str = ""
    lacks: frozenset[str] = frozenset()
    variant: Variant | None = None
    max_concurrent: int = 0
    max_waiting: int = 100
    queue_wait: float = 30
    breaker: str = ""  # open | closed: held so, whatever happens
    breaker_ratio: float = 0.25
    breaker_requests: int = 20
    breaker_pause: float = 5


class Reply:
    """An upstream's reply: status and headers (names in lower case) are there, the body is read by ``next``.

    Limits of time are the caller's: only it knows when it waits for the upstream and when for its own client.
    """

    __slots__ = ("_read", "_stream", "headers", "status")

    def __init__(self, status: int, headers: Iterable[Header], stream: Any) -> None:
        self._stream = stream
        self.status = status
        # An asynchronous generator takes longer than the reading itself.
        self._read: Callable[[], Awaitable[bytes]]
        if isinstance(stream, NativeStream):
            self._read, self.headers = stream.next, dict(headers)
        else:
            self._read, self.headers = stream.__aiter__().__anext__, {name.lower(): value for name, value in headers}

    def header(self, name: bytes) -> str:
        """The value of a header, "" where there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    async def next(self) -> bytes:
        """The next piece of the body as it came, b"" at its end. Raises UpstreamError."""
        try:
            return await self._read()
        except StopAsyncIteration:
            return b""
        except (httpx.HTTPError, OSError) as error:
            raise mapped(error) from error

    def rest(self) -> bytes | None:
        """All of the body that was not read yet, where it has come already; None where one has to wait for it."""
        return self._stream.rest() if isinstance(self._stream, NativeStream) else None

    async def read(self, limit: int) -> tuple[bytes, bool]:
        """The body up to about ``limit`` bytes, and whether that is all of it. Raises UpstreamError."""
        parts: list[bytes] = []
        size = 0
        while size <= limit:
            chunk = await self.next()
            if not chunk:
                return b"".join(parts), True
            parts.append(chunk)
            size += len(chunk)
        return b"".join(parts), False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back, or close it at once if the body was not read to its end."""
        await self._stream.aclose()


class Connections:
    """The open connections to all upstreams of one event loop.

    ``transports`` are used instead of an engine for the provider kinds that they name; ``"*"`` stands for all others.
    The kind ``demo`` always has its own, which never leaves the process.
    """

    def __init__(
        self,
        engine: str = "native",
        allowed: Sequence[addresses.Network] = (),
        transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._make = engines.ENGINES[engine]
        self.allowed = tuple(allowed)
        self._guard = Guard(allowed)
        self._fixed = {"demo": DemoTransport(), **(transports or {})}
        self._transports: dict[tuple[str, str], httpx.AsyncBaseTransport] = {}

    def _transport(self, upstream: Upstream) -> httpx.AsyncBaseTransport:
        if fixed := self._fixed.get(upstream.kind) or self._fixed.get("*"):
            return fixed
        key = (upstream.proxy_url or environment_proxy(upstream.base_url), upstream.ca_file)
        if key not in self._transports:
            self._transports[key] = self._make(self._guard, _tls(upstream.ca_file), key[0])
        return self._transports[key]

    async def open(
        self,
        upstream: Upstream,
        method: str,
        path: str,
        headers: Iterable[Header] = (),
        content: bytes = b"",
        query: bytes = b"",
        credential: Credential | None = None,
    ) -> Reply:
        """Call ``path`` (ours, with its version) at ``upstream`` and wait for the head of the reply. Raises UpstreamError."""
        credential = credential or upstream.credentials[0]
        url, text, host = _url(join(upstream.base_url, path, upstream.strip_path), query)
        raw = _headers(upstream, host, headers, credential, len(content) if content or method != "GET" else -1)
        if credential.signer is not None:
            raw += await credential.signer.sign(method, text, raw, content)
        transport = self._transport(upstream)
        try:
            if isinstance(transport, NativeTransport):
                stream = await transport.ask(method, text, raw, content, upstream.connect_timeout)
                return Reply(stream.connection.parser.get_status_code(), stream.connection.headers, stream)
            request = LightRequest(method, url, text, raw, content, upstream.connect_timeout)
            response = await transport.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise mapped(error) from error
        told = response.raw_headers if isinstance(response, LightResponse) else response.headers.raw
        return Reply(response.status_code, told, response.stream)

    async def close(self) -> None:
        for transport in (*self._transports.values(), *self._fixed.values()):
            await transport.aclose()


def _headers(
    upstream: Upstream, host: bytes, headers: Iterable[Header], credential: Credential, length: int
) -> list[Header]:
    """What goes out; ``length`` is the body's, below zero where none is told."""
    raw = [(b"host", host), *headers, *upstream.headers, (b"accept-encoding", b"identity")]
    if credential.header is not None:
        raw.append(credential.header)
    if length >= 0:
        raw.append((b"content-length", b"%d" % length))
    return raw


@lru_cache(4096)
def _url(text: str, query: bytes) -> tuple[httpx.URL, str, bytes]:
    """The parsed URL, its text, and its Host header."""
    url = httpx.URL(f"{text}?{query.decode('ascii')}" if query else text)
    return url, str(url), url.netloc


@lru_cache(64)
def _tls(ca_file: str) -> ssl.SSLContext:
    # SSL_CERT_FILE is honoured by OpenSSL itself.
    return ssl.create_default_context(cafile=ca_file or None)


@lru_cache(1024)
def environment_proxy(base_url: str) -> str:
    """The proxy that the environment names for this address, "" for none."""
    parts = urlsplit(base_url)
    if urllib.request.proxy_bypass_environment(parts.netloc):  # type: ignore[attr-defined]
        return ""
    return urllib.request.getproxies_environment().get(parts.scheme, "")
