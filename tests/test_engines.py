"""Every HTTP engine against a raw upstream that misbehaves: the same replies, the same errors, the same pooling."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest

from providers.errors import AddressRefused, ConnectFailed, ReplyBroken, UpstreamError
from providers.guard import Guard, RefusedAddress
from providers.upstream import Connections, Reply
from tests.inprocess import upstream

pytestmark = pytest.mark.asyncio
ENGINES = ("native", "aiohttp", "httpx")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def head(reader: asyncio.StreamReader) -> bytes:
    """One request's head; its body, which is as long as it says, is read too."""
    text = await reader.readuntil(b"\r\n\r\n")
    for line in text.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return text


@contextlib.asynccontextmanager
async def raw(serve: Serve) -> AsyncIterator[tuple[str, list[int]]]:
    """An upstream on a loopback port; the list counts its connections."""
    connections: list[int] = []

    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(5):  # aborted transports close in the loop's next rounds
            await asyncio.sleep(0)


async def call(connections: Connections, url: str, body: bytes = b"{}") -> tuple[Reply, bytes]:
    reply = await connections.open(upstream(base_url=url), "POST", "v1/x", [(b"x-a", b"1")], body)
    try:
        whole, complete = await reply.read(64 * 1024 * 1024)
        assert complete
        return reply, whole
    finally:
        await reply.close()


def answering(*replies: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await head(reader)
            for start in range(0, len(reply), 7):
                writer.write(reply[start : start + 7])
                await writer.drain()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
GOOD = {
    "length": OK,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "after 103": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
}
BAD = {
    "nothing": b"",
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "short": OK[:-1],
    "cut in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", GOOD)
async def test_every_framing_is_read(engine: str, kind: str) -> None:
    connections = Connections(engine)
    async with raw(answering(GOOD[kind])) as (url, _):
        reply, body = await call(connections, url)
        assert (reply.status, body) == (200, b"hello")
        await connections.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", BAD)
async def test_what_is_no_whole_reply_is_an_error(engine: str, kind: str) -> None:
    connections = Connections(engine)
    async with raw(answering(BAD[kind])) as (url, _):
        with pytest.raises((ReplyBroken, ConnectFailed)):
            await asyncio.wait_for(call(connections, url), 30)
        await connections.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_connection_is_used_again_only_after_a_whole_reply(engine: str) -> None:
    connections = Connections(engine)
    chunked, closing = GOOD["chunked"], OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with raw(answering(OK, chunked, OK, closing)) as (url, opened):
        for _ in range(4):
            assert (await call(connections, url))[1] == b"hello"
        assert len(opened) == 1
        assert (await call(connections, url))[1] == b"hello"
        assert len(opened) == 2  # the fourth reply said close
        reply = await connections.open(upstream(base_url=url), "POST", "v1/x", (), b"{}")
        await reply.close()  # unread: nobody may get its rest
        assert (await call(connections, url))[1] == b"hello"
        assert len(opened) in (2, 3)  # its rest had come, or had not
        await connections.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_large_body_passes_with_back_pressure(engine: str) -> None:
    size = 20_000_000
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    connections = Connections(engine)
    async with raw(serve) as (url, _):
        reply = await connections.open(upstream(base_url=url), "POST", "v1/x", (), b"b" * 3_000_000)
        held = -1
        while held != sent:  # as much as the buffers between us take, and no more
            held = sent
            await asyncio.sleep(0.2)
        assert held < size
        received = 0
        while chunk := await reply.next():
            received += len(chunk)
        assert received == size
        await reply.close()
        await connections.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_leaving_early_closes_the_connection(engine: str) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        closed.set()

    connections = Connections(engine)
    async with raw(serve) as (url, _):
        reply = await connections.open(upstream(base_url=url), "POST", "v1/x", (), b"{}")
        assert await reply.next() == b"hello"
        await reply.close()
        await asyncio.wait_for(closed.wait(), 30)
        await connections.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:1", ConnectFailed),
        ("http://no-such-host.invalid", ConnectFailed),
        ("http://169.254.169.254", AddressRefused),
        ("http://[::ffff:169.254.169.254]", AddressRefused),
        ("ftp://127.0.0.1", ConnectFailed),
    ],
)
async def test_where_nobody_answers_or_may_be_asked(engine: str, url: str, error: type[UpstreamError]) -> None:
    connections = Connections(engine)
    with pytest.raises(error):
        await asyncio.wait_for(call(connections, url), 30)
    await connections.close()


async def test_a_refused_address_can_be_allowed() -> None:
    Guard([ip_network("169.254.0.0/16")]).check("169.254.169.254")
    with pytest.raises(RefusedAddress):
        Guard([ip_network("169.254.0.0/16")]).check("fe80::1")


async def test_a_header_that_breaks_its_line_is_never_sent() -> None:
    connections = Connections("native")
    async with raw(answering(OK)) as (url, opened):
        with pytest.raises(UpstreamError):
            await connections.open(upstream(base_url=url), "POST", "v1/x", [(b"x-a", b"1\r\nx-evil: 2")], b"{}")
        assert opened == []
        await connections.close()
