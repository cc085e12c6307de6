"""What changes while a request is under way: its tenant goes, its key is revoked, its budget shrinks, the clock jumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from routing.call import Call
from routing.client import Client
from routing.endpoint import Endpoint
from routing.table import Table
from tenants.labels import apart, read_label
from tests.inprocess import Plane
from tests.money import DOLLAR, IN, OUT, Bank, answered, asking, bank, budget, limit, site
from tests.test_funds import CHAT, CHUNKS, ask

pytestmark = pytest.mark.asyncio
COST = 10 * IN + 20 * OUT
"""Of every answer here."""
YEAR = 31_557_600


class Gated(httpx.AsyncByteStream):
    """A stream that stops after its first event, until it may ``go`` on."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield f"data: {CHUNKS[0]}\n\n".encode()
        self.begun.set()
        await self.go.wait()
        for each in CHUNKS[1:]:
            yield f"data: {each}\n\n".encode()


class Scene:
    """Streams that wait in the middle; others are answered at once."""

    def __init__(self) -> None:
        self.gates: list[Gated] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if b'"stream":true' not in request.content.replace(b" ", b""):
            return answered(10, 20)
        self.gates.append(Gated())
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self.gates[-1])

    async def begin(self, running: Plane, **fields: Any) -> asyncio.Task[httpx.Response]:
        task = asyncio.create_task(ask(running, stream=True, **fields))
        while not self.gates or not self.gates[-1].begun.is_set():
            assert not task.done(), task.result().text
            await asyncio.sleep(0)
        return task

    async def end(self, task: asyncio.Task[httpx.Response]) -> None:
        """Let the stream go on; it has to reach its own end."""
        self.gates[-1].go.set()
        reply = await task
        assert reply.status_code == 200 and reply.text.endswith("data: [DONE]\n\n") and '"error"' not in reply.text


def charged(running: Plane, store: Bank) -> int:
    """What is spent of the budget by now; nothing is reserved any more."""
    wallet = running.gateway.refills.wallet  # type: ignore[union-attr]
    assert all(not lease.reserved for lease in wallet)
    store.charged(running)
    return store.spent("b1.1")


def without_tenant(made: Table) -> Table:
    keys = {digest: key for digest, key in made.keys.items() if key.tenant_id != 1}
    tenants = {number: tenant for number, tenant in made.tenants.items() if number != 1}
    return replace(made, keys=keys, tenants=tenants, rules={})


def without_key(made: Table) -> Table:
    return replace(made, keys={digest: key for digest, key in made.keys.items() if key.tenant_id != 1})


def disabled(made: Table) -> Table:
    return replace(made, tenants={**made.tenants, 1: replace(made.tenants[1], enabled=False)})


@pytest.mark.parametrize(("change", "status"), [(without_tenant, 401), (without_key, 401), (disabled, 403)])
@pytest.mark.parametrize("hard", [True, False])
async def test_a_stream_outlives_its_tenant_and_key_and_is_charged(change: Any, status: int, hard: bool) -> None:
    scene, made = Scene(), site(budget(DOLLAR, hard=hard))
    async with bank(made, scene.answer) as (running, store):
        task = await scene.begin(running, max_tokens=100)
        running.gateway.install(change(made))
        assert (await ask(running, max_tokens=100)).status_code == status
        await scene.end(task)
        refused, row = running.rows
        assert (refused.cost, row.cost, row.tenant, row.error_kind) == (0, COST, "acme", "")
        assert charged(running, store) == COST


async def test_a_budget_that_goes_is_charged_for_what_was_under_way() -> None:
    scene, made = Scene(), site(budget(DOLLAR))
    async with bank(made, scene.answer) as (running, store):
        task = await scene.begin(running, max_tokens=100)
        running.gateway.install(replace(made, rules={}))
        assert (await ask(running, max_tokens=100)).status_code == 200
        assert not running.rows[0].charges
        await scene.end(task)
        assert charged(running, store) == COST


async def test_a_price_that_changes_is_for_later_requests() -> None:
    scene, made = Scene(), site(budget(DOLLAR))
    dearer = site(budget(DOLLAR))
    dearer = replace(dearer, prices=type(dearer.prices)())
    async with bank(made, scene.answer) as (running, store):
        task = await scene.begin(running, max_tokens=100)
        running.gateway.install(dearer)
        await scene.end(task)
        assert running.rows[0].cost == COST and charged(running, store) == COST


def capped(made: Table, cap: int, store: Bank) -> Table:
    """``made`` with another cap of its budget, as an operator saves it."""
    store.books.define("b1.1", cap)
    return replace(made, rules={("tenant", 1): (budget(cap),)})


