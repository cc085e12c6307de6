"""Fifty tenants before one provider with a cap, through the whole gateway and in simulated time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from itertools import count
from typing import Any

import httpx
import orjson
import pytest

from routing.table import Table, Target
from tenants import keys
from tenants.keys import Key, Tenant
from tests.inprocess import PEPPER, Plane, route, table, upstream
from tests.simulated import asked, leave, now, ok, request_of, run, simulated
from tests.test_queue import FLOODER, PLACES, TENANTS, arrivals, p95

FLOOD, SECONDS, PATIENCE = 200, 300, 1e6
numbers = count()


def key_of(tenant: int) -> str:
    return f"gw-tenant-{tenant:03}-0123456789-0123456789-0123456789"


def site(weights: dict[int, int], more: tuple[Any, ...] = (), **changes: Any) -> Table:
    """A provider with a cap, and these tenants."""
    settings = {"max_concurrent": PLACES, "max_waiting": 100_000, "queue_wait": PATIENCE, **changes}
    targets = [Target(1, upstream(1, "up", **settings)), *more]
    return table(
        route("gpt", *targets, deadline=PATIENCE),
        keys={keys.digest(key_of(n), PEPPER): Key(n + 1, f"k{n}", n + 1) for n in weights},
        tenants={n + 1: Tenant(n + 1, f"t{n}", queue_weight=weight) for n, weight in weights.items()},
    )


class Upstream:
    """Each request says in its ``user`` how long it takes; ``began`` is when it arrived."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.under_way = self.most = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        user = orjson.loads(request.content).get("user", "10:")
        self.began[user] = now()
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(float(user.partition(":")[0]))
        finally:
            self.under_way -= 1
        return ok(request)

    async def ask(self, p: Plane, tenant: int, seconds: float) -> float:
        """One request: how long it waited for its place."""
        user, began = f"{seconds}:{next(numbers)}", now()
        code, _, body = await asked(p, request_of(user=user), key_of(tenant))
        assert code == 200, body
        return self.began[user] - began


def waits(seed: int, flood: int) -> list[float]:
    """How long each visit of 49 tenants waited, while one more has so many requests under way or waiting."""
    visits = [(n, *each) for n, found in arrivals(seed, {}).items() for each in found if each[0] < SECONDS]

    async def story() -> list[float]:
        up = Upstream()
        async with simulated(site(dict.fromkeys((FLOODER, *TENANTS), 1)), up) as p:

            async def visit(tenant: int, at: float, seconds: float) -> float:
                await asyncio.sleep(at)
                return await up.ask(p, tenant, seconds)

            async def flooding() -> None:
                while True:
                    await up.ask(p, FLOODER, 1.0)

            flooders = [asyncio.ensure_future(flooding()) for _ in range(flood)]
            found = await asyncio.gather(*(visit(*each) for each in visits))
            for task in flooders:
                task.cancel()
            await asyncio.gather(*flooders, return_exceptions=True)
            assert up.most == PLACES and not p.gateway.traffic.queues[1].waiting
            return list(found)

    return run(story)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_flood_at_most_doubles_the_wait_of_the_others(seed: int) -> None:
    alone, flooded = p95(waits(seed, 0)), p95(waits(seed, FLOOD))
    print(f"\np95 wait of {len(TENANTS)} tenants: alone {alone:.2f} s, beside a flood {flooded:.2f} s")
    assert alone > 0.1, "nobody waits, so nothing is shown"
    assert flooded <= 2 * alone


def test_places_go_by_weight() -> None:
    weights = {1: 1, 2: 2, 3: 5}

    async def story() -> Counter[int]:
        up, served = Upstream(), Counter[int]()
        async with simulated(site(weights, max_concurrent=4), up) as p:

            async def busy(tenant: int) -> None:
                while True:
                    await up.ask(p, tenant, 1.0)
                    served[tenant] += 1

            tasks = [asyncio.ensure_future(busy(tenant)) for tenant in weights for _ in range(12)]
            await asyncio.sleep(400)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return served

    served = run(story)
    for tenant, weight in weights.items():
        assert served[tenant] / served.total() == pytest.approx(weight / 8, abs=0.02)


# ---------------------------------------------------------------- who leaves, and who is refused


def test_a_client_that_leaves_gives_up_its_place() -> None:
    """In the queue, and at the provider."""

    async def story() -> None:
        up = Upstream()
        async with simulated(site({1: 1, 2: 1, 3: 1}, max_concurrent=1), up) as p:
            queue = p.gateway.traffic.queues[1]
            first = asyncio.ensure_future(leave(p, 8, key_of(1)))  # at the provider
            await asyncio.sleep(1)
            second = asyncio.ensure_future(leave(p, 3, key_of(2)))  # in the queue
            await asyncio.sleep(1)
            third = asyncio.ensure_future(up.ask(p, 3, 1.0))
            await asyncio.sleep(0)
            assert (queue.active, queue.waiting) == (1, 2)
            await second
            assert (queue.active, queue.waiting) == (1, 1) and now() == pytest.approx(4, abs=0.1)
            assert await third == pytest.approx(6, abs=0.1)
            await first
            assert (queue.active, queue.waiting, len(up.began)) == (0, 0, 2)
            assert [row.error_kind for row in p.rows] == ["cancelled", "cancelled", ""]
            assert [row.attempts for row in p.rows] == [0, 1, 1]

    run(story)


