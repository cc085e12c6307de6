"""The server's short ways: what they leave out must not be missed."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway_project.cycle import Cycle
from gateway_project.protocol import BoundedHttp
from routing.client import WHOLE

App = Callable[[Any, Any, Any], Awaitable[None]]
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
GET = b"GET /there HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire(asyncio.Transport):
    """What was written to the client."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = asyncio.Event()

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Served:
    """A connection to ``app``."""

    def __init__(self, app: App, keep_alive: float = 75) -> None:
        config = uvicorn.Config(
            app, http=BoundedHttp, log_config=None, access_log=False, server_header=False, date_header=False,
            lifespan="off", ws="none", proxy_headers=False, timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
        )  # fmt: skip
        config.load()
        self.state = ServerState()
        self.protocol = BoundedHttp(config=config, server_state=self.state, app_state={})
        self.wire = Wire()
        self.protocol.connection_made(self.wire)

    async def ask(self, *pieces: bytes) -> bytes:
        """Send a request in pieces; what comes back of it."""
        before = len(self.wire.sent)
        for piece in pieces:
            self.protocol.data_received(piece)
            await asyncio.sleep(0)
        while self.state.tasks:
            await asyncio.sleep(0)
        return self.wire.sent[before:]


def written(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"%b: %b\r\n" % header for header in headers]


async def at_once(scope: Any, receive: Any, send: Any) -> None:
    whole = scope["extensions"][WHOLE]
    body = whole.take()
    assert whole.take() is None
    assert whole.reply(200, written(HEADERS), body or b"none")


async def as_ever(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"] or b"none"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS, "checked": True})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    told = f"{scope['method']} {scope['path']} {scope['raw_path']} {scope['query_string']} {len(body)}".encode()
    headers = [(b"content-length", b"%d" % len(told))]
    if not scope["extensions"][WHOLE].reply(200, written(headers), told):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


@pytest.mark.asyncio
async def test_a_reply_at_once_is_the_reply_as_ever() -> None:
    asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    one, other = await Served(at_once).ask(asked), await Served(as_ever).ask(asked)
    assert one == other == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nbody"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (b"GET /a/b HTTP/1.1", b"GET /a/b b'/a/b' b'' 0"),
        (b"GET /a%20b HTTP/1.1", b"GET /a b b'/a%20b' b'' 0"),
        (b"GET /a?alt=sse&x=%3F HTTP/1.1", b"GET /a b'/a' b'alt=sse&x=%3F' 0"),
        (b"GET http://host/a?b=c HTTP/1.1", b"GET /a b'/a' b'b=c' 0"),
    ],
)
async def test_paths_are_told_as_uvicorn_tells_them(asked: bytes, told: bytes) -> None:
    reply = await Served(echo).ask(asked + b"\r\nHost: a\r\n\r\n")
    assert reply.partition(b"\r\n\r\n")[2] == told


@pytest.mark.asyncio
async def test_a_body_in_pieces_is_whole() -> None:
    head = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = await Served(echo).ask(head, b"3\r\nabc\r\n", b"4\r\ndefg\r\n2\r\nhi\r\n", b"0\r\n\r\n")
    assert reply.endswith(b"POST /p b'/p' b'' 9")
    expecting = b"POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    reply = await Served(echo).ask(expecting, b"abc")
    assert reply.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") and reply.endswith(b"POST /p b'/p' b'' 3")


@pytest.mark.asyncio
async def test_what_takes_more_than_a_write_goes_as_ever() -> None:
    served = Served(echo)
    assert (await served.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"\r\n\r\n")
    assert b"connection: close" in await served.ask(b"GET / HTTP/1.0\r\n\r\n") and served.wire.closed.is_set()
    for status in (204, 304):
        cycle = Served(echo)
        cycle.protocol.data_received(GET)
        assert not cycle.protocol.cycle.reply(status, [], b"")
        await cycle.ask()


@pytest.mark.asyncio
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    served = Served(echo)
    reply = await served.ask(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert [reply.find(path) for path in (b"GET /1", b"GET /2", b"GET /there")] == sorted(
        reply.find(path) for path in (b"GET /1", b"GET /2", b"GET /there")
    )
    assert reply.count(b"HTTP/1.1 200 OK") == 3 and served.state.total_requests == 3


@pytest.mark.asyncio
async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    busy = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await busy.wait()
        await echo(scope, receive, send)

    served = Served(slow, keep_alive=0.05)
    await served.ask(GET)
    assert served.protocol.idle_timer is not None
    served.protocol.data_received(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    while served.protocol.idle_timer is not None:  # it runs out during the second request, and lets it be
        await asyncio.sleep(0.01)
    assert not served.wire.closed.is_set()
    busy.set()
    await asyncio.wait_for(served.wire.closed.wait(), 20)
    assert b"GET /slow" in served.wire.sent


@pytest.mark.asyncio
async def test_the_time_of_a_connection_begins_anew_with_each_reply() -> None:
    served = Served(echo, keep_alive=60)
    await served.ask(GET)
    served.protocol._idle()
    assert not served.wire.closed.is_set() and served.protocol.idle_timer is not None
    served.protocol.idle_since -= 61
    served.protocol._idle()
    assert served.wire.closed.is_set()
    served.protocol.connection_lost(None)
    assert served.protocol.idle_timer is None


@pytest.mark.asyncio
async def test_nothing_of_a_request_waits_for_the_garbage_collector() -> None:
    """What waits there makes every request slower: its memory is never at hand again."""
    served = Served(echo)
    await served.ask(GET)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await served.ask(GET)
        await asyncio.sleep(0)
        assert sum(isinstance(each, Cycle) for each in gc.get_objects()) <= 2  # the last, and the one before it
    finally:
        gc.enable()


@pytest.mark.asyncio
async def test_an_application_that_fails_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    served = Served(broken)
    with caplog.at_level(logging.ERROR):
        assert (await served.ask(GET)).startswith(b"HTTP/1.1 500 ")
    assert served.state.tasks == set()
