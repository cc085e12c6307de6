"""Retries: which outcomes, after how long, within one deadline, and never a storm."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import AddressRefused, ConnectFailed, ReplyBroken, TimedOut, UpstreamError
from routing.errors import UpstreamSaid
from routing.retries import (
    BROKEN,
    CONNECT,
    EMPTY,
    REFUSED,
    TIMEOUT,
    TRUNCATED,
    Allowance,
    Budget,
    Outcome,
    Pace,
    Plan,
    outcome_of,
    retried,
)

OUTCOMES: list[Outcome] = [
    CONNECT,
    BROKEN,
    EMPTY,
    TRUNCATED,
    TIMEOUT,
    REFUSED,
    400,
    401,
    404,
    408,
    409,
    429,
    500,
    503,
    529,
]


def plan(deadline: float = 1000, retries: int = 2, budget: Budget | None = None, pace: Pace | None = None) -> Plan:
    return Plan(deadline, retries, budget or Budget(), random.Random(5), pace)


def test_which_outcomes_are_tried_again() -> None:
    found = {outcome for outcome in OUTCOMES if retried(outcome)}
    assert found == {CONNECT, BROKEN, EMPTY, TRUNCATED, 408, 429, 500, 503, 529}
    assert not retried(200)
    for outcome in OUTCOMES:
        assert (plan().next(outcome, 0, 0) is not None) == (outcome in found)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectFailed(), CONNECT),
        (ReplyBroken(), BROKEN),
        (TimedOut(), TIMEOUT),
        (AddressRefused(), REFUSED),
        (UpstreamError(), BROKEN),
    ],
)
def test_errors_have_a_word(error: UpstreamError, outcome: str) -> None:
    assert outcome_of(error) == outcome
    assert issubclass(UpstreamSaid, UpstreamError)


def test_the_upstreams_number_of_retries_bounds_each_target() -> None:
    one = plan(retries=2)
    assert [one.next(500, 0, 0) is None for _ in range(4)] == [False, False, True, True]
    one.aim(1, 0)
    assert [one.next(500, 0, 0) is None for _ in range(2)] == [False, True]
    assert plan(retries=0).next(500, 0, 0) is None


def test_nothing_is_tried_again_after_commit() -> None:
    one = plan()
    one.commit()
    assert one.next(CONNECT, 0, 0) is None
    one.aim(5, 0)
    assert one.next(CONNECT, 0, 0) is None


def test_pauses_grow_with_full_jitter() -> None:
    pace, seen = Pace(first=0.5, longest=3), [list[float]() for _ in range(6)]
    for seed in range(500):
        one = Plan(1e6, 6, Budget(), random.Random(seed), pace)
        for pauses in seen:
            delay = one.next(500, 0, 0)
            assert delay is not None
            pauses.append(delay)
    for pauses, ceiling in zip(seen, (0.5, 1, 2, 3, 3, 3), strict=True):
        assert 0 <= min(pauses) < 0.05 * ceiling
        assert 0.95 * ceiling < max(pauses) <= ceiling
        assert abs(sum(pauses) / len(pauses) - ceiling / 2) < 0.1 * ceiling


def test_what_the_upstream_asks_for_is_waited_within_patience() -> None:
    delay = plan().next(429, 7.5, 0)
    assert delay is not None
    assert 7.5 <= delay <= 8.0
    assert plan().next(429, 10.5, 0) is None
    assert plan(pace=Pace(patience=60)).next(429, 10.5, 0) is not None


def test_one_deadline_bounds_it_all() -> None:
    assert plan(deadline=7).next(429, 7.5, 0) is None
    assert plan(deadline=10).next(500, 0, 10) is None
    assert plan(deadline=10).remaining(4) == 6
    assert plan(deadline=10).remaining(11) == 0


@given(
    st.floats(0, 600),
    st.integers(0, 10),
    st.lists(st.tuples(st.sampled_from(OUTCOMES), st.floats(0, 20), st.floats(0, 60), st.booleans()), max_size=30),
    st.integers(),
)
def test_no_wait_passes_the_deadline(
    deadline: float, retries: int, steps: list[tuple[Outcome, float, float, bool]], seed: int
) -> None:
    one, now, tries = Plan(deadline, retries, Budget(), random.Random(seed)), 0.0, 0
    for outcome, asked, took, moved in steps:
        now += took
        delay = one.next(outcome, asked, now)
        if delay is not None:
            tries += 1
            assert asked <= delay <= asked + 8
            assert now + delay < deadline
            now += delay
        assert tries <= retries
        if moved:
            one.aim(retries, now)
            tries = 0


def test_a_refused_retry_costs_nothing() -> None:
    budget = Budget(Allowance(reserve=1, per_second=0))
    one = plan(budget=budget)
    assert one.next(400, 0, 0) is one.next(429, 1e9, 0) is one.next(500, 0, 1e9) is None
    assert budget.tokens == 1
    assert one.next(500, 0, 0) is not None
    assert one.next(500, 0, 0) is None
    assert one.left == 1


def test_five_requests_earn_one_retry() -> None:
    budget = Budget(Allowance(reserve=0, per_second=0))
    for _ in range(7):
        for _ in range(5):
            assert not budget.spend(0)
            budget.request()
        assert budget.spend(0)


def test_a_quiet_gateway_gets_its_reserve_back() -> None:
    budget = Budget(Allowance(reserve=2, per_second=0.1))
    assert [budget.spend(0) for _ in range(3)] == [True, True, False]
    assert not budget.spend(9)
    assert budget.spend(10.1)
    assert [budget.spend(1e6) for _ in range(3)] == [True, True, False]


OPS = st.lists(st.tuples(st.sampled_from(["request", "spend", "debit"]), st.floats(0, 5)), max_size=200)


@given(OPS, st.floats(0, 1), st.integers(0, 20))
def test_attempts_never_pass_the_allowance(ops: list[tuple[str, float]], ratio: float, reserve: int) -> None:
    budget, now = Budget(Allowance(ratio=ratio, reserve=reserve, per_second=0.1)), 0.0
    requests = retries = 0
    for what, seconds in ops:
        now += seconds
        if what == "request":
            budget.request()
            requests += 1
        elif what == "spend":
            retries += budget.spend(now)
        else:
            budget.debit(now)
        assert retries <= reserve + ratio * requests + 0.1 * now + 1e-6
        assert 0 <= budget.tokens <= 100


@pytest.mark.parametrize("failing", [0.1, 0.3, 1.0])
def test_no_storm_when_everything_fails(failing: float) -> None:
    """10,000 requests, each ready to try eleven times: attempts stay under 1.2 for each and what was saved up."""
    budget, rng, attempts, ok, requests = Budget(), random.Random(1), 0, 0, 10_000
    for n in range(requests):
        now = n / 1000
        budget.request()
        one = Plan(now + 600, 10, budget, rng)
        while True:
            attempts += 1
            if rng.random() >= failing:
                ok += 1
                break
            if one.next(503, 0, now) is None:
                break
    print(f"{failing:.0%} failing: {attempts / requests:.3f} attempts for each request, {ok / requests:.2%} succeed")
    assert attempts <= 1.2 * requests + budget.allowance.reserve + 1
    if failing == 0.1:
        assert ok >= 0.999 * requests
