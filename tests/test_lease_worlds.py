"""Whatever befalls workers, no budget is passed by a nano-dollar, nothing leaks, and nearly all of it can be used."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tenants.leases import Ask, Grant
from tests.lease_books import Books, DatabaseBooks, MemoryBooks
from tests.lease_simulator import KEYS, Sizes, World, run

COST = 50_000
PLENTY = 10**12
#: Each is about one level: the others have plenty.
BINDING = {
    "tenant": Sizes(tenant=50 * COST, project=PLENTY, key=PLENTY, at_once=PLENTY, tokens=PLENTY, cost=COST),
    "project": Sizes(tenant=PLENTY, project=50 * COST + 777, key=PLENTY, at_once=PLENTY, tokens=PLENTY, cost=COST),
    "both": Sizes(tenant=51 * COST, project=50 * COST, key=PLENTY, at_once=PLENTY, tokens=PLENTY, cost=COST),
}


@pytest.mark.parametrize("seed", range(16))
def test_anything_may_happen(seed: int) -> None:
    world = World(MemoryBooks())
    run(world, random.Random(seed), 600)
    assert world.served > 50 and world.refused > 20
    world.end()


@pytest.mark.parametrize("seed", range(16, 24))
def test_anything_may_happen_to_budgets_alone(seed: int) -> None:
    """Without limits that bind sooner."""
    world = World(MemoryBooks(), sizes=Sizes(at_once=PLENTY, tokens=PLENTY))
    run(world, random.Random(seed), 1_200)
    assert world.served > 200
    world.end()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_anything_may_happen_to_a_database(seed: int) -> None:
    world = World(DatabaseBooks())
    run(world, random.Random(seed), 300)
    assert world.served > 20
    world.end()


@pytest.mark.django_db
def test_the_database_does_what_the_plain_account_does() -> None:
    """Grant by grant, over the same requests at the same times."""
    plain, database = (_told(books) for books in (MemoryBooks(), DatabaseBooks()))
    assert len(plain) > 50 and plain == database


def _told(books: Books) -> list[tuple[object, ...]]:
    """The answers in a world of these books."""
    told: list[tuple[object, ...]] = []
    answer = books.exchange

    def exchange(owner: str, asks: Sequence[Ask], now: float) -> list[Grant]:
        grants = answer(owner, asks, now)
        told.extend(grant[:6] for grant in grants)
        return grants

    books.exchange = exchange  # type: ignore[method-assign]
    run(World(books), random.Random(7), 250)
    return told


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("level", BINDING)
def test_nearly_all_of_a_budget_can_be_used(level: str, workers: int) -> None:
    """After any start, by requests of the largest size alone: no small one fills what they leave."""
    sizes = BINDING[level]
    world = World(MemoryBooks(divisor=2 * workers), workers, sizes)
    rng = random.Random(workers)
    run(world, rng, 150, jump=False)
    for worker in list(world.dead):
        world.pass_time(61)
        assert world.bury(worker)
    world.saturate(rng, COST)
    world.end()
    cap = min(sizes.tenant, sizes.project)
    spent = max(amount for (name, _, _), amount in world.charged.items() if world.caps[name] == cap)
    print(f"{level}, {workers} workers: {spent / cap:.2%} of {cap:,}")
    assert cap * 97 <= spent * 100 <= cap * 100


class Machine(RuleBasedStateMachine):
    """The same world, driven by hypothesis: it looks for the shortest way to break it."""

    books: type[Books] = MemoryBooks

    def __init__(self) -> None:
        super().__init__()
        sizes = Sizes(tenant=3_000, project=2_500, key=2_000, tokens=500, at_once=3, cost=1_000)
        self.world = World(self.books(), 2, sizes)

    faults = st.sampled_from(("", "", "lost", "never", "late"))
    places = st.integers(0, 1)

    @rule(
        place=places,
        key=st.integers(0, KEYS - 1),
        bound=st.integers(1, 1_000),
        share=st.integers(0, 100),
        tokens=st.integers(1, 200),
        fault=faults,
    )
    def arrive(self, place: int, key: int, bound: int, share: int, tokens: int, fault: str) -> None:
        self.world.arrive(self.world.workers[place], key, bound, bound * share // 100, tokens, fault)

    @rule(place=places, which=st.integers(0, 10))
    def finish(self, place: int, which: int) -> None:
        worker = self.world.workers[place]
        if worker.open:
            self.world.finish(worker, which % len(worker.open))

    @rule(place=places, fault=faults)
    def look(self, place: int, fault: str) -> None:
        self.world.look(self.world.workers[place], fault)

    @rule(place=places, count=st.integers(1, 5), again=st.booleans())
    def drain(self, place: int, count: int, again: bool) -> None:
        self.world.drain(self.world.workers[place], count, again=again)

    @rule(place=places)
    def kill(self, place: int) -> None:
        self.world.kill(self.world.workers[place])

    @precondition(lambda self: self.world.dead)
    @rule()
    def bury(self) -> None:
        self.world.bury(self.world.dead[0])

    @precondition(lambda self: self.world.late)
    @rule()
    def arrive_late(self) -> None:
        self.world.arrive_late()

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0, 31.0, 61.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(seconds=st.sampled_from((-90_000, -60, 60, 90_000)))
    def jump(self, seconds: int) -> None:
        self.world.wall += seconds

    @invariant()
    def holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.end()


def test_no_short_way_breaks_it() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


class DatabaseMachine(Machine):
    books = DatabaseBooks


@pytest.mark.django_db
def test_no_short_way_breaks_the_database() -> None:
    assert connection.vendor in ("sqlite", "postgresql")
    quick = settings(max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(DatabaseMachine, settings=quick)
