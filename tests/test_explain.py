"""What Explain says of a request that is never sent is what then happens to one that is, by the same seed and state."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.abilities import Ability
from providers.upstream import Credential
from routing.conditions import read_conditions
from routing.decision import read
from routing.explain import explained, imagined
from routing.paths import CHAT
from routing.strategies import STRATEGIES
from routing.table import Target
from tenants.keys import Key, digest
from tenants.terms import Level, Names
from tests.inprocess import KEY, PEPPER, plane, route, table, upstream
from tests.test_gateway import CHAT as ASKED
from tests.test_gateway import ok

NOW = 1_780_000_000.0
MODEL = "gpt"
CONDITIONS = [
    {},
    {"stream": False},
    {"tools": True},
    {"images": False},
    {"max_input_tokens": 40},
    {"tags": ["batch"]},
    {"tenants": ["acme"]},
    {"not_tenants": ["acme"]},
    {"headers": {"x-region": "eu-*"}},
    {"times": [{"days": ["mon", "tue", "wed"]}]},
]
BODIES: list[dict[str, Any]] = [
    {},
    {"stream": True},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aa"}}]}
        ]
    },
    {"messages": [{"role": "user", "content": "long " * 60}]},
    {"user": "someone"},
]
HEADERS: list[dict[str, str]] = [{}, {"x-region": "eu-1"}, {"x-gateway-tags": "batch"}, {"x-provider": "up2"}]


@st.composite
def targets(draw: Any) -> list[Target]:
    found = []
    for n in range(1, draw(st.integers(1, 6)) + 1):
        made = upstream(
            n,
            f"up{n}",
            apis=frozenset({draw(st.sampled_from(["chat"] * 6 + ["images"]))}),
            credentials=tuple(Credential(10 * n + c, None, f"s{c}") for c in range(draw(st.integers(1, 2)))),
            breaker=draw(st.sampled_from([""] * 8 + ["open", "closed"])),
        )
        found.append(
            Target(
                n,
                made,
                draw(st.sampled_from(["", "real"])),
                weight=draw(st.integers(0, 5)),
                priority=draw(st.integers(0, 2)),
                conditions=read_conditions(draw(st.sampled_from(CONDITIONS * 2 + [{}] * 20))),
                fallback_for=draw(st.sampled_from([""] * 9 + ["both"])),
            )
        )
    return found


@st.composite
def sites(draw: Any) -> dict[str, Any]:
    """A route, what is known of its targets, a key, and a request."""
    found = draw(targets())
    ids = [target.id for target in found]
    return {
        "targets": found,
        "strategy": draw(st.sampled_from(sorted(STRATEGIES))),
        "sticky_by": draw(st.sampled_from(["key", "user", "conversation", "header:x-region"])),
        "abilities": {i: draw(st.sampled_from([None] * 5 + [Ability((("tools", False),), 20)])) for i in ids},
        "in_flight": {i: draw(st.integers(0, 5)) for i in ids},
        "first_byte": draw(st.dictionaries(st.sampled_from(ids), st.floats(0.01, 2))),
        "credit": draw(st.dictionaries(st.sampled_from(ids), st.integers(-5, 5))),
        "opened": draw(st.sets(st.sampled_from(ids), max_size=2)),
        "rests": draw(st.sets(st.sampled_from(ids), max_size=2)),
        "told": draw(st.booleans()),
        "allowed": draw(st.sampled_from([[]] * 5 + [["up1", "up3"]])),
        "body": {**ASKED, "model": MODEL, **draw(st.sampled_from(BODIES))},
        "headers": draw(st.sampled_from(HEADERS)),
        "seed": draw(st.integers(0, 2**32)),
    }


def prepare(gateway: Any, site: dict[str, Any]) -> None:
    """Bring what one process has seen of its upstreams to where the site says."""
    traffic = gateway.traffic
    traffic.clock, traffic.wall = (lambda: 1000.0), (lambda: NOW)
    traffic.state.in_flight |= {i: n for i, n in site["in_flight"].items() if n}
    traffic.state.first_byte |= site["first_byte"]
    traffic.state.credit |= site["credit"]
    for target in site["targets"]:
        model = target.model or MODEL
        if target.id in site["opened"] and not target.upstream.breaker:
            for _ in range(target.upstream.breaker_requests):
                traffic.allow(target.upstream, model).record("failed", 1000.0)
        if target.id in site["rests"]:
            told = {b"retry-after": b"30"} if site["told"] else {}
            for credential in target.upstream.credentials:
                traffic.rotation.punish(target.upstream, credential, 429, told, NOW, model)
    gateway.rng.seed(site["seed"])


async def said_and_done(site: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    made = table(
        route(MODEL, *site["targets"], strategy=site["strategy"], sticky_by=site["sticky_by"]),
        abilities={
            (target.upstream.id, target.model or MODEL): ability
            for target in site["targets"]
            if (ability := site["abilities"][target.id]) is not None
        },
    )
    key = Key(11, "main", 1, level=Level("key", providers=Names(site["allowed"])))
    made = replace(made, keys={digest(KEY, PEPPER): key})
    async with plane(made, ok) as p:
        prepare(p.gateway, site)
        body = json.dumps(site["body"]).encode()
        call = imagined(CHAT, {}, site["headers"], body, key, made)
        said = explained(p.gateway, call)
        await p.client.post("/v1/chat/completions", content=body, headers=site["headers"])
        return said, p.rows[0]


seen: dict[str, int] = {"answered": 0, "refused": 0, "several": 0}


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(sites())
def test_what_is_explained_is_what_happens(site: dict[str, Any]) -> None:
    said, row = asyncio.run(said_and_done(site))
    done = read(row.decision)
    assert said.get("via") == done.get("via")
    assert said.get("candidates") == done.get("candidates")
    assert said.get("attempts", []) == []
    if "error" in said:
        seen["refused"] += 1
        assert (row.status, row.error_kind) == (said["error"]["status"], said["error"]["kind"])
        assert not row.target_id and not done.get("attempts")
        return
    seen["answered"] += 1
    seen["several"] += len([each for each in said["candidates"] if "order" in each]) > 1
    first = said["candidates"][0]
    assert (first["target"], first["provider"], first["model"]) == (row.target_id, row.provider, row.upstream_model)
    assert first["order"] == 1 and done["attempts"][0]["target"] == row.target_id


def test_the_configurations_were_worth_trying() -> None:
    """Most were answered, and most of those had a choice."""
    print(seen)
    assert seen["answered"] > 400 and seen["refused"] > 50 and seen["several"] > 200


@pytest.mark.asyncio
async def test_a_key_that_may_gets_the_decision_in_a_header() -> None:
    first, second = upstream(1, "first", max_retries=1), upstream(2, "second")

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if request.url.host == "first.test" else ok(request)

    made = table(route(MODEL, Target(1, first, priority=0), Target(2, second, priority=1)))
    made = replace(made, keys={digest(KEY, PEPPER): Key(11, "main", 1, may_explain=True)})
    async with plane(made, answer) as p:
        p.gateway.traffic.sleep = lambda seconds: asyncio.sleep(0)
        plain = await p.client.post("/v1/chat/completions", json=ASKED)
        reply = await p.client.post("/v1/chat/completions", json=ASKED, headers={"x-gateway-explain": "1"})
        unknown = await p.client.post(
            "/v1/chat/completions", json={**ASKED, "model": "x"}, headers={"x-gateway-explain": "1"}
        )
    assert "x-gateway-explain" not in plain.headers and "x-gateway-explain" not in unknown.headers
    said = json.loads(reply.headers["x-gateway-explain"])
    assert (said["model"], said["route"], said["via"], said["strategy"]) == (MODEL, MODEL, "name", "priority")
    assert [(each["provider"], each["order"]) for each in said["candidates"]] == [("first", 1), ("second", 2)]
    assert [(each["provider"], each["outcome"]) for each in said["attempts"]] == [
        ("first", 500),
        ("first", 500),
        ("second", "ok"),
    ]
    assert read(p.rows[1].decision)["attempts"] == said["attempts"]


@pytest.mark.asyncio
async def test_a_key_that_may_not_gets_none() -> None:
    async with plane(table(route(MODEL, upstream())), ok) as p:
        reply = await p.client.post("/v1/chat/completions", json=ASKED, headers={"x-gateway-explain": "1"})
    assert reply.status_code == 200 and "x-gateway-explain" not in reply.headers


@pytest.mark.asyncio
async def test_the_header_stays_small_and_plain() -> None:
    many = [Target(n, upstream(n, f"up{n}"), f"mödel-{n}" * 4) for n in range(1, 400)]
    made = replace(table(route(MODEL, *many)), keys={digest(KEY, PEPPER): Key(11, "main", 1, may_explain=True)})
    async with plane(made, ok) as p:
        reply = await p.client.post("/v1/chat/completions", json=ASKED, headers={"x-gateway-explain": "1"})
    text = reply.headers["x-gateway-explain"]
    assert text.isascii() and len(text) < 20_000
    said = json.loads(text)
    assert (
        said["candidates"][0]["model"].startswith("mödel") and len(said["candidates"]) + said["more_candidates"] == 399
    )
    assert p.rows[0].decision.isascii()


def test_explaining_draws_nothing() -> None:
    rng = random.Random(7)
    before = rng.getstate()

    async def run() -> None:
        made = table(route(MODEL, Target(1, upstream(1, "a")), Target(2, upstream(2, "b"))))
        async with plane(made, ok) as p:
            p.gateway.rng = rng
            for _ in range(5):
                explained(p.gateway, imagined(CHAT, {}, {}, json.dumps(ASKED).encode(), Key(11, "main", 1), made))

    asyncio.run(run())
    assert rng.getstate() == before
