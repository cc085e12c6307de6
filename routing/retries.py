"""Whether a failed attempt is tried again at the same target, and after how long. Pure: time and chance are given.

An outcome is the status of a reply, or one of the words below where there was none that could be used.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from providers.errors import AddressRefused, ConnectFailed, TimedOut, UpstreamError

CONNECT: Final = "connect"  # no connection: name, route, port, TLS
BROKEN: Final = "broken"  # the connection broke before the first byte was relayed
TIMEOUT: Final = "timeout"  # no first byte in time: trying again here would cost the same time once more
EMPTY: Final = "empty"  # a success without content
TRUNCATED: Final = "truncated"  # a reply that ended before its first whole event
REFUSED: Final = "refused"  # an address that is never called

Outcome = int | str
RETRIED: Final = frozenset({CONNECT, BROKEN, EMPTY, TRUNCATED})
RETRIED_STATUSES: Final = frozenset({408, 429})


def outcome_of(error: UpstreamError) -> str:
    """The word for an error of an attempt before its first byte."""
    if isinstance(error, AddressRefused):
        return REFUSED
    if isinstance(error, TimedOut):
        return TIMEOUT
    return CONNECT if isinstance(error, ConnectFailed) else BROKEN


def retried(outcome: Outcome) -> bool:
    """Whether another try at the same target may end better."""
    if isinstance(outcome, str):
        return outcome in RETRIED
    return outcome in RETRIED_STATUSES or 500 <= outcome < 600


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: the first pause, the longest, and the longest that an upstream may ask for before it is left alone."""

    first: float = 0.5
    longest: float = 8.0
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """``ratio`` retries for each request, at most ``most`` saved up; ``reserve`` of them are there from the start and
    come back at ``per_second``, so that a quiet gateway retries too."""

    ratio: float = 0.2
    reserve: float = 10.0
    per_second: float = 0.1
    most: float = 100.0


class Budget:
    """The retries of one process: a token bucket that requests fill, against retry storms.

    Over any time attempts are at most 1 + ratio for each request, and what was saved up before.
    """

    __slots__ = ("allowance", "refilled", "tokens")

    def __init__(self, allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self.tokens = self.allowance.reserve
        self.refilled: float | None = None

    def request(self) -> None:
        """A request has come: it brings its share of a retry."""
        self.tokens = min(self.allowance.most, self.tokens + self.allowance.ratio)

    def spend(self, now: float) -> bool:
        """Take one retry, if there is one."""
        self._refill(now)
        # A share such as 0.2 is no exact number: five of them may be a hair less than one.
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens = max(0.0, self.tokens - 1)
        return True

    def debit(self, now: float) -> None:
        """An attempt at the next target: never refused, but it leaves less for retries."""
        self._refill(now)
        self.tokens = max(0.0, self.tokens - 1)

    def _refill(self, now: float) -> None:
        allowance = self.allowance
        if self.refilled is not None and self.tokens < allowance.reserve:
            gained = max(0.0, now - self.refilled) * allowance.per_second
            self.tokens = min(allowance.reserve, self.tokens + gained)
        self.refilled = now


class Plan:
    """The retries of one request. ``deadline`` bounds its queue wait and all its attempts together; ``now`` and
    ``deadline`` are readings of one monotonic clock."""

    __slots__ = ("budget", "committed", "deadline", "left", "pace", "rng", "tries")

    def __init__(
        self, deadline: float, max_retries: int, budget: Budget, rng: random.Random, pace: Pace | None = None
    ) -> None:
        self.deadline = deadline
        self.budget = budget
        self.rng = rng
        self.pace = pace or Pace()
        self.left = max_retries  # of this target
        self.tries = 0  # of this target
        self.committed = False

    def aim(self, max_retries: int, now: float) -> None:
        """Go on with the next target."""
        self.left, self.tries = max_retries, 0
        self.budget.debit(now)

    def commit(self) -> None:
        """The first byte has gone to the client: nothing is tried again."""
        self.committed = True

    def remaining(self, now: float) -> float:
        """Seconds until the deadline; none left is 0."""
        return max(0.0, self.deadline - now)

    def next(self, outcome: Outcome, retry_after: float, now: float) -> float | None:
        """Seconds to wait before the same target is tried again; None where it is not. ``retry_after`` is what the
        upstream asked for, 0 for nothing."""
        if self.committed or self.left < 1 or not retried(outcome):
            return None
        delay = self._delay(retry_after)
        if retry_after > self.pace.patience or now + delay >= self.deadline or not self.budget.spend(now):
            return None
        self.left -= 1
        self.tries += 1
        return delay

    def _delay(self, retry_after: float) -> float:
        """Anywhere up to a ceiling that doubles, added to what the upstream asks for: all who were told the same second
        must not come back in it."""
        ceiling = min(self.pace.longest, self.pace.first * 2.0 ** min(self.tries, 60))
        return max(0.0, retry_after) + self.rng.uniform(0, ceiling)
