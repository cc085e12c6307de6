"""Requests and the limits and budgets that they count in: reserved before, settled after, refused where nothing is left."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from routing import settlement
from routing.table import Target
from tenants.counting import each_of
from tenants.labels import read_label
from tenants.leases import LeasesAway
from tenants.ledger import Entry
from tenants.price_table import Prices
from tests.inprocess import Plane, route, sse, table, upstream
from tests.money import DOLLAR, IN, MODEL, OUT, answered, asking, bank, budget, limit, site

CHAT = "/v1/chat/completions"
pytestmark = pytest.mark.asyncio


async def ask(running: Plane, **fields: Any) -> httpx.Response:
    return await running.client.post(CHAT, json=asking(**fields))


async def test_a_request_is_charged_what_it_cost_and_the_rest_comes_back() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered(10, 20)) as (running, store):
        reply = await ask(running, max_tokens=100)
        assert reply.status_code == 200
        row = running.rows[0]
        assert (row.cost, row.price_version, row.bound_exceeded) == (10 * IN + 20 * OUT, "v1", False)
        assert [read_label(text).counter for text in row.charges] == ["b1.1"] and sum(row.charges.values()) == row.cost
        wallet = running.gateway.refills.wallet  # type: ignore[union-attr]
        assert all(not lease.reserved for lease in wallet)
        store.charged(running)
        assert store.spent("b1.1") == row.cost


async def test_without_rules_a_request_has_its_cost_too() -> None:
    async with bank(site(), lambda _: answered(3, 4)) as (running, _):
        assert (await ask(running)).status_code == 200
        assert running.rows[0].cost == 3 * IN + 4 * OUT and not running.rows[0].charges
        assert "max_tokens" not in json.loads(running.requests[0].content)


async def test_a_hard_budget_refuses_before_the_upstream_is_called() -> None:
    async with bank(site(budget(1_000_000)), lambda _: answered()) as (running, _):
        reply = await ask(running, max_tokens=1_000)
        assert reply.status_code == 429 and not running.requests
        error = reply.json()["error"]
        assert (
            error["code"] == "insufficient_quota"
            and "budget b1.1" in error["message"]
            and "renews at" in error["message"]
        )
        assert reply.headers["x-should-retry"] == "false"
        assert (running.rows[0].error_kind, running.rows[0].cost) == ("budget", 0)


async def test_who_asks_for_no_cap_gets_one() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered()) as (running, _):
        assert (await ask(running)).status_code == 200
        assert json.loads(running.requests[0].content)["max_tokens"] == 4_096


async def test_the_cap_shrinks_with_what_is_left_and_never_below_its_floor() -> None:
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["max_tokens"])
        return answered(10, asked[-1])

    async with bank(site(budget(60_000_000)), answer) as (running, store):
        while (reply := await ask(running)).status_code == 200:
            store.charged(running)
        assert reply.status_code == 429
        assert asked[0] == 4_096 and min(asked) >= 256 and asked[-1] < 4_096
        assert store.spent("b1.1") <= 60_000_000


async def test_many_at_once_never_pass_a_budget() -> None:
    cap = 20_000_000
    async with bank(site(budget(cap)), lambda _: answered(10, 100)) as (running, store):
        replies = await asyncio.gather(*(ask(running, max_tokens=100) for _ in range(60)))
        served = [reply for reply in replies if reply.status_code == 200]
        assert {reply.status_code for reply in replies} == {200, 429} and served
        cost = sum(row.cost or 0 for row in running.rows)
        store.charged(running)
        assert store.spent("b1.1") == cost == len(served) * (10 * IN + 100 * OUT) <= cap


async def test_every_level_is_charged() -> None:
    rules = (budget(DOLLAR), budget(DOLLAR, "b2.1", hard=False), budget(DOLLAR, "b3.1", tag="batch"))
    async with bank(site(*rules), lambda _: answered(10, 20)) as (running, store):
        await running.client.post(CHAT, json=asking(max_tokens=50), headers={"x-gateway-tags": "batch"})
        await ask(running, max_tokens=50)
        cost = 10 * IN + 20 * OUT
        store.charged(running)
        assert [store.spent(name) for name in ("b1.1", "b2.1", "b3.1")] == [2 * cost, 2 * cost, cost]


async def test_what_costs_more_than_its_bound_is_charged_in_full_and_flagged() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered(10, 5_000)) as (running, store):
        assert (await ask(running, max_tokens=10)).status_code == 200
        row = running.rows[0]
        assert row.bound_exceeded and row.cost == 10 * IN + 5_000 * OUT
        store.charged(running)
        assert store.spent("b1.1") == row.cost


async def test_an_error_of_the_upstream_costs_nothing() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: httpx.Response(500, json={"error": {"message": "x"}})) as (
        running,
        _,
    ):
        assert (await ask(running, max_tokens=10)).status_code == 502
        assert running.rows[0].cost == 0 and sum(running.rows[0].charges.values()) == 0


async def test_an_attempt_whose_end_nobody_knows_costs_its_bound_under_a_hard_budget() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    async with bank(site(budget(DOLLAR)), answer) as (running, store):
        assert (await ask(running, max_tokens=1_000)).status_code == 502
        row = running.rows[0]
        assert row.estimated and (row.cost or 0) >= 1_000 * OUT
        store.charged(running)
        assert store.spent("b1.1") == row.cost


async def test_a_lost_attempt_is_a_row_of_its_own_and_the_next_is_reserved_anew() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "one.test":
            raise httpx.ReadError("gone")
        return answered(10, 20)

    one, two = upstream(1, "one"), upstream(2, "two")
    made = table(route(MODEL, Target(1, one), Target(2, two, priority=1)))
    async with bank(site(budget(DOLLAR), made=made), answer) as (running, store):
        assert (await ask(running, max_tokens=100)).status_code == 200
        (lost,), (row,) = running.lost, running.rows
        assert (lost.kind, lost.corrects, lost.provider) == ("attempt", row.id, "one")
        assert lost.cost is not None and lost.cost >= 100 * OUT and row.cost == 10 * IN + 20 * OUT
        store.charged(running)
        assert store.spent("b1.1") == lost.cost + row.cost


async def test_requests_per_minute() -> None:
    async with bank(site(limit("requests", 3)), lambda _: answered()) as (running, _):
        replies = [await ask(running) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        error = replies[-1].json()["error"]
        assert error["code"] == "rate_limit_exceeded" and "3 requests" in error["message"]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 60


async def test_requests_at_once() -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def answer(_: httpx.Request) -> httpx.Response:
        inside.set()
        await go.wait()
        return answered()

    async with bank(site(limit("concurrent", 1)), answer) as (running, _):
        first = asyncio.ensure_future(ask(running))
        await inside.wait()
        assert (await ask(running)).status_code == 429
        go.set()
        assert (await first).status_code == 200 and (await ask(running)).status_code == 200


async def test_tokens_per_minute_reserve_the_most_and_settle_with_the_truth() -> None:
    async with bank(site(limit("tokens", 6_000)), lambda _: answered(10, 20)) as (running, _):
        assert [(await ask(running, max_tokens=2_000)).status_code for _ in range(5)] == [200] * 5
        assert (await ask(running, max_tokens=7_000)).status_code == 429


async def test_a_model_without_a_price_is_refused_under_a_hard_budget_only() -> None:
    for hard, status in ((True, 403), (False, 200)):
        made = replace(site(budget(DOLLAR, hard=hard)), prices=Prices())
        async with bank(made, lambda _: answered()) as (running, _):
            reply = await ask(running, max_tokens=10)
            assert reply.status_code == status
            if hard:
                assert reply.json()["error"]["code"] == "model_without_price" and not running.requests
            else:
                assert running.rows[0].cost is None


async def test_what_nothing_bounds_is_refused_under_a_hard_budget_and_named() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered()) as (running, _):
        reply = await ask(running, max_tokens=10, tools=[{"type": "mcp", "server_url": "https://x.test"}])
        assert reply.status_code == 400 and reply.json()["error"]["param"] == "tools" and not running.requests


async def test_with_the_store_away_a_request_is_told_so() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: answered()) as (running, store):
        store.away = LeasesAway("x")
        reply = await ask(running, max_tokens=10)
        assert reply.status_code == 503 and int(reply.headers["retry-after"]) > 0 and not running.requests
        store.away = None
        assert (await ask(running, max_tokens=10)).status_code == 200


async def test_users_are_counted_alone() -> None:
    rule = budget(20_000_000, "b1.1")
    rule = rule._replace(each=each_of(rule.counter))
    async with bank(site(rule), lambda _: answered(10, 1_000)) as (running, store):
        statuses = []
        for user in ("ann", "bob", "ann"):
            reply = await ask(running, max_tokens=1_000, user=user)
            statuses.append(reply.status_code)
            store.charged(running)
        assert statuses == [200, 200, 429]


async def test_headers_tell_the_cost_and_what_is_left() -> None:
    rules = (budget(DOLLAR), limit("requests", 5), limit("tokens", 10_000))
    async with bank(site(*rules), lambda _: answered(10, 20)) as (running, _):
        reply = await ask(running, max_tokens=100)
        assert reply.headers["x-gateway-cost"] == str(10 * IN + 20 * OUT)
        assert reply.headers["x-ratelimit-limit-requests"] == "5"
        assert reply.headers["x-ratelimit-remaining-requests"] == "4"
        assert reply.headers["x-ratelimit-reset-requests"] == "60s"
        assert reply.headers["x-ratelimit-limit-tokens"] == "10000"
        assert 0 < int(reply.headers["x-ratelimit-remaining-tokens"]) < 10_000


CHUNKS = [
    json.dumps(
        {"id": "c", "model": MODEL, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}}]}
    ),
    json.dumps({"id": "c", "model": MODEL, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    json.dumps({"id": "c", "model": MODEL, "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 20}}),
    "[DONE]",
]


async def test_a_stream_is_charged_when_it_ends() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: sse(*CHUNKS)) as (running, store):
        assert (await ask(running, max_tokens=100, stream=True)).status_code == 200
        assert running.rows[0].cost == 10 * IN + 20 * OUT
        store.charged(running)
        assert store.spent("b1.1") == 10 * IN + 20 * OUT


async def test_a_stream_under_way_writes_down_what_it_has_come_to() -> None:
    told: list[Entry] = []
    part, done = asyncio.Event(), asyncio.Event()

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield f"data: {CHUNKS[0]}\n\n".encode()
            part.set()
            await done.wait()
            for each in CHUNKS[1:]:
                yield f"data: {each}\n\n".encode()

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow())

    async with bank(site(), answer) as (running, _):
        running.gateway.ledger.checkpoint = lambda entry: told.append(entry.but())  # type: ignore[method-assign]
        asking_it = asyncio.ensure_future(ask(running, stream=True))
        await part.wait()
        while not told:
            settlement.checkpoint(running.gateway)
            await asyncio.sleep(0)
        settlement.checkpoint(running.gateway)
        done.set()
        assert (await asking_it).status_code == 200
        assert len(told) == 1 and told[0].estimated and told[0].output_tokens == 2 and (told[0].cost or 0) >= 2 * OUT
        row = running.rows[0]
        assert not row.estimated and row.cost == 10 * IN + 20 * OUT and not running.gateway.streams


async def test_upstreams_are_told_when_a_request_was_admitted_only_where_that_is_wanted() -> None:
    async with bank(site(limit("requests", 5)), lambda _: answered()) as (running, _):
        await ask(running)
        running.gateway.options = replace(running.gateway.options, tell_admission=True)
        before = time.monotonic()
        await ask(running)
        assert "x-gateway-admitted" not in running.requests[0].headers
        assert before <= float(running.requests[1].headers["x-gateway-admitted"]) <= time.monotonic()


async def test_a_level_without_rules_may_still_cap_the_output() -> None:
    async with bank(site(max_output_tokens=700), lambda _: answered()) as (running, _):
        assert (await ask(running, n=2)).status_code == 200
        assert json.loads(running.requests[0].content)["max_tokens"] == 350
