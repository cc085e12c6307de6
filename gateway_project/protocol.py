"""uvicorn's HTTP/1.1 protocol with the two bounds that it lacks: how large the head of a request may be, and how long
it may take to come. The body's bounds are the data plane's, which knows the key first."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024
REFUSAL = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
BODY = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":null}}'


class Cycle(RequestResponseCycle):
    """Writes a head that says it is ``checked`` as it stands (names in lower case, nothing that breaks a line), and in
    one piece with what follows. The data plane sends a dozen headers with every reply; two regular expressions for each
    and a write of their own cost more than its routing."""

    head: list[bytes] | None = None

    async def send(self, message: Any) -> None:
        if self.disconnected:
            return
        if message.get("checked") and not self.response_started and self.keep_alive:
            self._begin(message)
        elif self.head is None:
            await super().send(message)
        else:
            if self.flow.write_paused:
                await self.flow.drain()
            if not self.disconnected:
                self._body(message.get("body", b""), message.get("more_body", False))

    def _begin(self, message: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        self.head = [STATUS_LINE[message["status"]]]
        for name, value in (*self.default_headers, *message["headers"]):
            if name == b"content-length":
                self.chunked_encoding, self.expected_content_length = False, int(value)
            self.head += (name, b": ", value, b"\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and message["status"] not in (204, 304):
            self.chunked_encoding = True
            self.head.append(b"transfer-encoding: chunked\r\n")
        self.head.append(b"\r\n")

    def _body(self, body: bytes, more: bool) -> None:
        parts = self.head or []
        self.head = []
        if self.chunked_encoding:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        elif self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        else:
            self.expected_content_length -= len(body)
            parts.append(body)
        self.transport.write(b"".join(parts))
        if not more:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if self.expected_content_length:  # the reply broke: only a closed connection can say so
            self.transport.close()
        self.on_response()


httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]  # its protocol makes cycles by this name


class BoundedHttp(HttpToolsProtocol):
    """A head that comes in one piece, as nearly all do, costs two attribute checks and no timer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_bytes = 0
        self.in_head = False
        self.head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()  # a connection on which nothing comes is closed, too

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.head_bytes = 0
        self._disarm()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.in_head or self.transport.is_closing():
            return
        self.head_bytes += len(data)
        if self.head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, b"Request Header Fields Too Large", b"The request's headers are too large.")
        elif self.head_timer is None:
            self._arm()

    def _arm(self) -> None:
        self.head_timer = self.loop.call_later(settings.GATEWAY_READ_TIMEOUT, self._late)

    def _disarm(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def _late(self) -> None:
        if self.in_head:
            self._refuse(408, b"Request Timeout", b"The request's headers did not come in time.")
        elif self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, phrase: bytes, message: bytes) -> None:
        body = BODY % message
        self.transport.write(REFUSAL % (status, phrase, len(body), body))
        self.transport.close()
