"""Posts to URLs that hooks name: to public addresses or to networks that the operator allowed, and nowhere else.

Every name is looked up once, and what is connected to is the address that was judged. Nothing of the gateway's goes
along, no redirect is followed, and no connection is kept.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from functools import cache

import httpx

from providers import addresses
from providers.guard import RefusedAddress
from providers.light import Header, LightRequest
from providers.media import MediaGuard, WireUrl
from providers.native_engine import NativeTransport

MAX_URL_LENGTH = 8192
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
VALUE = re.compile(r"[\x20-\x7e]*")
#: What is the gateway's own to say.
FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
OURS: tuple[Header, ...] = (
    (b"user-agent", b"llm-gateway"),
    (b"accept-encoding", b"identity"),
    (b"connection", b"close"),
)


class PostError(Exception):
    """Nothing came of it. The text names neither the URL nor what was sent."""


class Poster:
    """``timeout`` is for all of one post, in seconds; a reply of more than ``max_bytes`` is none. ``transport`` takes the
    engine's place."""

    def __init__(
        self,
        allowed: Sequence[addresses.Network] = (),
        *,
        max_bytes: int = 1024 * 1024,
        timeout: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.guard = MediaGuard(allowed)
        self.max_bytes = max_bytes
        self.timeout = timeout
        self.transport = transport

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """The status of the reply, and its body. Raises PostError."""
        request = self._request(url, headers, body)
        try:
            async with asyncio.timeout(self.timeout):
                return await self._through(request)
        except RefusedAddress:
            raise PostError("the URL's address is one that hooks may not call (GATEWAY_HOOK_ADDRESSES)") from None
        except (TimeoutError, httpx.TimeoutException):
            raise PostError("no answer in time") from None
        except (OSError, httpx.HTTPError) as error:
            raise PostError(f"no answer: {type(error).__name__}") from None

    def close(self) -> None:
        self.guard.lookups.shutdown(wait=False, cancel_futures=True)

    def _request(self, text: str, headers: Mapping[str, str], body: bytes) -> LightRequest:
        try:
            url = WireUrl(text) if len(text) <= MAX_URL_LENGTH else WireUrl()
        except (httpx.InvalidURL, ValueError):
            url = WireUrl()
        if url.scheme not in ("http", "https") or not url.raw_host or url.userinfo:
            raise PostError("the URL is not one of http or https, or holds a user name")
        sent: list[Header] = [(b"host", url.netloc), *OURS, (b"content-length", b"%d" % len(body))]
        for name, value in headers.items():
            if not NAME.fullmatch(name) or name.lower() in FRAMING or not VALUE.fullmatch(value):
                raise PostError("a header cannot be sent")
            sent = [header for header in sent if header[0] != name.lower().encode()]
            sent.append((name.lower().encode(), value.encode()))
        return LightRequest("POST", url, str(url), sent, body, self.timeout)

    async def _through(self, request: LightRequest) -> tuple[int, bytes]:
        self.guard.check(request.url.host)
        if self.transport is not None:
            return await self._asked(self.transport, request)
        transport = NativeTransport(self.guard, await asyncio.to_thread(_trusted))
        try:
            return await self._asked(transport, request)
        finally:
            await transport.aclose()

    async def _asked(self, transport: httpx.AsyncBaseTransport, request: LightRequest) -> tuple[int, bytes]:
        response = await transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        found: list[bytes] = []
        size = 0
        try:
            if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise PostError("the reply is compressed, which nobody asked for")
            async for chunk in response.stream:
                size += len(chunk)
                if size > self.max_bytes:
                    raise PostError(f"the reply has more than {self.max_bytes} bytes")
                found.append(chunk)
        finally:
            await response.stream.aclose()
        return response.status_code, b"".join(found)


@cache
def _trusted() -> ssl.SSLContext:
    # Made once and off the event loop: reading all authorities takes a fifth of a second.
    return ssl.create_default_context()
