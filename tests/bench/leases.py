"""What a reservation and its settlement take of our own CPU: three levels of budgets, without and with the limits of
tokens and of requests at once beside them; no I/O.

``python -m tests.bench.leases`` prints both, and what a refusal takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tenants.leases import CONCURRENT, Counter, Grant, Needs, Refusal, Reservation, Trailing
from tenants.periods import Period
from tenants.wallet import Wallet
from tests.bench.report import Goal

ROUNDS = 50_000
TRIES, QUICK_TRIES = 7, 3
#: µs that a reservation over three levels and its settlement may take together.
MOST_US = 5
NOW = 1_790_000_000.0
BUDGETS = (
    Counter("b1", 10**15, Period("month", "Europe/Berlin")),
    Counter("b2", 10**14, Period("month", "America/New_York", 15)),
    Counter("b3", 10**13, Period("day")),
)
LIMITS = (Counter("l1", 10**9, Trailing(60), "tokens"), Counter("l2", 10**6, CONCURRENT, "requests"))


def filled(counters: tuple[Counter, ...]) -> Wallet:
    """A wallet with slices that last."""
    wallet = Wallet()
    needs = wallet.reserve(counters, [1] * len(counters), NOW)
    assert isinstance(needs, Needs)
    wallet.take([Grant(ask.number, ask.sequence, 10**9, 10**12, 0) for ask in wallet.asks([needs])])
    return wallet


def taken_us(tries: int, counters: tuple[Counter, ...], bounds: list[int], actual: list[int]) -> float:
    best = float("inf")
    for _ in range(tries):
        wallet = filled(counters)
        begun = time.process_time()
        for _ in range(ROUNDS):
            made = wallet.reserve(counters, bounds, NOW)
            assert isinstance(made, Reservation)
            wallet.settle(made, actual)
        best = min(best, time.process_time() - begun)
    return 1e6 * best / ROUNDS


def refused_us(tries: int) -> float:
    wallet = filled(BUDGETS)
    lease = next(iter(wallet))
    lease.pool, lease.known_until = 0, float("inf")
    return _best(tries, lambda: isinstance(wallet.reserve(BUDGETS, [10**10] * 3, NOW), Refusal))


def _best(tries: int, call: Callable[[], bool]) -> float:
    best = float("inf")
    for _ in range(tries):
        begun = time.process_time()
        for _ in range(ROUNDS // 10):
            assert call()
        best = min(best, time.process_time() - begun)
    return 1e7 * best / ROUNDS


def measure(quick: bool) -> list[Goal]:
    tries = QUICK_TRIES if quick else TRIES
    three = taken_us(tries, BUDGETS, [9_000, 9_000, 9_000], [3_000, 3_000, 3_000])
    five = taken_us(tries, BUDGETS + LIMITS, [9_000, 9_000, 9_000, 500, 1], [3_000, 3_000, 3_000, 120, 0])
    print(f"\n{'A reservation and its settlement, in memory':<46}{'µs':>17}")
    print(f"  {'three levels of budgets':<44}{three:>17.1f}")
    print(f"  {'and tokens a minute, and requests at once':<44}{five:>17.1f}")
    print(f"  {'a refusal':<44}{refused_us(tries):>17.1f}")
    return [Goal("a reservation over three budgets, settled", three, MOST_US, False, " µs")]


if __name__ == "__main__":
    measure(quick=False)
