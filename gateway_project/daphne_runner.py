"""Daphne, made to end as the production server does: by itself it kills every request when it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings
from twisted.internet import defer
from twisted.internet import reactor as twisted_reactor

from gateway_project import garbage

reactor: Any = twisted_reactor  # a module to type checkers, an object in truth
POLL_SECONDS = 0.05


class Socket(WebSocketProtocol):  # type: ignore[misc]
    def serverClose(self, code: int | None = None) -> None:  # noqa: N802
        """With any code: Autobahn takes none of the standard's own, as if they were never an application's to say."""
        self.sendCloseFrame(code=code or 1000)


class DrainingServer(Server):  # type: ignore[misc]
    def __init__(self, application: Any, bound: socket.socket) -> None:
        # Its endpoint strings cannot adopt an IPv6 socket; the reactor can, once it runs.
        most = settings.GATEWAY_MAX_BODY_BYTES
        super().__init__(
            application,
            ["adopted"],
            signal_handlers=False,
            server_name="",
            verbosity=0,
            websocket_max_message_size=most,
            websocket_max_frame_size=most,
        )
        self.endpoints: list[str] = []
        self.bound = bound
        self.port: Any = None
        self.signals = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def serve(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._signalled)
        reactor.callWhenRunning(self._spawn, self._started)
        self.run()

    def create_application(self, protocol: Any, scope: Any) -> Any:
        queue = super().create_application(protocol, scope)
        if queue is not None and scope["type"] == "http":
            self.connections[protocol]["application_instance"].add_done_callback(lambda done: _end_early(protocol))
        return queue

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_event_loop().create_task(work())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _started(self) -> None:
        """Daphne sends no lifespan: have the application load what it needs before the first request asks for it."""
        received: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        sent: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._spawn(lambda: self.application({"type": "lifespan", "asgi": {"version": "3.0"}}, received.get, sent.put))
        self.ws_factory.protocol = Socket
        await received.put({"type": "lifespan.startup"})
        await sent.get()
        garbage.settle()
        self.port = reactor.adoptStreamPort(self.bound.fileno(), self.bound.family, self.http_factory)
        self.bound.close()  # the reactor has a duplicate

    def _signalled(self, number: int, frame: object) -> None:
        self.signals += 1
        if self.signals == 1:
            delay = 0 if number == signal.SIGINT else settings.GATEWAY_DRAIN_DELAY
            reactor.callFromThread(self._spawn, lambda: self._drain(delay))
        elif self.signals > 2:
            os._exit(1)

    async def _drain(self, delay: float) -> None:
        from gateway_project import asgi

        asgi.begin_drain()
        await self._until(lambda: False, delay)
        if self.port is not None:
            await defer.maybeDeferred(self.port.stopListening).asFuture(asyncio.get_running_loop())
        self._drain_websockets()
        await self._until(lambda: not self._busy(), settings.GATEWAY_DRAIN_TIMEOUT)
        await self._cut()
        await asgi.close()
        reactor.stop()

    async def _until(self, condition: Any, seconds: float) -> None:
        """Wait; a second signal ends the wait."""
        end = time.monotonic() + seconds
        while self.signals < 2 and time.monotonic() < end and not condition():
            await asyncio.sleep(POLL_SECONDS)

    def _drain_websockets(self) -> None:
        for protocol in self.connections:
            if isinstance(protocol, WebSocketProtocol) and hasattr(protocol, "application_queue"):
                protocol.application_queue.put_nowait({"type": "websocket.drain"})

    def _running(self) -> list[asyncio.Future[Any]]:
        found = [details.get("application_instance") for details in self.connections.values()]
        return [future for future in found if future is not None and not future.done()]

    def _busy(self) -> bool:
        """A request is under way, or the end of its reply is not yet on the wire."""
        return bool(self._running() or reactor.getWriters())

    async def _cut(self) -> None:
        running = self._running()
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def kill_all_applications(self) -> None:
        """Nothing is left to kill: the drain has seen to it. (Daphne's own fails on connections without a request.)"""


def _end_early(request: Any) -> None:
    """A reply that its application has left in the middle: by itself Daphne keeps its client waiting for ever."""
    if request._response_started and not request.finished and request.channel is not None:
        request.channel.loseConnection()


def run(bound: socket.socket) -> None:
    """Serve until a signal ends it."""
    from gateway_project.asgi import application

    DrainingServer(application, bound).serve()
