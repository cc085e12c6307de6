"""Keeps the time of all requests under way by one tick, instead of timers and tasks for each.

A request sets a deadline where it begins to wait, which costs an attribute; a tick later than that cancels it. Listening
for a hang-up takes a task: only requests that outlast a whole tick get one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from routing.client import Client

TICK: Final = 0.02
PERIOD: Final = 0.2


class Warden:
    """The clients of one event loop."""

    def __init__(self, after: Callable[[], None]) -> None:
        """``after`` is called some times a second, and once more when the last request is over."""
        self.after = after
        self._called_at = 0.0
        self.clients: set[Client] = set()
        self._ticking: asyncio.TimerHandle | None = None

    def add(self, client: Client) -> None:
        self.clients.add(client)
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)

    def remove(self, client: Client) -> None:
        self.clients.discard(client)

    def _tick(self) -> None:
        self._ticking = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self.clients or now - self._called_at >= PERIOD:
            self._called_at = now
            self.after()
        if not self.clients:
            return
        for client in tuple(self.clients):
            if client.deadline and now > client.deadline:
                client.expire()
            if client.keep_alive:
                client.tick(now)
            if client.receive is not None and client.watcher is None and client.ticked:
                client.listen()
            client.ticked = True
        self._ticking = loop.call_later(TICK, self._tick)
