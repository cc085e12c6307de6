"""The counts of one format, model and provider: summed up in plain numbers, and handed to Prometheus now and then.

Nothing here keeps an entry: what a request has used is free for the next one as soon as it is over.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from prometheus_client import Counter, Histogram

from tenants.ledger import Entry

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
BOUNDS: Final = tuple(round(each * 1_000_000) for each in SECONDS)
"""Of the buckets, in microseconds."""
WHERE: Final = ("format", "model", "provider")

REQUESTS: Final = Counter("proxy_requests_total", "Requests, by how they ended.", (*WHERE, "status"))
DURATION: Final = Histogram(
    "proxy_request_duration_seconds", "Time from the request's head to the reply's last byte.", WHERE, buckets=SECONDS
)
FIRST_TOKEN: Final = Histogram(
    "proxy_time_to_first_token_seconds",
    "Time from the request's head to the first byte of a streamed reply.",
    WHERE,
    buckets=SECONDS,
)
ERRORS: Final = Counter("proxy_errors_total", "Failed requests, by kind.", (*WHERE, "error_type"))
TOKENS: Final = Counter(
    "proxy_tokens_total", "Tokens, by kind; cache and reasoning tokens are parts of input and output.", (*WHERE, "kind")
)
COST: Final = Counter("proxy_cost_usd_total", "Cost in US dollars.", ("tenant", *WHERE))

#: Words of the usage rows that are no error kinds of their own.
ERROR_TYPES: Final = {
    "truncated": "network",
    "not_found": "invalid_request",
    "cancelled": "cancelled",
    "not_implemented": "invalid_request",
}


class Times:
    """How many lasted how long."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.sum = 0

    def add(self, microseconds: int) -> None:
        self.buckets[bisect_left(BOUNDS, microseconds)] += 1
        self.sum += microseconds

    def hand_to(self, child: Any) -> None:
        """As so many calls of ``observe``: the library has no way to add many at once."""
        child._sum.inc(self.sum / 1_000_000)
        for place, count in enumerate(self.buckets):
            if count:
                child._buckets[place].inc(count)
                self.buckets[place] = 0
        self.sum = 0


class Series:
    """``waiting`` says whether there is something to hand on."""

    __slots__ = (
        "_cached",
        "_children",
        "_costs",
        "_duration",
        "_errors",
        "_first_token",
        "_input",
        "_output",
        "_reasoning",
        "_statuses",
        "_where",
        "_written",
        "waiting",
    )

    def __init__(self, where: tuple[str, str, str]) -> None:
        self._where = where
        self._children: dict[tuple[Any, ...], Any] = {}  # found once
        self._duration = Times()
        self._first_token: Times | None = None  # made where something streams
        self._statuses: dict[int, int] = {}
        self._errors: dict[str, int] = {}
        self._costs: dict[str, int] = {}
        self._input = self._output = self._cached = self._written = self._reasoning = 0
        self.waiting = False

    def add(self, entry: Entry) -> None:
        """Count a request that has ended."""
        self.waiting = True
        self._duration.add(entry.duration_us)
        self._statuses[entry.status] = self._statuses.get(entry.status, 0) + 1
        self._input += entry.input_tokens
        self._output += entry.output_tokens
        self._cached += entry.cache_read_tokens
        self._written += entry.cache_write_tokens
        self._reasoning += entry.reasoning_tokens
        if entry.cost:
            self._costs[entry.tenant] = self._costs.get(entry.tenant, 0) + entry.cost
        if entry.error_kind:
            kind = ERROR_TYPES.get(entry.error_kind, entry.error_kind)
            self._errors[kind] = self._errors.get(kind, 0) + 1
        if entry.stream and entry.first_byte_us is not None:
            self._first_token = self._first_token or Times()
            self._first_token.add(entry.first_byte_us)

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        self.waiting = False
        self._duration.hand_to(self._child(DURATION))
        if self._first_token is not None:
            self._first_token.hand_to(self._child(FIRST_TOKEN))
        for status, count in self._statuses.items():
            self._child(REQUESTS, str(status)).inc(count)
        for kind, count in self._errors.items():
            self._child(ERRORS, kind).inc(count)
        for tenant, cost in self._costs.items():
            COST.labels(tenant, *self._where).inc(cost / 1e9)
        self._statuses.clear()
        self._errors.clear()
        self._costs.clear()
        tokens = {
            "input": self._input,
            "output": self._output,
            "cache_read": self._cached,
            "cache_write": self._written,
            "reasoning": self._reasoning,
        }
        for name, count in tokens.items():
            if count:
                self._child(TOKENS, name).inc(count)
        self._input = self._output = self._cached = self._written = self._reasoning = 0

    def _child(self, metric: Any, *more: str) -> Any:
        found = self._children.get((metric, *more))
        if found is None:
            found = self._children[(metric, *more)] = metric.labels(*self._where, *more)
        return found
