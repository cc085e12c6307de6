"""The queue of a provider, on an event loop whose time jumps to the next timer: no clock on any wall is looked at."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.queue import UNCAPPED, Caps, Place, Queue, QueueFull, Queues

T = TypeVar("T")
FLOODER = 0


class Jumping(selectors.DefaultSelector):
    """Waits for nothing: the time that it was to wait is over at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Jumping()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def run(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(story())


async def hold(queue: Queue, tenant: int, seconds: float, weight: float = 1, limit: float = 1e9) -> Place:
    place = await queue.enter(tenant, weight, limit)
    await asyncio.sleep(seconds)
    place.leave()
    return place


# ---------------------------------------------------------------- one flooding

TENANTS, PLACES, SECONDS, LOAD = range(1, 50), 8, 700, 0.8


def arrivals(seed: int, mean_of: Mapping[int, float]) -> dict[int, list[tuple[float, float]]]:
    """When each tenant comes and how long it then needs a place."""
    found = {}
    for tenant in TENANTS:
        rng = random.Random(seed * 1000 + tenant)
        rate = LOAD * PLACES / len(TENANTS) / mean_of.get(tenant, 1.0)
        at, visits = 0.0, []
        while (at := at + rng.expovariate(rate)) < SECONDS:
            visits.append((at, rng.expovariate(1 / mean_of.get(tenant, 1.0))))
        found[tenant] = visits
    return found


def waits(
    visits: dict[int, list[tuple[float, float]]],
    flood: int = 0,
    flood_hold: float = 1.0,
    queued_as: Callable[[int], int] = int,
) -> list[float]:
    """How long each visit waited while one tenant has ``flood`` requests under way or waiting at all times."""

    async def visit(queue: Queue, tenant: int, at: float, seconds: float) -> float:
        await asyncio.sleep(at)
        return (await hold(queue, queued_as(tenant), seconds)).waited

    async def flooding(queue: Queue) -> None:
        while True:
            await hold(queue, FLOODER, flood_hold)

    async def story() -> list[float]:
        queue = Queue(Caps(PLACES, 100_000))
        flooders = [asyncio.ensure_future(flooding(queue)) for _ in range(flood)]
        tasks = [visit(queue, tenant, *each) for tenant, found in visits.items() for each in found]
        found = await asyncio.gather(*tasks)
        for task in flooders:
            task.cancel()
        return list(found)

    return run(story)


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_flood_at_most_doubles_the_wait_of_the_others(seed: int) -> None:
    visits = arrivals(seed, {})
    alone, flooded = p95(waits(visits)), p95(waits(visits, flood=200))
    in_turn = p95(waits(visits, flood=200, queued_as=lambda tenant: FLOODER))
    print(
        f"p95 wait of 49 tenants: alone {alone:.2f} s, beside a flood {flooded:.2f} s, first come first served {in_turn:.2f} s"
    )
    assert alone > 0.1, "nobody waits, so nothing is shown"
    assert flooded <= 2 * alone
    assert in_turn > 10 * alone, "this load would not show unfairness"


def test_a_flood_of_long_requests_is_charged_for_their_length() -> None:
    visits = arrivals(4, {})
    alone, flooded = p95(waits(visits)), p95(waits(visits, flood=200, flood_hold=4.0))
    assert alone > 0.1 and flooded <= 4 * 2 * alone  # a place comes free four times as rarely


def served(caps: Caps, weights: dict[int, float], holds: dict[int, float], seconds: float) -> Counter[int]:
    """Seconds of place that tenants get of whom each always has enough requests waiting."""
    used: Counter[int] = Counter()

    async def busy(queue: Queue, tenant: int) -> None:
        while True:
            await hold(queue, tenant, holds[tenant], weights[tenant])
            used[tenant] += round(holds[tenant] * 1000)

    async def story() -> None:
        queue = Queue(caps)
        tasks = [asyncio.ensure_future(busy(queue, tenant)) for tenant in weights for _ in range(3 * caps.places)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()

    run(story)
    return used


@pytest.mark.parametrize("places", [1, 2, 5])
def test_places_are_shared_by_weight(places: int) -> None:
    used = served(Caps(places, 1000), {1: 1.0, 2: 2.0, 3: 5.0}, {1: 1.0, 2: 1.0, 3: 1.0}, 1600)
    total = sum(used.values())
    for tenant, share in ((1, 1 / 8), (2, 2 / 8), (3, 5 / 8)):
        assert used[tenant] / total == pytest.approx(share, abs=0.02)


def test_it_is_time_that_is_shared_and_not_requests() -> None:
    used = served(Caps(4, 1000), {1: 1.0, 2: 1.0}, {1: 1.0, 2: 4.0}, 2000)
    assert used[1] / used[2] == pytest.approx(1, abs=0.05)


def test_nobody_saves_up_by_resting() -> None:
    async def story() -> list[int]:
        queue, order = Queue(Caps(1, 100)), list[int]()

        async def one(tenant: int) -> None:
            place = await queue.enter(tenant, 1, 1e9)
            order.append(tenant)
            await asyncio.sleep(1)
            place.leave()

        busy = [asyncio.ensure_future(one(1)) for _ in range(40)]
        await asyncio.sleep(20.5)
        late = [asyncio.ensure_future(one(2)) for _ in range(10)]
        await asyncio.gather(*busy, *late)
        return order

    after = run(story)[21:41]
    assert after.count(2) == 10 and max(after[:10].count(each) for each in (1, 2)) <= 6


def test_one_long_request_is_not_paid_for_without_end() -> None:
    async def story() -> float:
        queue = Queue(Caps(2, 1000))
        long = await queue.enter(1, 1, 1)

        async def busy() -> None:
            while True:
                await hold(queue, 2, 1)

        others = [asyncio.ensure_future(busy()) for _ in range(20)]
        await asyncio.sleep(5000)
        long.leave()
        waited = (await queue.enter(1, 1, 1e9)).waited
        for task in others:
            task.cancel()
        return waited

    assert run(story) < 600


# ---------------------------------------------------------------- bounds and limits


def test_without_a_cap_nobody_waits_and_all_are_counted() -> None:
    async def story() -> None:
        queue = Queue()
        places = [await queue.enter(n, 1, 0) for n in range(100)]
        assert queue.active == 100 and {place.waited for place in places} == {0.0}
        for place in places:
            place.leave()
            place.leave()
        assert queue.active == 0

    run(story)


def test_a_full_queue_says_where_one_would_stand() -> None:
    async def story() -> None:
        queue = Queue(Caps(1, 4))
        first = await queue.enter(1)
        tasks = [asyncio.ensure_future(hold(queue, 1, 2)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as full:
            await queue.enter(1, 1, 10)
        assert (full.value.position, full.value.eta) == (5, 5 * queue.hold)
        assert queue.expected(1) == (5, 5 * queue.hold)
        assert queue.expected(2) == (2, 2 * queue.hold)
        assert queue.expected(2, 0.5) == (3, 3 * queue.hold)
        first.leave()
        await asyncio.gather(*tasks)
        assert queue.hold > 1

    run(story)


def test_the_limit_ends_the_wait() -> None:
    async def story() -> None:
        queue, loop = Queue(Caps(1, 4)), asyncio.get_running_loop()
        place = await queue.enter(1)
        with pytest.raises(QueueFull) as full:
            await queue.enter(2, 1, 7)
        assert loop.time() == 7 and full.value.position == 1 and queue.waiting == 0
        with pytest.raises(QueueFull):
            await queue.enter(2, 1, 0)
        place.leave()
        assert (await queue.enter(2, 1, 0)).waited == 0

    run(story)


def test_a_flood_cannot_fill_the_queue_against_others() -> None:
    async def story() -> None:
        queue = Queue(Caps(1, 10))
        place = await queue.enter(FLOODER)
        flood = [asyncio.ensure_future(queue.enter(FLOODER, 1, 100)) for _ in range(10)]
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(queue.enter(n, 1, 100)) for n in (1, 2, 3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        refused = [task for task in flood if task.done()]
        assert refused == flood[-3:] and queue.waiting == 10
        assert all(isinstance(task.exception(), QueueFull) for task in refused)
        for task in (*flood, *others):
            task.cancel()
        place.leave()

    run(story)


def test_who_leaves_gives_up_its_place() -> None:
    async def story() -> None:
        queue = Queue(Caps(1, 10))
        place = await queue.enter(1)
        tasks = [asyncio.ensure_future(queue.enter(n, 1, 100)) for n in (2, 3, 4)]
        await asyncio.sleep(1)
        tasks[0].cancel()  # while it waits
        place.leave()  # the place goes to the next, who knows nothing of it yet
        await asyncio.sleep(0)
        assert tasks[1].done() and queue.active == 1
        (await tasks[1]).leave()
        tasks[2].cancel()  # together with its place
        await asyncio.sleep(0)
        assert (queue.active, queue.waiting) == (0, 0)
        for task in (tasks[0], tasks[2]):
            with pytest.raises(asyncio.CancelledError):
                await task

    run(story)


def test_new_caps_are_in_force_at_once() -> None:
    async def story() -> None:
        queue = Queue(Caps(1, 10))
        tasks = [asyncio.ensure_future(queue.enter(n, 1, 100)) for n in range(8)]
        await asyncio.sleep(1)
        assert (queue.active, queue.waiting) == (1, 7)
        queue.change(Caps(3, 10))
        assert (queue.active, queue.waiting) == (3, 5)
        queue.change(Caps(1, 2))
        assert (queue.active, queue.waiting) == (3, 2)
        await asyncio.sleep(0)
        assert [task.exception() is not None for task in tasks if task.done()].count(True) == 3
        queue.change(UNCAPPED)
        assert (queue.active, queue.waiting) == (5, 0)
        await asyncio.sleep(0)
        assert all(task.done() for task in tasks)

    run(story)


def test_queues_follow_the_snapshot() -> None:
    async def story() -> None:
        queues = Queues()
        queues.apply({1: Caps(1, 5)})
        place = await queues[1].enter(1)
        assert queues[1].caps == Caps(1, 5) and queues[2].caps == UNCAPPED
        queues.apply({2: Caps(3, 3)})
        assert queues[1].caps == UNCAPPED and queues[2].caps == Caps(3, 3)
        place.leave()
        queues.apply({})
        assert not queues

    run(story)


@given(st.data())
def test_no_place_is_lost_or_given_twice(data: st.DataObject) -> None:
    """Whatever comes, waits, leaves, is cancelled or changed: places are counted right, and free ones are given away."""
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from("enter enter leave cancel caps tick".split()), st.integers(0, 9)))
    )

    async def story() -> None:
        queue = Queue(Caps(2, 3))
        tasks: list[asyncio.Task[Place]] = []
        left: set[int] = set()
        for what, n in steps:
            if what == "enter":
                tasks.append(asyncio.ensure_future(queue.enter(n % 4, 1 + n, 5)))
            elif what == "cancel" and tasks:
                tasks[n % len(tasks)].cancel()
            elif what == "caps":
                queue.change(Caps(n % 4, n % 5))
            elif what == "tick":
                await asyncio.sleep(n % 7)
            else:
                for index, task in enumerate(tasks):
                    if index not in left and task.done() and not task.cancelled() and not task.exception():
                        task.result().leave()
                        left.add(index)
                        break
        await asyncio.sleep(6)
        got = [task for task in tasks if not task.cancelled() and not task.exception()]
        assert queue.active == len(got) - len(left) and queue.waiting == 0
        for task in got:
            task.result().leave()
        assert queue.active == 0 and not queue._tenants and queue._weights == 0

    run(story)


def test_what_is_remembered_is_bounded() -> None:
    async def story() -> None:
        queue = Queue(Caps(1, 50))
        place = await queue.enter(0)
        for n in range(1, 3000):
            waiting = asyncio.ensure_future(queue.enter(n, 1, 100))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
        assert len(queue._tenants) < 200 and len(queue._next._heap) < 200 and len(queue._longest._heap) < 200
        place.leave()

    run(story)
