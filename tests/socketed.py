"""The gateway of ``tests.money`` behind a real server, before a real upstream, all on the sockets of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn

from providers.upstream import Connections
from routing.table import Table
from tenants.refills import Refills
from tenants.wallet import Wallet
from tests.inprocess import Plane
from tests.live import LIMIT
from tests.money import Bank
from tests.upstreams import Request, read_request

Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Request, Write], Awaitable[bool]]
"""Answers one request; whether the connection can be used again."""


class Scripted:
    """An upstream. ``requests`` have arrived; ``left`` is when the gateway gave up a reply that was not at its end."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.left = 0.0
        self.open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def close(self) -> None:
        open_ = dict(self.open)
        for writer in open_.values():
            writer.transport.abort()
        if open_:
            await asyncio.wait(open_)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await read_request(reader)
                self.requests.append(request)
                answering = asyncio.ensure_future(self.script(request, write))
                leaving = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    self.left = time.monotonic()
                    answering.cancel()
                    break
                leaving.cancel()
                await asyncio.wait((leaving,))
                if not answering.result():
                    break
        writer.transport.abort()
        del self.open[task]


class Site:
    """``port`` is the gateway's."""

    def __init__(self, running: Plane, bank: Bank, upstream: Scripted, port: int) -> None:
        self.running = running
        self.bank = bank
        self.upstream = upstream
        self.port = port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT:.0f} s: {what}"
        await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def site_of(make: Callable[[str], Table], script: Script) -> AsyncIterator[Site]:
    """``make`` is given the base URL of the upstream that ``script`` answers for."""
    upstream = Scripted(script)
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    made = make(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    bank = Bank(made)
    running = Plane(made, lambda _: None)
    connections = running.gateway.connections = Connections()
    running.gateway.install(made)
    running.gateway.refills = Refills(Wallet(), bank.exchange, bank.shortages)
    config = uvicorn.Config(
        running.app, interface="asgi3", port=0, lifespan="off", log_level="warning", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.ensure_future(server.serve())
    try:
        await until(lambda: server.started, "the server has started")
        yield Site(running, bank, upstream, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        await connections.close()
        await running.client.aclose()
        listener.close()
        await upstream.close()
        await asyncio.sleep(0)  # whose transports are closed now
