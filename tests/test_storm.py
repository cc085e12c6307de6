"""A storm: one of three targets fails, thousands of requests at once, and neither clients nor the target suffer for it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import httpx
import pytest

from routing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from routing.table import Table, Target
from tests.inprocess import Plane, route, table, upstream
from tests.simulated import Reply, asked, given, now, ok, request_of, run, simulated, status

REQUESTS, AT_ONCE, FAILING = 10_000, 50, 0.3
BAD = 2
BODIES = request_of(), request_of(stream=True)
LEGAL = {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED), (HALF_OPEN, OPEN)}
TROUBLE: list[Reply] = [status(500), status(503), httpx.ConnectError("refused"), httpx.ReadError("reset")]


class Change(NamedTuple):
    at: float
    before: str
    after: str
    pause: float


class Arrival(NamedTuple):
    """``first``: the request had not been at this target before."""

    at: float
    target: int
    state: str
    first: bool


class Storm:
    """The upstreams: they answer after a tenth of a second or two; one of them fails, until it no longer does."""

    def __init__(self, failing: float = FAILING) -> None:
        self.rng = random.Random(11)
        self.failing = failing
        self.changes: list[Change] = []
        self.arrivals: list[Arrival] = []
        self.state = CLOSED
        self.seen: set[tuple[str, int]] = set()

    def changed(self, breaker: Breaker, before: str, at: float) -> None:
        assert breaker.provider_id == BAD, "a good target's breaker has changed"
        self.state = breaker.state
        self.changes.append(Change(at, before, breaker.state, breaker.pause))

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        target = int(request.url.host.removeprefix("up").removesuffix(".test"))
        who = request.headers["x-gateway-request-id"], target
        state = self.state if target == BAD else CLOSED
        self.arrivals.append(Arrival(now(), target, state, who not in self.seen))
        self.seen.add(who)
        fails = target == BAD and self.rng.random() < self.failing
        await asyncio.sleep(self.rng.uniform(0.1, 0.3))
        return await given(self.rng.choice(TROUBLE) if fails else ok, request)

    async def blow(self, p: Plane, count: int) -> Counter[int]:
        """So many requests, AT_ONCE at a time: their statuses."""
        statuses: Counter[int] = Counter()
        numbers = iter(range(count))

        async def client() -> None:
            for n in numbers:
                code, _, body = await asked(p, BODIES[n % 2])
                statuses[0 if code == 200 and b'"error"' in body else code] += 1

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return statuses


def site(strategy: str, retries: int = 0) -> Table:
    targets = [Target(n, upstream(n, f"up{n}", max_retries=retries, breaker="")) for n in (1, 2, 3)]
    return table(route("gpt", *targets, strategy=strategy))


def check_changes(changes: list[Change]) -> None:
    """It opens, is probed when its pause is over, and closes or opens for twice as long."""
    assert changes and {(each.before, each.after) for each in changes} <= LEGAL
    assert changes[0].before == CLOSED
    for before, after in pairwise(changes):
        assert before.after == after.before
        if after.after == HALF_OPEN:
            assert after.at >= before.at + before.pause
        if (after.before, after.after) == (HALF_OPEN, OPEN):
            assert after.pause == min(2 * before.pause, 120)


def check_arrivals(storm: Storm) -> None:
    """While it is open nobody goes there who was not there already; then one at a time does."""
    bad = [each for each in storm.arrivals if each.target == BAD and each.first]
    assert not [each for each in bad if each.state == OPEN]
    probes = [change for change in storm.changes if change.after == HALF_OPEN]
    assert sum(each.state == HALF_OPEN for each in bad) == len(probes)


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        ("weighted", REQUESTS),
        ("round_robin", 3000),
        ("least_in_flight", 3000),
        ("lowest_latency", 3000),
    ],
)
def test_a_target_that_fails_hurts_nobody(strategy: str, count: int) -> None:
    async def story() -> None:
        storm = Storm()
        async with simulated(site(strategy), storm) as p:
            p.gateway.traffic.breakers.changed = storm.changed
            statuses = await storm.blow(p, count)
            check_calm(storm, p, statuses, strategy, count)
            opened = any(change.after == OPEN for change in storm.changes)
            assert opened or strategy == "lowest_latency"  # which hardly asks it any more
            await heal(storm, p, strategy)
            if opened:
                assert {change.after for change in storm.changes} == {OPEN, HALF_OPEN, CLOSED}
                check_changes(storm.changes)
            check_arrivals(storm)

    run(story)


def test_nor_where_it_is_tried_again_before_the_next() -> None:
    """Two attempts more hide most of its failures, from its breaker too; the retries that all share are not for it alone."""

    async def story() -> None:
        storm = Storm()
        async with simulated(site("weighted", retries=2), storm) as p:
            p.gateway.traffic.breakers.changed = storm.changed
            check_calm(storm, p, await storm.blow(p, 2000), "weighted, with retries", 2000)

    run(story)


def check_calm(storm: Storm, p: Plane, statuses: Counter[int], what: str, count: int) -> None:
    attempts = len(storm.arrivals)
    told = ", ".join(f"{each.after} at {each.at:.1f} s" for each in storm.changes[:9])
    print(f"\n{what}: {dict(statuses)} in {now():.0f} s, {attempts / count:.3f} attempts for each; {told}")
    assert statuses[200] >= 0.9999 * count and statuses.total() == count
    assert attempts <= 1.2 * count and sum(row.attempts for row in p.rows) == attempts


async def heal(storm: Storm, p: Plane, strategy: str) -> None:
    """The fault is lifted: the breaker closes, and the target gets its share again."""
    storm.failing = 0
    await asyncio.sleep(200)
    assert (await storm.blow(p, 500))[200] == 500 and storm.state == CLOSED
    before = len(storm.arrivals)
    assert (await storm.blow(p, 600))[200] == 600
    share = sum(each.target == BAD for each in storm.arrivals[before:]) / 600
    assert len(storm.arrivals) == before + 600 and (share > 0.25 or strategy == "lowest_latency"), share


def test_a_target_that_always_fails_is_left_alone() -> None:
    async def story() -> None:
        storm = Storm(failing=1)
        async with simulated(site("weighted"), storm) as p:
            p.gateway.traffic.breakers.changed = storm.changed
            statuses = await storm.blow(p, 3000)
            assert statuses[200] == 3000 and len(storm.arrivals) <= 1.2 * 3000
            assert {change.after for change in storm.changes} == {OPEN, HALF_OPEN}
            check_changes(storm.changes)
            check_arrivals(storm)
            assert sum(each.target == BAD for each in storm.arrivals) < 300
            await heal(storm, p, "weighted")

    run(story)


def test_where_all_fail_there_is_no_storm() -> None:
    """Three breakers open; then clients are refused at once, with when to come again."""

    async def story() -> None:
        storm = Storm(failing=1)

        async def answer(request: httpx.Request) -> httpx.Response:
            storm.arrivals.append(Arrival(now(), 0, "", True))
            await asyncio.sleep(0.1)
            raise httpx.ConnectError("refused")

        async with simulated(site("weighted"), answer) as p:
            statuses = await storm.blow(p, 3000)
            assert set(statuses) == {502, 503} and statuses[503] > 2500
            assert len(storm.arrivals) <= 1.2 * 3000
            code, headers, _ = await asked(p, BODIES[0])
            assert code == 503 and 1 <= int(headers["retry-after"]) <= 60

    run(story)
