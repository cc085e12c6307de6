"""One request and its reply, as uvicorn has them, with the ways that nearly all of them go made short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from routing.headers import lines

NO_BODY = (204, 304)


class Cycle(RequestResponseCycle):
    """Writes a head that says it is ``checked`` as it stands (names in lower case, nothing that breaks a line), and in
    one piece with what follows. The data plane sends a dozen headers with every reply; two regular expressions for each
    and a write of their own cost more than its routing."""

    # What the base sets in each of them, once for all; what is made for each is made by its protocol.
    access_log = False
    chunked_encoding: bool | None = None
    disconnected = False
    expected_content_length = 0
    head: list[bytes] | None = None
    more_body = True
    response_complete = False
    response_started = False
    task: asyncio.Task[None] | None = None
    waiting_for_100_continue = False
    body: Any = b""  # bytes to which the protocol adds

    def __init__(self, protocol: Any, scope: Any, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response: Callable[..., None] = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.tasks = protocol.tasks
        if protocol.expect_100_continue:
            self.waiting_for_100_continue = True

    async def receive(self) -> Any:
        if (body := self.take()) is None:
            return await super().receive()
        return {"type": "http.request", "body": body, "more_body": False}

    def take(self) -> bytes | None:
        """The body, if all of it is there already."""
        if self.more_body or self.response_complete or self.disconnected or not self.message_event.is_set():
            return None
        self.message_event.clear()
        body, self.body = self.body, b""
        return bytes(body)

    async def run_asgi(self, app: Any) -> None:
        try:
            await super().run_asgi(app)
        finally:
            self.tasks.discard(self.task)
            # Both lead back here: nothing must wait for the garbage collector.
            self.task = None
            self.scope.pop("extensions", None)

    def reply(self, status: int, head: list[bytes], body: bytes) -> bool:
        """Send a head, written out and ``checked``, with its content-length, and the body at once; False, and nothing done,
        where that takes more than a write."""
        if self.disconnected or self.response_started or self.flow.write_paused or not self.keep_alive:
            return False
        if self.scope["method"] == "HEAD" or status in NO_BODY:
            return False
        begun = self._start(status)
        self.head = []
        self.transport.write(b"".join((*begun, *head, b"\r\n", body)))
        self._end()
        return True

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

    def _start(self, status: int) -> list[bytes]:
        """From now on a reply is under way: the first lines of its head."""
        self.response_started = True
        self.waiting_for_100_continue = False
        return [STATUS_LINE[status], *lines(self.default_headers)]

    def _begin(self, message: Any) -> None:
        headers = message["headers"]
        for name, value in headers:
            if name == b"content-length":
                self.chunked_encoding, self.expected_content_length = False, int(value)
        self.head = [*self._start(message["status"]), *lines(headers)]
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and message["status"] not in NO_BODY:
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
