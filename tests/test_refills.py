"""Requests that wait for slices: in their order, one round trip for all of them, and nothing left behind by who leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, connections

from tenants import lease_threads
from tenants.lease_rows import LeaseCounter, LeaseWindow
from tenants.lease_threads import LOOK_AGAIN, DatabaseLeases
from tenants.leases import Ask, Counter, Grant, Key, LeasesAway, Refusal, Reservation
from tenants.periods import Period
from tenants.refills import MOST_TRIES, Refills
from tenants.wallet import Wallet
from tests.lease_books import MemoryBooks

NOW = 1_790_000_000.0
PATIENCE = 30.0
BUDGET = Counter("b", 1_000, Period("total"))
T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(story, PATIENCE))


class Site:
    """Workers over one store, each of whose exchanges waits until ``go`` is set."""

    def __init__(self, cap: int = 1_000) -> None:
        self.books = MemoryBooks(divisor=4)
        self.books.define("b", cap)
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    def worker(self, owner: str) -> Refills:
        async def exchange(asks: list[Ask]) -> list[Grant]:
            await self.go.wait()
            if self.error is not None:
                raise self.error
            return self.books.exchange(owner, asks, NOW)

        async def shortages() -> list[Key]:
            return self.books.shortages(owner, NOW)

        return Refills(Wallet(), exchange, shortages)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_all_who_wait_cost_one_round_trip() -> None:
    async def story() -> None:
        refills = Site().worker("one")
        made = await asyncio.gather(*(refills.reserve([BUDGET], [10], NOW) for _ in range(50)))
        assert all(isinstance(one, Reservation) for one in made)
        assert refills.waits == 50 and refills.exchanges <= 2, "one more is to have something ahead"
        assert isinstance(await refills.reserve([BUDGET], [10], NOW), Reservation)

    run(story())


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    async def story() -> None:
        refills = Site().worker("one")
        amounts = [400, 300, 250, 200, 50, 1]
        made = await asyncio.gather(*(refills.reserve([BUDGET], [amount], NOW) for amount in amounts))
        served = [isinstance(one, Reservation) for one in made]
        assert served == [True, True, True, False, True, False]
        refusal = made[3]
        assert isinstance(refusal, Refusal) and (refusal.counter, refusal.reason) == (BUDGET, "held")

    run(story())


@pytest.mark.parametrize("served", [True, False])
def test_a_client_that_leaves_while_it_waits_holds_nothing(served: bool) -> None:
    """Before its slice comes, and in the very moment after that."""

    async def story() -> None:
        site = Site()
        refills = site.worker("one")
        site.go.clear()
        leaving = asyncio.create_task(refills.reserve([BUDGET], [300], NOW))
        staying = asyncio.create_task(refills.reserve([BUDGET], [400], NOW))
        await until(lambda: refills.exchanges == 1)
        site.go.set()
        if served:
            await until(lambda: any(lease.reserved == 700 for lease in refills.wallet))
        assert not leaving.done()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        made = await staying
        assert isinstance(made, Reservation)
        (lease,) = refills.wallet
        assert lease.reserved == 400
        refills.wallet.settle(made, [0])
        await refills.close()
        assert site.books.granted[("b", "", 0)] == 0

    run(story())


def test_what_the_store_raises_is_raised_to_all_and_forgotten() -> None:
    async def story() -> None:
        site = Site()
        refills = site.worker("one")
        first = await refills.reserve([BUDGET], [100], NOW)
        assert isinstance(first, Reservation)
        site.error = LeasesAway("away")
        asked = [refills.reserve([BUDGET], [amount], NOW) for amount in (600, 5, 600)]
        away, held, away_too = await asyncio.gather(*asked, return_exceptions=True)
        assert away is away_too is site.error and refills.failures == 1
        assert isinstance(held, Reservation), "what it has is spent without asking"
        with pytest.raises(LeasesAway):
            refills.wallet.settle(first, [100])
            await refills.close()
        site.error = None
        assert isinstance(await refills.reserve([BUDGET], [600], NOW), Reservation)

    run(story())


def test_slices_are_fetched_ahead() -> None:
    async def story() -> None:
        site = Site(cap=10**6)
        refills = site.worker("one")
        for _ in range(200):
            assert isinstance(await refills.reserve([BUDGET], [100], NOW), Reservation)
            await until(lambda: not refills.wallet.hungry)
        assert refills.waits < 3 < refills.exchanges

    run(story())


def test_who_waits_is_not_kept_waiting_for_more_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.refills.GATHERING", 1_000.0)

    async def story() -> None:
        site = Site(cap=10**6)
        refills = site.worker("one")
        for _ in range(3):  # of a slice for four
            assert isinstance(await refills.reserve([BUDGET], [100], NOW), Reservation)
        assert refills.wallet.hungry and refills.waits == 1
        assert isinstance(await refills.reserve([BUDGET], [500], NOW), Reservation)
        assert refills.waits == 2
        await refills.close()

    run(story())


def test_what_one_does_not_use_another_can() -> None:
    async def story() -> None:
        site = Site()
        one, two = site.worker("one"), site.worker("two")
        made = await one.reserve([BUDGET], [900], NOW)
        assert isinstance(made, Reservation)
        one.wallet.settle(made, [100])
        assert isinstance(await two.reserve([BUDGET], [500], NOW), Refusal)
        await one.tick()
        two.wallet.recheck()
        assert isinstance(await two.reserve([BUDGET], [900], NOW), Reservation)
        assert site.books.granted[("b", "", 0)] == 1_000

    run(story())


def test_who_is_always_too_late_is_refused() -> None:
    """Others take what was granted for it, again and again."""

    async def story() -> None:
        site = Site()
        refills = site.worker("one")
        take = refills.wallet.take

        def steal(grants: list[Grant]) -> None:
            take([grant._replace(granted=0, pool=900) for grant in grants])

        refills.wallet.take = steal  # type: ignore[method-assign, assignment]
        refusal = await refills.reserve([BUDGET], [10], NOW)
        assert isinstance(refusal, Refusal) and refusal.reason == "held" and refills.exchanges == MOST_TRIES

    run(story())


def test_a_thousand_slices_do_not_go_back_at_once() -> None:
    """Others would wait as long for what the exchange locks."""

    async def story() -> None:
        site = Site()
        refills = site.worker("one")
        users = [Counter("b", 1_000, Period("total"), subject=f"user {number}") for number in range(250)]
        made = await refills.reserve(users, [10] * 250, NOW)
        assert isinstance(made, Reservation) and refills.exchanges == 3
        refills.wallet.settle(made, [1] * 250)
        site.error = LeasesAway("away")
        with pytest.raises(LeasesAway):
            await refills.close()
        site.error = None
        await refills.close()
        assert refills.exchanges == 7 and len(refills.wallet) == 0
        assert set(site.books.granted.values()) == {1}, "what is not drained yet"

    run(story())


def test_an_ask_that_is_not_answered_is_asked_again() -> None:
    """The store has heard a later one of this owner's before."""

    async def story() -> None:
        site = Site()
        refills = site.worker("one")
        answer = site.books.exchange
        site.books.exchange = lambda owner, asks, now: []  # type: ignore[method-assign]
        assert isinstance(await refills.reserve([BUDGET], [10], NOW), Refusal)
        site.books.exchange = answer  # type: ignore[method-assign]
        assert isinstance(await refills.reserve([BUDGET], [10], NOW), Reservation)

    run(story())


