"""What attempts leave behind: words for the client, the row, readiness, places and metrics."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from providers.upstream import Credential
from routing.metrics import BREAKER
from routing.table import Target
from tests.inprocess import plane, route, table, upstream
from tests.test_gateway import CHAT, REPLY, ok

pytestmark = pytest.mark.asyncio

PATH = "/v1/chat/completions"


def down(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500)


def no_pauses(p: Any) -> None:
    p.gateway.traffic.sleep = lambda seconds: asyncio.sleep(0)


@pytest.mark.parametrize(("retries", "told"), [(0, None), (2, "false")])
async def test_a_client_need_not_repeat_what_the_gateway_has_repeated(retries: int, told: str | None) -> None:
    async with plane(table(route("gpt", upstream(max_retries=retries))), down) as p:
        no_pauses(p)
        reply = await p.client.post(PATH, json=CHAT)
    assert reply.status_code == 502 and reply.headers.get("x-should-retry") == told
    assert int(reply.headers["x-gateway-attempts"]) == p.rows[0].attempts == len(p.requests) == 1 + retries


async def test_what_a_broken_attempt_has_told_does_not_count() -> None:
    first = json.dumps({**REPLY, "usage": None}).encode()[:-20]
    replies: list[Any] = [httpx.Response(200, headers={"content-type": "application/json"}, content=first), ok]

    def answer(request: httpx.Request) -> httpx.Response:
        reply = replies.pop(0)
        return reply if isinstance(reply, httpx.Response) else reply(request)

    async with plane(table(route("gpt", upstream(max_retries=1))), answer) as p:
        no_pauses(p)
        reply = await p.client.post(PATH, json=CHAT)
    [row] = p.rows
    assert reply.status_code == 200 and row.attempts == 2
    assert (row.input_tokens, row.output_tokens, row.estimated) == (9, 4, False)
    [lost] = p.lost  # the provider may have worked for it, so it is in the books
    assert (lost.corrects, lost.estimated, lost.input_tokens, lost.cost) == (row.id, True, 0, None)


async def test_an_attempt_that_no_provider_has_seen_is_no_row() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "first" in request.url.host:
            raise httpx.ConnectError("refused")
        return ok(request)

    targets = [Target(n, upstream(n, name), priority=n) for n, name in enumerate(("first", "second"))]
    async with plane(table(route("gpt", *targets)), answer) as p:
        assert (await p.client.post(PATH, json=CHAT)).json() == REPLY
    assert p.lost == [] and p.rows[0].attempts == 2


@pytest.mark.parametrize("body", [b"null", b'"an error"', b"17", b"true"])
async def test_json_that_is_no_object_is_no_reply(body: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        json_type = {"content-type": "application/json"}
        return httpx.Response(200, headers=json_type, content=body) if "first" in request.url.host else ok(request)

    targets = [Target(n, upstream(n, name), priority=n) for n, name in enumerate(("first", "second"))]
    async with plane(table(route("gpt", *targets)), answer) as p:
        reply = await p.client.post(PATH, json=CHAT)
    assert reply.json() == REPLY and p.rows[0].provider == "second"


async def test_readiness_and_metrics_follow_the_breakers() -> None:
    one, held = upstream(breaker="", breaker_requests=3, breaker_ratio=0.5), upstream(2, "held", breaker="open")
    async with plane(table(route("gpt", one), route("other", held, id=2)), down) as p:
        now = [100.0]
        p.gateway.traffic.clock = lambda: now[0]
        before = (await p.client.get("/ready")).json()
        for _ in range(3):
            await p.client.post(PATH, json=CHAT)
        refused = await p.client.post(PATH, json=CHAT)
        closed = await p.client.get("/ready")
        p.gateway.flush()
        gauge = BREAKER.labels("up")._value.get()
        now[0] += 6
        opened = await p.client.get("/ready")
    assert before["providers"] == ["up"]
    assert refused.status_code == 503 and refused.headers["retry-after"] and len(p.requests) == 3
    assert closed.status_code == 503 and "circuit breaker" in closed.json()["reason"] and gauge == 2
    assert opened.json()["providers"] == ["up"]


async def test_everything_is_given_back() -> None:
    """Places, counts of what is under way and probes, however a request ends."""
    endings = [
        ok,
        down,
        lambda r: httpx.Response(400, json={"error": {"message": "no"}}),
        lambda r: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: x"),
        lambda r: httpx.Response(200, json={"choices": []}),
    ]
    targets = [Target(n, upstream(n, f"up{n}", max_concurrent=1, breaker=""), priority=n) for n in (1, 2)]
    for answer in endings:
        async with plane(table(route("gpt", *targets, strategy="least_in_flight")), answer) as p:
            p.gateway.install(p.gateway.table)
            for stream in (False, True):
                await p.client.post(PATH, json={**CHAT, "stream": stream})
            traffic = p.gateway.traffic
            assert not traffic.state.in_flight
            assert not any(queue.active or queue.waiting for queue in traffic.queues.values())


async def test_a_stored_response_is_read_with_the_credential_that_made_it() -> None:
    made = upstream(
        credentials=tuple(Credential(n, (b"authorization", b"Bearer secret-%d" % n), f"secret-{n}") for n in (1, 2, 3)),
        apis=frozenset({"responses"}),
    )
    answered = {
        "id": "resp_1",
        "object": "response",
        "output": [{"type": "message", "id": "msg_1"}],
        "status": "completed",
    }
    async with plane(table(route("gpt", made)), lambda r: httpx.Response(200, json=answered)) as p:
        for _ in range(8):
            await p.client.post("/v1/responses", json={"model": "gpt", "input": "hi"})
            maker = p.requests[-1].headers["authorization"]
            reply = await p.client.get("/v1/responses/resp_1")
            assert reply.status_code == 200 and p.requests[-1].headers["authorization"] == maker
            await p.client.post(
                "/v1/responses", json={"model": "gpt", "input": "and", "previous_response_id": "resp_1"}
            )
            assert p.requests[-1].headers["authorization"] == maker
            p.gateway.objects = type(p.gateway.objects)()


async def test_a_deadline_is_one_for_all_targets() -> None:
    now = [100.0]

    def slow(request: httpx.Request) -> httpx.Response:
        now[0] += 6.0
        raise httpx.ReadError("reset")

    targets = [Target(n, upstream(n, f"up{n}"), priority=n) for n in range(1, 6)]
    async with plane(table(route("gpt", *targets, deadline=10.0)), slow) as p:
        p.gateway.traffic.clock = lambda: now[0]
        reply = await p.client.post(PATH, json=CHAT)
    assert reply.status_code == 504 and len(p.requests) == 2
    assert p.rows[0].error_kind == "timeout"


async def test_routes_set_limits_of_time_for_their_own_requests() -> None:
    made = replace(upstream(), first_byte_timeout=0.05)

    async def hangs(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with plane(table(route("gpt", made)), hangs) as p:
        reply = await p.client.post(PATH, json=CHAT)
    assert reply.status_code == 504 and reply.json()["error"]["type"] == "timeout"
