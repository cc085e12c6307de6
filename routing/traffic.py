"""What one process has seen of its upstreams, and what it rations among its requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from providers.rotation import Rotation
from providers.upstream import Upstream
from routing.breaker import OPEN, Breakers, Settings, Ticket
from routing.queue import Caps, Queues
from routing.retries import Budget, Pace
from routing.strategies import State

if TYPE_CHECKING:
    from routing.table import Table


class Traffic:
    """``clock`` is monotonic, in seconds: breakers, retries and deadlines go by it. ``wall`` is seconds since the epoch:
    credentials rest by it, since upstreams tell their times so."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self.wall: Callable[[], float] = time.time
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.state = State()
        self.breakers = Breakers()
        self.rotation = Rotation()
        self.queues = Queues()
        self.retries = Budget()
        self.pace = Pace()

    def apply(self, table: Table, workers: int = 1) -> None:
        """Take over the caps of a new table, of which each worker has its share, and forget targets that are gone."""
        upstreams = [upstream for upstream in table.upstreams.values() if upstream.max_concurrent]
        self.queues.apply({upstream.id: _caps(upstream, workers) for upstream in upstreams})
        self.state.keep({target.id for route in table.all_routes() for target in route.targets})

    def allow(self, upstream: Upstream, model: str) -> Ticket | None:
        """A ticket if the circuit breaker of this model lets a request pass."""
        return self.breakers.allow(upstream.id, model, self.clock(), upstream.breaker, settings(upstream))

    def unhealthy(self, upstream: Upstream, model: str) -> str:
        """Why no request can go there now, "" if one can. Changes nothing."""
        reason = self.breakers.reject(upstream.id, model, self.clock(), upstream.breaker)
        if reason or not self.rotation:
            return reason
        wait = self.rotation.wait(upstream, self.wall(), model)
        return f"its credentials rest for {wait:.1f} s more" if wait else ""

    def usable(self, upstream: Upstream) -> bool:
        """Whether any of a provider's models can be called: none is known, or one's circuit breaker is not open."""
        if upstream.breaker:
            return upstream.breaker != OPEN
        rows = [row for row in self.breakers.rows(self.clock()) if row.provider_id == upstream.id]
        return not rows or any(row.state != OPEN for row in rows)

    def wait(self, upstream: Upstream, model: str) -> float:
        """Seconds until a request may go there, as far as one knows."""
        if upstream.breaker == OPEN:
            return 0.0
        breaker = 0.0 if upstream.breaker else self.breakers.wait(upstream.id, model, self.clock())
        return max(breaker, self.rotation.wait(upstream, self.wall(), model))


def _caps(upstream: Upstream, workers: int) -> Caps:
    """The share of one of several workers, rounded up: each must be able to send something."""
    return Caps(-(-upstream.max_concurrent // workers), -(-upstream.max_waiting // workers))


@lru_cache(256)
def settings(upstream: Upstream) -> Settings:
    return _settings(upstream.breaker_requests, upstream.breaker_ratio, upstream.breaker_pause)


@lru_cache(256)
def _settings(at_least: int, ratio: float, pause: float) -> Settings:
    return Settings(at_least=at_least, ratio=ratio, pause=pause)