async def test_a_cap_below_what_is_spent_refuses_the_next_and_lets_others_finish() -> None:
    scene, made = Scene(), site(budget(DOLLAR))
    async with bank(made, scene.answer) as (running, store):
        assert (await ask(running, max_tokens=100)).status_code == 200
        assert charged(running, store) == COST
        task = await scene.begin(running, max_tokens=100)
        running.gateway.install(capped(made, COST // 2, store))
        reply = await ask(running, max_tokens=100)
        assert reply.status_code == 429 and "budget b1.1" in reply.json()["error"]["message"]
        assert len(running.requests) == 2
        await scene.end(task)
        assert charged(running, store) == 2 * COST
        assert (await ask(running, max_tokens=100)).status_code == 429
        running.gateway.install(capped(made, DOLLAR, store))
        running.gateway.refills.wallet.recheck()  # type: ignore[union-attr]  # as the leasing does with each snapshot
        assert (await ask(running, max_tokens=100)).status_code == 200
        assert charged(running, store) == 3 * COST


async def test_a_cap_of_nothing_refuses_all() -> None:
    async with bank(site(budget(0)), lambda _: answered()) as (running, _):
        assert (await ask(running, max_tokens=10)).status_code == 429 and not running.requests


# ---------------------------------------------------------------- clocks


def clock(running: Plane, now: float) -> None:
    """From now on requests are admitted at ``now``."""
    begin = type(running.gateway)._begin

    def begun(endpoint: Endpoint, scope: Any, send: Any) -> tuple[Call, Client]:
        call, client = begin(running.gateway, endpoint, scope, send)
        call.entry.created_at = now
        return call, client

    running.gateway._begin = begun  # type: ignore[method-assign]


def starts(running: Plane) -> list[str]:
    """The months that requests were charged to, in order."""
    labels = [read_label(text) for row in running.rows for text, _ in apart(row.charges.items())]
    return [datetime.fromtimestamp(label.start, UTC).strftime("%Y-%m") for label in labels]


async def test_a_clock_that_jumps_charges_the_window_that_it_tells() -> None:
    """Forth by years and back again: each request counts in the month of its own time, and no other."""
    now = time.time()
    times = [now, now + 5 * YEAR, now, now - 5 * YEAR, now + 900 * YEAR, 0.0, now]
    async with bank(site(budget(DOLLAR), limit("requests", 100)), lambda _: answered(10, 20)) as (running, store):
        for each in times:
            clock(running, each)
            reply = await ask(running, max_tokens=100)
            assert reply.status_code == 200, (each, reply.text)
        assert starts(running) == [datetime.fromtimestamp(each, UTC).strftime("%Y-%m") for each in times]
        assert charged(running, store) == len(times) * COST
        months = {key[2]: spent for key, spent in store.books.spent.items() if key[0] == "b1.1" and spent}
        assert sorted(months.values()) == [COST] * 4 + [3 * COST]


async def test_a_window_that_a_jump_has_left_keeps_what_is_spent_of_it() -> None:
    """Forth and back does not give a used-up budget away again."""
    now = time.time()
    async with bank(site(budget(4_500_000)), lambda _: answered(10, 100)) as (running, _):
        statuses = []
        for each in (now, now, now + 5 * YEAR, now, now, now, now + 5 * YEAR):
            clock(running, each)
            statuses.append((await ask(running, max_tokens=100)).status_code)
        assert statuses == [200, 200, 200, 429, 429, 429, 200]


@pytest.mark.parametrize("now", [-1.0, 300_000 * YEAR, float("inf"), float("nan")])
async def test_a_time_that_no_clock_can_mean_is_a_clear_error(now: float) -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered()) as (running, _):
        clock(running, now)
        reply = await running.client.post(CHAT, json=asking(max_tokens=10))
        error = reply.json()["error"]
        assert reply.status_code == 503 and "clock" in error["message"] and not running.requests
        clock(running, time.time())
        assert (await ask(running, max_tokens=10)).status_code == 200


async def test_a_limit_goes_by_a_clock_that_never_jumps() -> None:
    """However the wall clock jumps, a minute's requests are no more and no fewer."""
    now = time.time()
    async with bank(site(limit("requests", 3)), lambda _: answered()) as (running, _):
        statuses = []
        for each in (now, now + 3_600, now - 3_600, now + 7_200):
            clock(running, each)
            statuses.append((await ask(running)).status_code)
        assert statuses == [200, 200, 200, 429]


async def test_a_stream_is_charged_to_the_window_of_its_admission() -> None:
    """The month ends, or the clock jumps, while it runs."""
    scene, before = Scene(), datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    async with bank(site(budget(DOLLAR)), scene.answer) as (running, store):
        clock(running, before)
        task = await scene.begin(running, max_tokens=100)
        clock(running, before + 2)
        assert (await ask(running, max_tokens=100)).status_code == 200
        await scene.end(task)
        assert starts(running) == ["2026-02", "2026-01"] and charged(running, store) == 2 * COST
