"""Responses that are made in the background are charged when they end, whether or not the client ever asks."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.inprocess import Plane, route, table, upstream
from tests.money import DOLLAR, IN, MODEL, OUT, bank, budget, site

pytestmark = pytest.mark.asyncio


def response(status: str, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": "resp_1", "object": "response", "status": status, "output": [], **fields})


DONE = {"usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}}


async def asked(running: Plane, answers: list[httpx.Response]) -> httpx.Response:
    """The reply to a background request; then what the gateway asks for is answered from ``answers``."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    running.gateway.traffic.sleep = pause
    body = {"model": MODEL, "input": "hi", "background": True, "max_output_tokens": 100}
    reply = await running.client.post("/v1/responses", json=body)
    assert not running.rows and running.gateway.background.open
    async with asyncio.timeout(30):
        while running.gateway.background.open:
            await asyncio.sleep(0)
    return reply


@pytest.mark.parametrize("hard", [True, False])
async def test_it_is_charged_what_it_has_cost_in_the_end(hard: bool) -> None:
    answers = [response("queued"), response("in_progress"), httpx.Response(503), response("completed", **DONE)]
    made = site(budget(DOLLAR, hard=hard), made=table(route(MODEL, upstream())))
    async with bank(made, lambda _: answers.pop(0)) as (running, store):
        reply = await asked(running, answers)
        assert reply.status_code == 200 and reply.json()["status"] == "queued" and "x-gateway-cost" not in reply.headers
        assert [str(each.url.path) for each in running.requests[1:]] == ["/v1/responses/resp_1"] * 3
        row = running.rows[0]
        assert row.cost == 10 * IN + 20 * OUT and not row.estimated
        store.charged(running)
        assert store.spent("b1.1") == row.cost


async def test_one_that_was_deleted_costs_its_bound_under_a_hard_budget() -> None:
    answers = [response("queued"), httpx.Response(404)]
    async with bank(site(budget(DOLLAR)), lambda _: answers.pop(0)) as (running, _):
        await asked(running, answers)
        row = running.rows[0]
        assert row.estimated and (row.cost or 0) >= 100 * OUT


async def test_one_that_ends_at_once_is_charged_at_once() -> None:
    async with bank(site(budget(DOLLAR)), lambda _: response("completed", **DONE)) as (running, _):
        body = {"model": MODEL, "input": "hi", "background": True, "max_output_tokens": 100}
        reply = await running.client.post("/v1/responses", json=body)
        assert reply.headers["x-gateway-cost"] == str(10 * IN + 20 * OUT)
        assert running.rows[0].cost == 10 * IN + 20 * OUT and not running.gateway.background.open


async def test_one_that_the_provider_will_not_tell_of_is_settled_too() -> None:
    answers = [response("queued"), httpx.Response(429), httpx.Response(418)]
    async with bank(site(budget(DOLLAR, hard=False)), lambda _: answers.pop(0)) as (running, _):
        await asked(running, answers)
        assert running.rows[0].estimated and not answers
