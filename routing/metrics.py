"""Prometheus metrics of the data plane. Labels are bounded: ``model`` is a route's name, never what a client typed."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge

from providers.upstream import Upstream
from routing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from routing.call import Call
from routing.queue import Queue
from routing.series import Series
from tenants.ledger import Entry

ACTIVE: Final = Gauge(
    "proxy_active_requests", "Requests under way at a provider.", ("format", "provider"), multiprocess_mode="livesum"
)
DROPPED: Final = Counter(
    "proxy_dropped_fields_total",
    "Requests of which the upstream's API could not express a harmless part (x-gateway-dropped names it).",
    ("format", "provider"),
)
ATTEMPTS: Final = Counter("proxy_upstream_attempts_total", "Calls of providers, by outcome.", ("provider", "outcome"))
BREAKER: Final = Gauge(
    "proxy_breaker_state",
    "The worst circuit breaker of a provider's models: 0 closed, 1 probing, 2 open.",
    ("provider",),
    multiprocess_mode="livemax",
)
QUEUE: Final = Gauge(
    "proxy_queue_depth", "Requests that wait for a place at a provider.", ("provider",), multiprocess_mode="livesum"
)
REVISION: Final = Gauge("proxy_config_revision", "Revision of the configuration in force.", multiprocess_mode="livemin")
WAITING: Final = Gauge(
    "proxy_spool_rows", "Usage rows that wait to be written to the database.", multiprocess_mode="max"
)
STORE_CALLS: Final = Gauge(
    "proxy_object_store_calls", "Awaited database calls about stored upstream objects.", multiprocess_mode="livesum"
)
STORE_SECONDS: Final = Gauge("proxy_object_store_seconds", "Seconds spent in those calls.", multiprocess_mode="livesum")

LIMITED: Final = Counter("proxy_rate_limited_total", "Requests that a limit or budget refused.", ("tenant", "limit"))
#: Routes beyond so many are counted together as ``other``: each takes kilobytes in every worker and in Prometheus.
MAX_SERIES: Final = 500
WORST: Final = {HALF_OPEN: 1, OPEN: 2}


class Metrics:
    """Counts in plain numbers, which cost a request next to nothing; ``flush`` hands them to Prometheus some times a
    second. One event loop uses it."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], Series] = {}
        self._attempts: Counts[tuple[str, str]] = Counts()
        self._active: dict[tuple[str, str], int] = {}
        self._breakers: dict[int, dict[str, str]] = {}
        self._changed: set[int] = set()
        self._waiting: list[Series] = []  # those with something to flush
        self._stale = False

    def enter(self, call: Call) -> None:
        """A call to the entry's provider begins."""
        where = call.active = (call.entry.dialect, call.entry.provider)
        self._active[where] = self._active.get(where, 0) + 1
        self._stale = True

    def leave(self, call: Call) -> None:
        """It has ended; harmless if none began."""
        if call.active is not None:
            self._active[call.active] -= 1
            call.active = None

    def attempt(self, provider: str, outcome: str) -> None:
        self._attempts[provider, outcome] += 1

    def breaker(self, changed: Breaker, before: str, now: float) -> None:
        """A circuit breaker has changed its state."""
        states = self._breakers.setdefault(changed.provider_id, {})
        if changed.state == CLOSED:
            states.pop(changed.model, None)
        else:
            states[changed.model] = changed.state
        self._changed.add(changed.provider_id)

    def upstreams(self, upstreams: Mapping[int, Upstream], queues: Mapping[int, Queue]) -> None:
        """Tell how many wait for each provider, and whose breakers have changed."""
        for provider_id, queue in queues.items():
            if provider_id in upstreams:
                QUEUE.labels(upstreams[provider_id].name).set(queue.waiting)
        changed, self._changed = self._changed, set()
        for provider_id in changed:
            if provider_id in upstreams:
                worst = max([WORST[state] for state in self._breakers[provider_id].values()], default=0)
                BREAKER.labels(upstreams[provider_id].name).set(worst)

    def dropped(self, call: Call) -> None:
        """Something of the request had no place in the upstream's API."""
        DROPPED.labels(call.entry.dialect, call.entry.provider).inc()

    def limited(self, tenant: str, limit: str) -> None:
        """A limit or budget of a tenant's has refused a request."""
        LIMITED.labels(tenant, limit).inc()

    def request(self, entry: Entry) -> None:
        """Count a request that has ended, failures under their status."""
        where = (entry.dialect, entry.route or "other", entry.provider or "none")
        series = self._series.get(where)
        if series is None:
            if len(self._series) >= MAX_SERIES:
                where = (entry.dialect, "other", where[2])
                series = self._series.get(where)
            series = series or self._series.setdefault(where, Series(where))
        if not series.waiting:
            self._waiting.append(series)
        series.add(entry)
        self._stale = True

    def flush(self) -> None:
        if not self._stale:
            return
        self._stale = False
        waiting, self._waiting = self._waiting, []
        for series in waiting:
            series.flush()
        attempts, self._attempts = self._attempts, Counts()
        for (provider, outcome), count in attempts.items():
            ATTEMPTS.labels(provider, outcome).inc(count)
        for where, count in self._active.items():
            ACTIVE.labels(*where).set(count)
