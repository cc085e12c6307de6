"""Who gets how much, by the data plane's own decisions: weights, stickiness, and what was seen of slow targets."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from providers.upstream import Connections
from routing.conditions import read_conditions
from routing.explain import imagined
from routing.gateway import Gateway
from routing.paths import CHAT
from routing.table import Table, Target
from tenants.keys import Key
from tests.inprocess import route, table, upstream
from tests.simulated import asked, now, ok, request_of, run, simulated
from tests.test_gateway import CHAT as DOC

DECISIONS, KEYS = 100_000, 20_000
WEIGHTS = {1: 50, 2: 30, 3: 15, 4: 5}
KEY = Key(1, "key", 1)


def target(n: int, weight: int = 1, priority: int = 0, conditions: Any = None, **changes: Any) -> Target:
    up = upstream(n, f"up{n}", **changes)
    return Target(n, up, weight=weight, priority=priority, conditions=read_conditions(conditions))


def gateway_of(made: Table) -> Gateway:
    found = Gateway(Connections(transports={"*": httpx.MockTransport(ok)}), table=made)
    found.rng = random.Random(3)
    return found


def decided(made: Table, sessions: Iterator[str]) -> list[int]:
    """The first target for each session, one decision after the other."""
    gateway, body, found = gateway_of(made), orjson.dumps(DOC), []
    call = imagined(CHAT, {}, {"x-session": ""}, body, KEY, made)
    call.resolved = made.find(call.model, 1)
    for session in sessions:
        call.named[b"x-session"] = session.encode()
        found.append(gateway.choose(call, made).targets[0].id)
    return found


def shares(strategy: str, targets: list[Target]) -> dict[int, float]:
    made = table(route("gpt", *targets, strategy=strategy, sticky_by="header:x-session"))
    found = Counter(decided(made, (f"session-{n}" for n in range(DECISIONS))))
    return {n: count / DECISIONS for n, count in found.items()}


def check(found: dict[int, float], weights: dict[int, int]) -> None:
    assert found.keys() == weights.keys()
    for n, weight in weights.items():
        assert abs(found[n] - weight / sum(weights.values())) <= 0.01, (n, found)


@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "sticky"])
def test_shares_follow_weights(strategy: str) -> None:
    found = shares(strategy, [*(target(n, weight) for n, weight in WEIGHTS.items()), target(5, 99, priority=1)])
    print(f"\n{strategy}: " + ", ".join(f"{WEIGHTS[n]} % -> {found[n]:.2%}" for n in WEIGHTS))
    check(found, WEIGHTS)


@pytest.mark.parametrize("strategy", ["weighted", "round_robin"])
def test_those_that_are_left_share_by_their_weights(strategy: str) -> None:
    """One target's breaker is held open, another does not take such requests."""
    out = [target(5, 40, breaker="open"), target(6, 40, conditions={"tools": True})]
    check(shares(strategy, [*out, *(target(n, weight) for n, weight in WEIGHTS.items())]), WEIGHTS)


@pytest.mark.parametrize("loss", ["removed", "out"])
def test_a_lost_target_moves_its_own_keys_only(loss: str) -> None:
    def firsts(targets: list[Target]) -> list[int]:
        made = table(route("gpt", *targets, strategy="sticky", sticky_by="header:x-session"))
        return decided(made, (f"session-{n}" for n in range(KEYS)))

    before = firsts([target(n) for n in range(1, 11)])
    left = [target(n, breaker="open" if n == 4 else "closed") for n in range(1, 11) if loss == "out" or n != 4]
    moved = [(old, new) for old, new in zip(before, firsts(left), strict=True) if old != new]
    print(f"\nlosing one of ten targets ({loss}) moves {len(moved) / KEYS:.2%} of the keys")
    assert 0 < len(moved) <= 0.12 * KEYS and {old for old, _ in moved} == {4}
    assert {new for _, new in moved} == set(range(1, 11)) - {4}


# ---------------------------------------------------------------- a slow target

EVERY = 0.02  # seconds between two requests


class Slow:
    """Three upstreams of which the third is slow, for a while."""

    def __init__(self) -> None:
        self.seconds = {1: 0.1, 2: 0.12, 3: 2.0}
        self.rng = random.Random(9)
        self.sent: list[int] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        n = int(request.url.host.removeprefix("up").removesuffix(".test"))
        self.sent.append(n)
        await asyncio.sleep(self.seconds[n] * self.rng.uniform(0.8, 1.2))
        return ok(request)

    async def share(self, p: Any, count: int) -> float:
        """The third one's share of so many requests."""
        before = len(self.sent)

        async def one(n: int) -> None:
            await asyncio.sleep(n * EVERY)
            code, _, _ = await asked(p, request_of(stream=n % 2 == 1))
            assert code == 200

        await asyncio.gather(*(one(n) for n in range(count)))
        return self.sent[before:].count(3) / count


@pytest.mark.parametrize(
    ("strategy", "slow", "quick"),
    [
        ("weighted", (0.28, 0.38), (0.28, 0.38)),
        ("least_in_flight", (0.001, 0.1), (0.28, 0.5)),
        ("lowest_latency", (0.001, 0.03), (0.9, 1)),
    ],
)
def test_a_slow_target_gets_little_until_it_is_quick_again(
    strategy: str, slow: tuple[float, float], quick: tuple[float, float]
) -> None:
    async def story() -> tuple[float, float, float]:
        up = Slow()
        async with simulated(table(route("gpt", *map(target, (1, 2, 3)), strategy=strategy)), up) as p:
            little = await up.share(p, 2500)
            up.seconds[3] = 0.05
            began = now()
            await up.share(p, 4000)  # until it is known
            return little, now() - began, await up.share(p, 1000)

    little, took, much = run(story)
    print(
        f"\n{strategy}: {little:.2%} while it is twenty times slower, {much:.2%} after {took:.0f} s of being the quickest"
    )
    assert slow[0] <= little <= slow[1] and quick[0] <= much <= quick[1]
