"""An httpx request and response without the checks of their constructors, which take as long as the call itself.

They are what they are called to every transport; only ``headers`` is built when somebody asks. Engines and Reply that know
them read ``raw_headers``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import httpx

Header = tuple[bytes, bytes]


class LightRequest(httpx.Request):
    """``text`` is the URL as text, which engines would otherwise put together anew."""

    def __init__(
        self, method: str, url: httpx.URL, text: str, headers: list[Header], content: bytes, connect_timeout: float
    ) -> None:
        self.method = method
        self.url = url
        self.text = text
        self.raw_headers = headers
        self.extensions = {"timeout": {"connect": connect_timeout, "pool": connect_timeout}}
        self.stream = httpx.ByteStream(content)
        self._content = content

    if not TYPE_CHECKING:

        @cached_property
        def headers(self) -> httpx.Headers:
            return httpx.Headers(self.raw_headers)


class LightResponse(httpx.Response):
    def __init__(self, status: int, headers: list[Header], stream: httpx.AsyncByteStream) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.stream = stream
        self.extensions = {}
        self.is_closed = self.is_stream_consumed = False
        self._request = None

    if not TYPE_CHECKING:

        @cached_property
        def headers(self) -> httpx.Headers:
            return httpx.Headers(self.raw_headers)
