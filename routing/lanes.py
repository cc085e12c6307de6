"""Which turns of one WebSocket run when: those of one lane after each other, those of different lanes at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from routing.body import Budget, Hold
from routing.errors import GatewayError
from routing.messages import Asked

log = logging.getLogger(__name__)

AT_ONCE = 16
MOST_LANES = 32
MOST_WAITING = 64


class Lanes:
    """``run`` serves one turn, each in a task of its own. Those that wait hold at most ``most`` bytes."""

    def __init__(self, run: Callable[[Asked], Awaitable[None]], budget: Budget, most: int) -> None:
        self.run = run
        self.budget = budget
        self.most = most
        self.names: set[str] = set()
        self.busy: dict[str, asyncio.Future[None]] = {}
        self.waiting: list[tuple[Asked, Hold]] = []
        self.closed = False

    def add(self, asked: Asked) -> None:
        """Run ``asked`` as soon as its lane is free. Raises GatewayError; does nothing once closed."""
        if self.closed:
            return
        self._admit(asked.lane)
        size = sum(len(other.body) for other, _ in self.waiting) + len(asked.body)
        if len(self.waiting) == MOST_WAITING or (self.waiting and size > self.most):
            message = "Too many turns wait on this connection; wait for one to end."
            raise GatewayError("rate_limit", message, code="websocket_queue_full", retry_after=1)
        hold = self.budget.hold()
        hold.take(len(asked.body))
        self.waiting.append((asked, hold))
        self._start()

    def _admit(self, lane: str) -> None:
        if lane and lane not in self.names and len(self.names) == MOST_LANES:
            raise GatewayError(
                "invalid_request",
                f"A connection has at most {MOST_LANES} different values of stream_id; use one of them again.",
                param="stream_id",
                code="websocket_stream_limit_reached",
            )
        self.names |= {lane} - {""}

    def _start(self) -> None:
        for waiting in tuple(self.waiting):
            if len(self.busy) == AT_ONCE:
                return
            asked, hold = waiting
            if asked.lane not in self.busy:
                self.waiting.remove(waiting)
                hold.__exit__()
                task = self.busy[asked.lane] = asyncio.ensure_future(self.run(asked))
                task.add_done_callback(partial(self._ended, asked.lane))

    def _ended(self, lane: str, task: asyncio.Future[None]) -> None:
        del self.busy[lane]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a turn failed", exc_info=error)
        self._start()

    def close(self) -> None:
        """No turn begins any more."""
        self.closed = True
        for _, hold in self.waiting:
            hold.__exit__()
        self.waiting.clear()

    async def ended(self) -> None:
        """Until no turn is under way."""
        while self.busy:
            await asyncio.wait(self.busy.values())

    async def cancel(self) -> None:
        """End it all now."""
        self.close()
        for task in self.busy.values():
            task.cancel()
        await self.ended()