@pytest.mark.django_db(transaction=True)
def test_over_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    LeaseCounter.objects.create(name="b", cap=1_000)

    async def story() -> None:
        stores = [DatabaseLeases(owner, workers=2, timeout=PATIENCE) for owner in ("one", "two")]
        workers = [Refills(Wallet(), store.exchange, store.shortages) for store in stores]
        made: list[tuple[Wallet, Reservation]] = []
        while len(made) < 1_000 // 30:
            asked = [(worker.wallet, worker.reserve([BUDGET], [30], NOW)) for worker in workers for _ in range(20)]
            outcomes = await asyncio.gather(*(each for _, each in asked))
            kept = zip(asked, outcomes, strict=True)
            made += [(wallet, each) for (wallet, _), each in kept if isinstance(each, Reservation)]
            for worker in workers:
                await worker.tick()
                worker.wallet.recheck()
        assert len(made) == 1_000 // 30
        for wallet, reservation in made:
            wallet.settle(reservation, [0])
        for worker in workers:
            await worker.close()

        def broken(*_: Any) -> None:
            raise OperationalError("away")

        monkeypatch.setattr(lease_threads, "exchange", broken)
        with pytest.raises(LeasesAway):
            await workers[0].reserve([BUDGET], [1], NOW)
        assert stores[0].errors == 1
        for store in stores:
            await asyncio.to_thread(store.close)

    run(story())
    assert LeaseWindow.objects.get().granted == 0


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_hardly_pauses_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself would look ever more rarely."""
    if connection.vendor != "sqlite":
        pytest.skip("SQLite has one write lock")
    LeaseCounter.objects.create(name="b", cap=1_000)
    writer = connections.create_connection("default")
    looks = []

    def look_again(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 50:
            writer.close()

    monkeypatch.setattr("tenants.lease_threads.time.sleep", look_again)
    writer.inc_thread_sharing()
    writer.cursor().execute("BEGIN IMMEDIATE")
    store = DatabaseLeases("one", timeout=PATIENCE)
    try:
        (grant,) = asyncio.run(store.exchange([Ask(1, 1, "b", "", 0, 0, 10, 10, 10)]))
    finally:
        store.close()
    assert grant.granted == 10 and looks == [LOOK_AGAIN] * 50 and not store.errors