def told(headers: dict[str, str], body: bytes) -> tuple[int, int]:
    """The position and the seconds in a refusal's words."""
    found = re.search(rb"position (\d+) in its queue, about (\d+) seconds", body)
    assert found is not None, body
    assert int(headers["retry-after"]) == min(60, max(1, int(found[2]))) and headers["x-gateway-error"] == "overloaded"
    return int(found[1]), int(found[2])


def test_a_full_queue_says_where_one_would_stand() -> None:
    async def story() -> None:
        up = Upstream()
        async with simulated(site({1: 1}, max_concurrent=2, max_waiting=4), up) as p:
            for _ in range(40):  # so that it knows how long they take
                await up.ask(p, 1, 6.0)
            waiting = [asyncio.ensure_future(up.ask(p, 1, 6.0)) for _ in range(6)]
            await asyncio.sleep(0.5)
            code, headers, body = await asked(p, request_of(), key_of(1))
            position, seconds = told(headers, body)
            assert (code, position) == (503, 5) and 12 <= seconds <= 16  # two at a time, six seconds each
            assert (p.rows[-1].status, p.rows[-1].error_kind, p.rows[-1].attempts) == (503, "overloaded", 0)
            assert "queue full" in p.rows[-1].decision
            assert max(await asyncio.gather(*waiting)) <= 12.1

    run(story)


def test_the_wait_has_a_limit() -> None:
    async def story() -> None:
        up = Upstream()
        async with simulated(site({1: 1}, max_concurrent=1, queue_wait=7), up) as p:
            first = asyncio.ensure_future(up.ask(p, 1, 100.0))
            await asyncio.sleep(0)
            code, headers, body = await asked(p, request_of(), key_of(1))
            assert (code, told(headers, body)[0]) == (503, 1) and now() == pytest.approx(7, abs=0.1)
            await first

    run(story)


@pytest.mark.parametrize("queue_wait", [0.001, 7])
def test_the_next_target_stands_in_for_a_full_one(queue_wait: float) -> None:
    async def story() -> None:
        up = Upstream()
        other = Target(2, upstream(2, "other"), priority=1)
        async with simulated(site({1: 1}, (other,), max_concurrent=1, queue_wait=queue_wait), up) as p:
            first = asyncio.ensure_future(up.ask(p, 1, 100.0))
            await asyncio.sleep(0)
            code, headers, _ = await asked(p, request_of(), key_of(1))
            assert (code, headers["x-gateway-provider"], headers["x-gateway-attempts"]) == (200, "other", "1")
            assert now() == pytest.approx(10 + queue_wait, abs=0.1)
            await first

    run(story)


def test_a_flood_cannot_fill_the_queue_against_others() -> None:
    async def story() -> None:
        up = Upstream()
        async with simulated(site({1: 1, 2: 1}, max_concurrent=1, max_waiting=10), up) as p:
            body = request_of(user="1.0:flood")
            flood = [asyncio.ensure_future(asked(p, body, key_of(1))) for _ in range(30)]
            await asyncio.sleep(0)
            other = await up.ask(p, 2, 1.0)
            assert other <= 3
            codes = Counter(each[0] for each in await asyncio.gather(*flood))
            assert codes == {200: 10, 503: 20}  # one at the provider, ten in the queue, of which one made room

    run(story)


REFUSED = {
    "/v1/messages": ("overloaded_error", "type", {"model": "gpt", "max_tokens": 9, "messages": []}),
    "/v1beta/models/gpt:generateContent": ("UNAVAILABLE", "status", {"contents": []}),
    "/v1/responses": ("overloaded_error", "type", {"model": "gpt", "input": "hi"}),
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_refusal_is_in_the_clients_words(path: str) -> None:
    word, name, body = REFUSED[path]

    async def story() -> None:
        up = Upstream()
        async with simulated(site({1: 1}, max_concurrent=1, max_waiting=0), up) as p:
            first = asyncio.ensure_future(up.ask(p, 1, 100.0))
            await asyncio.sleep(0)
            answer = await p.client.post(path, json=body, headers={"authorization": f"Bearer {key_of(1)}"})
            error = answer.json()["error"]
            assert (answer.status_code, error[name]) == (503, word) and "position 1" in error["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            await first

    run(story)
