"""A wallet with a clock of its own, and a store that grants what the test says."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from tenants.leases import Ask, Counter, Grant, Lease, Needs, Refusal, Reservation
from tenants.periods import Period
from tenants.wallet import Wallet

NOW = 1_790_000_000.0
DAY = 86_400
MIDNIGHT = (NOW // DAY + 1) * DAY


class Bench:
    """A wallet with a clock, and a store that grants what it is told to."""

    def __init__(self, *counters: Counter) -> None:
        self.counters = counters
        self.tick, self.now = 0.0, NOW
        self.wallet = Wallet(lambda: self.tick)

    def reserve(self, *amounts: int) -> Reservation | Refusal | Needs:
        return self.wallet.reserve(self.counters, list(amounts), self.now)

    def needs(self, *amounts: int) -> Needs:
        outcome = self.reserve(*amounts)
        assert isinstance(outcome, Needs)
        return outcome

    def taken(self, *amounts: int) -> Reservation:
        outcome = self.reserve(*amounts)
        assert isinstance(outcome, Reservation)
        return outcome

    def refused(self, *amounts: int) -> Refusal:
        outcome = self.reserve(*amounts)
        assert isinstance(outcome, Refusal)
        return outcome

    def grant(
        self, asks: Sequence[Ask], given: int, pool: int | None = None, others: int = 0, met: bool = True
    ) -> None:
        pool = (10**9 if met else 0) if pool is None else pool
        self.wallet.take([Grant(ask.number, ask.sequence, ask.keep + given, pool, others, met) for ask in asks])

    def filled(self, given: int, pool: int = 10**9) -> Bench:
        self.grant(self.wallet.asks([self.needs(*[given] * len(self.counters))]), given, pool)
        return self

    def lease(self, place: int = 0) -> Lease:
        return sorted(self.wallet, key=lambda lease: lease.number)[place]

    def free(self) -> list[int]:
        return [lease.free for lease in sorted(self.wallet, key=lambda lease: lease.number)]


def day(name: str = "b", cap: int = 10_000, *, hard: bool = True) -> Counter:
    return Counter(name, cap, Period("day"), hard=hard)


def log_uniform(rng: random.Random, most: int) -> int:
    return max(1, min(most, int(math.exp(rng.uniform(0, math.log(most + 1))))))
