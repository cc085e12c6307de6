"""Prometheus metrics of the data plane. Labels are bounded: ``model`` is a route's name, never what a client typed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from routing.call import Call
from tenants.ledger import Entry

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
WHERE = ("format", "model", "provider")

REQUESTS = Counter("proxy_requests_total", "Requests, by how they ended.", (*WHERE, "status"))
DURATION = Histogram("proxy_request_duration_seconds", "Time from the request's head to the reply's last byte.", WHERE, buckets=SECONDS)
FIRST_TOKEN = Histogram("proxy_time_to_first_token_seconds", "Time from the request's head to the first byte of a streamed reply.", WHERE, buckets=SECONDS)
ERRORS = Counter("proxy_errors_total", "Failed requests, by kind.", (*WHERE, "error_type"))
ACTIVE = Gauge("proxy_active_requests", "Requests under way at a provider.", ("format", "provider"), multiprocess_mode="livesum")
TOKENS = Counter("proxy_tokens_total", "Tokens, by kind; cache and reasoning tokens are parts of input and output.", (*WHERE, "kind"))
COST = Counter("proxy_cost_usd_total", "Cost in US dollars.", ("tenant", *WHERE))
ATTEMPTS = Counter("proxy_upstream_attempts_total", "Calls of providers, by outcome.", ("provider", "outcome"))
REVISION = Gauge("proxy_config_revision", "Revision of the configuration in force.", multiprocess_mode="livemin")
WAITING = Gauge("proxy_spool_rows", "Usage rows that wait to be written.", multiprocess_mode="livesum")
STORE_CALLS = Gauge("proxy_object_store_calls", "Awaited database calls about stored upstream objects.", multiprocess_mode="livesum")
STORE_SECONDS = Gauge("proxy_object_store_seconds", "Seconds spent in those calls.", multiprocess_mode="livesum")

#: Words of the usage rows that are no error kinds of their own.
ERROR_TYPES = {"truncated": "network", "not_found": "invalid_request", "cancelled": "cancelled", "not_implemented": "invalid_request"}
TOKEN_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")


@lru_cache(8192)
def _child(metric: Any, *labels: str) -> Any:
    """A metric's labelled child; looking one up in the metric itself takes a lock and several checks."""
    return metric.labels(*labels)


class Series:
    """The children of one (format, model, provider), found once."""

    __slots__ = ("duration", "first_token", "statuses", "tokens", "where")

    def __init__(self, where: tuple[str, str, str]) -> None:
        self.where = where
        self.duration = DURATION.labels(*where)
        self.first_token = FIRST_TOKEN.labels(*where)
        self.tokens = [TOKENS.labels(*where, kind) for kind in TOKEN_KINDS]
        self.statuses: dict[int, Any] = {}


class Metrics:
    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], Series] = {}

    def enter(self, call: Call) -> None:
        """A call to the entry's provider begins."""
        call.active = _child(ACTIVE, call.entry.dialect, call.entry.provider)
        call.active.inc()

    def leave(self, call: Call) -> None:
        """It has ended; harmless if none began."""
        if call.active is not None:
            call.active.dec()
            call.active = None

    def attempt(self, provider: str, outcome: str) -> None:
        _child(ATTEMPTS, provider, outcome).inc()

    def request(self, entry: Entry) -> None:
        """Count a request that has ended, failures under their status."""
        where = (entry.dialect, entry.route or "other", entry.provider or "none")
        series = self._series.get(where)
        if series is None:
            series = self._series[where] = Series(where)
        status = series.statuses.get(entry.status)
        if status is None:
            status = series.statuses[entry.status] = REQUESTS.labels(*where, str(entry.status))
        status.inc()
        series.duration.observe(entry.duration_us / 1e6)
        if entry.error_kind:
            _child(ERRORS, *where, ERROR_TYPES.get(entry.error_kind, entry.error_kind)).inc()
        if entry.stream and entry.first_byte_us is not None:
            series.first_token.observe(entry.first_byte_us / 1e6)
        counts = (entry.input_tokens, entry.output_tokens, entry.cache_read_tokens, entry.cache_write_tokens, entry.reasoning_tokens)
        for child, count in zip(series.tokens, counts, strict=True):
            if count:
                child.inc(count)
        if entry.cost:
            _child(COST, entry.tenant, *where).inc(entry.cost / 1e9)
