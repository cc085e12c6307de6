"""uvicorn's HTTP/1.1 protocol with the two bounds that it lacks: how large the head of a request may be, and how long
it may take to come. The body's bounds are the data plane's, which knows the key first.

What uvicorn does for each request it does here with less: no timer that is set and taken back for each silence between
two requests, no look at a plain path by a parser of URLs, no callback at the end of a task.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_project.cycle import Cycle
from routing.client import WHOLE

MAX_HEAD_BYTES = 64 * 1024
REFUSAL = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
BODY = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":null}}'


class BoundedHttp(HttpToolsProtocol):
    """A head that comes in one piece, as nearly all do, costs two attribute checks and no timer."""

    cycle: Cycle

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_bytes = 0
        self.in_head = False
        self.head_timer: asyncio.TimerHandle | None = None
        self.idle_timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()  # a connection on which nothing comes is closed, too

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.in_head = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.head_bytes = 0
        self._disarm()
        if self.parser.should_upgrade() or self.limit_concurrency is not None:
            self._as_uvicorn_does()
            return
        url, version = self.url, self.parser.get_http_version()
        path, query = url, b""
        if not url.startswith(b"/") or url.find(b"?") >= 0 or url.find(b"#") >= 0:
            parsed = httptools.parse_url(url)
            path, query = parsed.path, parsed.query or b""
        text = path.decode("ascii")
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": self.parser.get_method().decode("ascii"),
            "root_path": self.root_path,
            "path": self.root_path + (unquote(text) if "%" in text else text),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self._begin(Cycle(self, scope, version != "1.0" and self.parser.should_keep_alive()))

    def _as_uvicorn_does(self) -> None:
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers += headers  # the scope has this list, too
        super().on_headers_complete()

    def _begin(self, cycle: Cycle) -> None:
        extensions: Any = {WHOLE: cycle}
        cycle.scope["extensions"] = extensions
        before, self.cycle = self.cycle, cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self.config.reset_contextvars or cycle.__class__ is not Cycle:
            super()._start_asgi_task(cycle, app)
            return
        cycle.task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(cycle.task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if self.idle_timer is None:
            self.idle_timer = self.loop.call_later(self.timeout_keep_alive, self._idle)

    def _idle(self) -> None:
        """Close what has been idle for long enough. The timer runs on during requests, and is set anew after one."""
        self.idle_timer = None
        if self.in_head or self.transport.is_closing() or not self.cycle.response_complete:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.idle_timer = self.loop.call_later(left, self._idle)
        else:
            self.transport.close()

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
