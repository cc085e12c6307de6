"""What hooks may use of the gateway: its own routes, posts to URLs, and the store of logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from providers.posting import Poster
from routing import means as means_module
from routing.hooks import Answer, HookCall, Hooks, Means, Misuse
from routing.means import ENDPOINTS, AskFailed, Asking, means_of
from routing.shipped.moderate import Moderate
from routing.shipped.webhook_auth import WebhookAuth
from routing.table import Table
from tests.inprocess import KEY, OTHER_KEY, Plane, plane, route, table, upstream
from tests.inprocess import Answer as Upstream
from tests.media_site import reply
from tests.test_posting import posting

pytestmark = pytest.mark.asyncio
CHAT = {"model": "m", "messages": [{"role": "user", "content": "something awful"}]}
SAID = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}], "usage": None}


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/moderations"):
        inputs = orjson.loads(request.content)["input"]
        results = [{"flagged": "awful" in text, "categories": {}, "category_scores": {}} for text in inputs]
        return httpx.Response(200, json={"id": "mod", "model": "omni", "results": results})
    return httpx.Response(200, json=SAID)


def two_routes(**changes: Any) -> Table:
    return table(route("m", upstream()), route("omni", upstream(2, "mod"), id=2), **changes)


def hook(plane: Plane, *hooks: Any) -> None:
    gateway = plane.gateway
    gateway.table = replace(gateway.table, hooks=Hooks(made=hooks))


@asynccontextmanager
async def asking(answer: Upstream = answer, **changes: Any) -> AsyncIterator[tuple[Plane, Means]]:
    async with plane(two_routes(**changes), answer) as running:
        poster = Poster()
        yield running, means_of(running.gateway, poster)
        poster.close()


class Asks:
    """Asks before each request, and counts how often it is run."""

    def __init__(self, means: Means, endpoint: str = "moderations", doc: Any = None) -> None:
        self.means, self.endpoint = means, endpoint
        self.doc = doc or {"model": "omni", "input": ["x"]}
        self.runs = 0
        self.found: Any = None

    async def before_request(self, call: HookCall) -> None:
        self.runs += 1
        self.found = await self.means.ask(self.endpoint, self.doc)


# ---------------------------------------------------------------- ask


async def test_moderate_asks_a_route_of_the_gateway() -> None:
    async with asking() as (running, means):
        hook(running, Moderate(Moderate.Options("omni"), means))
        refused = await running.client.post("/v1/chat/completions", json=CHAT)
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "content_policy_violation"
        fine = {**CHAT, "messages": [{"role": "user", "content": "hello"}]}
        assert (await running.client.post("/v1/chat/completions", json=fine)).json() == SAID
    assert [request.url.host for request in running.requests] == ["mod.test", "mod.test", "up.test"]


async def test_what_is_asked_has_a_row_under_the_requests_tenant_and_passes_no_hook() -> None:
    async with asking() as (running, means):
        asks = Asks(means)
        hook(running, asks)
        for key in (KEY, OTHER_KEY):
            headers = {"authorization": f"Bearer {key}", "x-request-id": f"req-{key[3:7]}"}
            assert (await running.client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    assert asks.runs == 2 and asks.found["id"] == "mod"
    seen = [(row.request_id, row.tenant, row.key, row.key_id, row.endpoint, row.status) for row in running.rows]
    assert seen == [
        ("req-test-hook", "acme", "hooks", 0, "moderations", 200),
        ("req-test", "acme", "main", 11, "chat", 200),
        ("req-othe-hook", "rival", "hooks", 0, "moderations", 200),
        ("req-othe", "rival", "other", 12, "chat", 200),
    ]
    assert running.gateway.active == 0


async def test_every_endpoint_of_json_can_be_asked() -> None:
    assert {"chat", "messages", "responses", "embeddings", "moderations", "rerank"} <= set(ENDPOINTS)
    async with asking() as (running, means):
        asks = Asks(means, "chat", CHAT)
        hook(running, asks)
        await running.client.post("/v1/chat/completions", json=CHAT)
    assert asks.found == SAID


@pytest.mark.parametrize(
    ("endpoint", "doc"), [("models", {}), ("images.edits", {}), ("nothing", {}), ("chat", {**CHAT, "stream": True})]
)
async def test_what_cannot_be_asked(endpoint: str, doc: Any) -> None:
    async with asking() as (running, means):
        with pytest.raises(Misuse):
            await means.ask(endpoint, doc)
    assert running.rows == []


async def test_nobody_asks_without_a_request() -> None:
    async with asking() as (running, means):
        with pytest.raises(Misuse, match="tenant"):
            await means.ask("moderations", {"model": "omni", "input": ["x"]})
    assert running.rows == []


@pytest.mark.parametrize(
    ("doc", "status"), [({"model": "absent", "input": []}, 404), ({"input": []}, 400), ({"model": "broken"}, 502)]
)
async def test_an_error_has_no_words(doc: Any, status: int) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(418, json={"error": {"message": "secret words"}})
            if "broken" in request.url.host
            else answer(request)
        )

    caught: list[AskFailed] = []

    class Catches(Asks):
        async def before_request(self, call: HookCall) -> None:
            try:
                await super().before_request(call)
            except AskFailed as error:
                caught.append(error)
                raise

    async with asking(broken) as (running, means):
        routes = [route("m", upstream()), route("broken", upstream(3, "broken", max_retries=0), id=3)]
        running.gateway.table = table(*routes)
        hook(running, Catches(means, doc=doc))
        said = await running.client.post("/v1/chat/completions", json=CHAT)
    assert said.status_code == 500 and said.json()["error"]["code"] == "hook_failed" and "secret" not in said.text
    assert "secret" not in str(caught[0]) and caught[0].status == (status if status != 502 else 418)


async def test_too_large_a_reply_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means_module, "MOST_BYTES", 50)
    async with asking() as (running, means):
        hook(running, Asks(means))
        assert (await running.client.post("/v1/chat/completions", json=CHAT)).status_code == 500
    assert [row.error_kind for row in running.rows] == ["cancelled", "server_error"]


async def test_a_hook_that_runs_out_of_time_leaves_nothing_behind() -> None:
    waits: list[bool] = []

    async def never(request: httpx.Request) -> httpx.Response:
        if request.url.host == "mod.test":
            try:
                await asyncio.Event().wait()
            finally:
                waits.append(True)
        return answer(request)

    async with asking(never) as (running, means):
        asks = Asks(means)
        asks.seconds = 0.05  # type: ignore[attr-defined]
        hook(running, asks)
        assert (await running.client.post("/v1/chat/completions", json=CHAT)).status_code == 500
        while not waits or len(running.rows) < 2 or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
    assert sorted(row.endpoint for row in running.rows) == ["chat", "moderations"]


async def test_who_answers_by_another_route() -> None:
    class Delegates:
        def __init__(self, means: Means) -> None:
            self.ask = means.ask

        async def before_request(self, call: HookCall) -> Answer:
            return Answer(doc=await self.ask("chat", {**call.doc, "model": "m", "temperature": 0}))

    async with asking() as (running, means):
        hook(running, Delegates(means))
        assert (await running.client.post("/v1/chat/completions", json=CHAT)).json() == SAID
    assert orjson.loads(running.requests[0].content)["temperature"] == 0


async def test_the_inner_key_opens_nothing_from_outside() -> None:
    async with asking() as (running, _):
        own = Asking(running.gateway)
        headers = {"authorization": f"Bearer {own._plain}"}
        said = await running.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert said.status_code == 401


# ---------------------------------------------------------------- post


async def test_webhook_auth_through_the_gateway() -> None:
    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        doc = orjson.loads(
            await reader.readexactly(int(site.heads[-1].split(b"content-length: ")[1].split(b"\r\n")[0]))
        )
        known = doc["headers"].get("authorization") == "Bearer from-elsewhere"
        body = orjson.dumps({"tenant": "rival", "key": "sso"})
        writer.write(reply(body) if known else reply(b"", status="401 Unauthorized"))

    async with plane(two_routes(), answer) as running, posting({"/who": who}) as (site, poster):
        named = {tenant.name: tenant for tenant in running.gateway.table.tenants.values()}
        running.gateway.table = replace(running.gateway.table, named=named)
        options = WebhookAuth.Options(site.url("/who"), "webhook-secret")
        hook(running, WebhookAuth(options, means_of(running.gateway, poster)))
        statuses = []
        for token in ("from-elsewhere", "from-elsewhere", "from-nowhere", KEY):
            headers = {"authorization": f"Bearer {token}"}
            statuses.append((await running.client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code)
    assert statuses == [200, 200, 401, 200] and len(site.heads) == 2
    assert b"authorization: Bearer webhook-secret" in site.heads[0]
    assert [(row.tenant, row.key) for row in running.rows] == [
        ("rival", "sso"),
        ("rival", "sso"),
        ("", ""),
        ("acme", "main"),
    ]
