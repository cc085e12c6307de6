"""The production server: uvicorn, in this process. What is ours is the way it ends.

SIGTERM: /ready says 503 while connections are still accepted, so that load balancers notice; then the listener closes,
streams finish, and the application closes. SIGINT, from a keyboard, does not wait for load balancers. A second signal
cuts the streams and closes the application; a third kills.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from types import FrameType

import uvicorn
from django.conf import settings

from gateway_project import garbage
from gateway_project.protocol import BoundedHttp
from gateway_project.websocket import DrainingWebSocket

APPLICATION = "gateway_project.asgi:application"
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s of common load balancers: who closes first must be they
BACKLOG = 2048


def listener(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OSError with a text that says why not."""
    family, kind, protocol, _, where = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def config() -> uvicorn.Config:
    return uvicorn.Config(
        APPLICATION,
        loop="uvloop",
        http=BoundedHttp,
        ws=DrainingWebSocket,
        ws_max_size=settings.GATEWAY_MAX_BODY_BYTES,
        ws_per_message_deflate=False,  # it would hold back small events, and costs more than it saves
        lifespan="on",
        log_config=None,  # Django's LOGGING
        access_log=False,
        proxy_headers=False,  # the client's address is told only by GATEWAY_TRUSTED_PROXIES
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.GATEWAY_DRAIN_TIMEOUT)),
    )


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.signals = 0
        self.closes_at = 0.0
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        garbage.settle()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.signals += 1
        if self.signals == 1:
            self.drain(0 if sig == signal.SIGINT else settings.GATEWAY_DRAIN_DELAY)
        elif self.signals == 2 and self.loop is not None:
            # Not from here: a signal handler may run in the middle of any callback.
            self.loop.call_soon_threadsafe(self.cut)
        else:
            os._exit(1)

    def drain(self, delay: float) -> None:
        """Say on /ready that this server ends, and close its listener after ``delay``. Harmless twice."""
        self.closes_at = self.closes_at or time.monotonic() + delay

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. Here and not in the signal's handler, which may come while the application is imported."""
        if self.closes_at:
            from gateway_project import asgi

            asgi.begin_drain()
            self.should_exit = self.should_exit or time.monotonic() >= self.closes_at
        return await super().on_tick(counter)

    def cut(self) -> None:
        """End every request under way; each is settled as it ends, and the server stops as if they had finished."""
        self.should_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.add_done_callback(
                self.server_state.tasks.discard
            )  # one that has not begun cannot say that it has ended
            task.cancel()


def run(bound: socket.socket) -> None:
    """Serve until a signal ends it."""
    Server(config()).run([bound])
