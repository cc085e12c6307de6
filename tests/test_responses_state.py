"""The Responses API where the gateway keeps its state: conversations, items, deletion, isolation, compaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from routing.gateway import Gateway
from tenants.keys import Tenant
from tenants.responses import MemoryResponses, ResponseStoreError, StoredResponse
from tests.inprocess import OTHER_KEY, Plane, plane, route, table, upstream
from tests.test_translation import EVENTS, MESSAGE, claude, data, sent, stream

pytestmark = pytest.mark.asyncio
FOREIGN = {"authorization": f"Bearer {OTHER_KEY}"}


def made(**tenant: Any) -> Any:
    both = table(route("m", upstream(kind="anthropic")), route("native", upstream(2, "open"), id=2))
    return replace(both, tenants={1: Tenant(1, "acme", **tenant), 2: Tenant(2, "rival")})


async def turn(p: Plane, text: Any, previous: str = "", **extra: Any) -> Any:
    body = {"model": "m", "input": text, **({"previous_response_id": previous} if previous else {}), **extra}
    reply = await p.client.post("/v1/responses", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def texts(p: Plane) -> list[tuple[str, str]]:
    """(role, text) of what the upstream was last told."""
    return [(m["role"], part["text"]) for m in sent(p)["messages"] for part in m["content"]]


async def test_a_conversation_goes_on_from_what_was_kept() -> None:
    async with plane(made(), claude) as p:
        first = await turn(p, "one", instructions="be brief")
        second = await turn(p, [{"role": "user", "content": "two"}], first["id"])
        assert second["previous_response_id"] == first["id"] and second["instructions"] is None
        streamed = await p.client.post(
            "/v1/responses",
            json={"model": "m", "input": "three", "previous_response_id": second["id"], "stream": True},
        )
        third = data(streamed)[-1]["response"]
        assert streamed.text.endswith("data: [DONE]\n\n") and third["store"] is True
        assert texts(p) == [
            ("user", "one"), ("assistant", "Hi there"), ("user", "two"), ("assistant", "Hi there"), ("user", "three"),
        ]  # fmt: skip
        assert "system" not in sent(p)  # instructions are not carried over
        again = await p.client.get(f"/v1/responses/{third['id']}")
        assert again.json() == third
        listed = (await p.client.get(f"/v1/responses/{third['id']}/input_items")).json()
        assert [item["role"] for item in listed["data"]] == ["user", "assistant", "user", "assistant", "user"]
        assert listed["data"][0]["content"][0]["text"] == "three" and listed["has_more"] is False
        assert all(item["id"] and item["type"] == "message" for item in listed["data"])
        page = (
            await p.client.get(
                f"/v1/responses/{third['id']}/input_items?limit=2&order=asc&after={listed['data'][-1]['id']}"
            )
        ).json()
        assert [item["id"] for item in page["data"]] == [item["id"] for item in listed["data"][::-1][1:3]]
        assert page["has_more"] is True and page["first_id"] == page["data"][0]["id"]
        for query, field in (("limit=0", "limit"), ("after=nobody", "after")):
            wrong = await p.client.get(f"/v1/responses/{third['id']}/input_items?{query}")
            assert wrong.status_code == 400 and wrong.json()["error"]["param"] == field


async def test_what_is_deleted_is_gone() -> None:
    async with plane(made(), claude) as p:
        first = await turn(p, "one")
        second = await turn(p, "two", first["id"])
        deleted = await p.client.delete(f"/v1/responses/{first['id']}")
        assert deleted.json() == {"id": first["id"], "object": "response", "deleted": True}
        assert (await p.client.get(f"/v1/responses/{first['id']}")).status_code == 404
        assert (await p.client.delete(f"/v1/responses/{first['id']}")).status_code == 404
        for previous in (first["id"], second["id"]):  # a conversation without its beginning cannot be told whole
            reply = await p.client.post(
                "/v1/responses", json={"model": "m", "input": "x", "previous_response_id": previous}
            )
            error = reply.json()["error"]
            assert (reply.status_code, error["code"]) == (400, "previous_response_not_found")
            assert error["param"] == "previous_response_id"


async def test_another_tenant_finds_nothing() -> None:
    async with plane(made(), claude) as p:
        kept = await turn(p, "secret")
        path = f"/v1/responses/{kept['id']}"
        for method, at in (("GET", path), ("DELETE", path), ("GET", f"{path}/input_items"), ("POST", f"{path}/cancel")):
            assert (await p.client.request(method, at, headers=FOREIGN)).status_code == 404
        body = {"model": "m", "input": "x", "previous_response_id": kept["id"]}
        assert (await p.client.post("/v1/responses", json=body, headers=FOREIGN)).status_code == 400
        item = {"type": "item_reference", "id": kept["output"][0]["id"]}
        body = {"model": "m", "input": [item, {"role": "user", "content": "x"}]}
        assert (await p.client.post("/v1/responses", json=body, headers=FOREIGN)).status_code == 404
        assert len(p.requests) == 1
        assert (await p.client.get(path)).status_code == 200


async def test_what_is_not_in_the_background_is_neither_cancelled_nor_streamed_again() -> None:
    async with plane(made(), claude) as p:
        kept = await turn(p, "one")
        assert (await p.client.post(f"/v1/responses/{kept['id']}/cancel")).status_code == 400
        again = await p.client.get(f"/v1/responses/{kept['id']}?stream=true")
        assert again.status_code == 400 and again.json()["error"]["param"] == "stream"


@pytest.mark.parametrize(("extra", "tenant"), [({"store": False}, {}), ({}, {"store_responses": False})])
async def test_nothing_is_kept_where_it_must_not_be(extra: dict[str, Any], tenant: dict[str, Any]) -> None:
    async with plane(made(**tenant), claude) as p:
        reply = await turn(p, "one", **extra)
        streamed = await p.client.post("/v1/responses", json={"model": "m", "input": "x", "stream": True, **extra})
        assert reply["store"] is False and all(
            doc["response"]["store"] is False for doc in data(streamed) if "response" in doc
        )
        assert (await p.client.get(f"/v1/responses/{reply['id']}")).status_code == 404
        assert isinstance(p.gateway.kept, MemoryResponses) and not p.gateway.kept._kept


class Away(MemoryResponses):
    async def save(self, item: StoredResponse, cap: int) -> None:
        raise ResponseStoreError("away")


async def test_a_reply_passes_where_it_cannot_be_kept_and_says_so() -> None:
    async with plane(made(), claude) as p:
        p.gateway.kept = Away()
        assert (await turn(p, "one"))["store"] is False
        streamed = await p.client.post("/v1/responses", json={"model": "m", "input": "x", "stream": True})
        assert data(streamed)[-1]["response"]["store"] is False and data(streamed)[-1]["type"] == "response.completed"


async def test_the_tenants_cap_holds() -> None:
    async with plane(made(response_bytes=1500), claude) as p:
        stored = [(await turn(p, f"turn {n}"))["store"] for n in range(4)]
        assert stored[0] is True and stored[-1] is False


async def test_a_broken_stream_is_not_kept() -> None:
    async with plane(made(), lambda request: stream(EVENTS[:4])) as p:
        reply = await p.client.post("/v1/responses", json={"model": "m", "input": "x", "stream": True})
        assert data(reply)[-1]["type"] in ("error", "response.failed")
        assert isinstance(p.gateway.kept, MemoryResponses) and not p.gateway.kept._kept


async def test_items_are_found_by_reference() -> None:
    async with plane(made(), claude) as p:
        first = await turn(p, "one")
        items = [{"type": "item_reference", "id": first["output"][0]["id"]}, {"role": "user", "content": "go on"}]
        await turn(p, [{"role": "user", "content": "one"}, *items])
        assert texts(p) == [("user", "one"), ("assistant", "Hi there"), ("user", "go on")]


async def test_a_kept_conversation_goes_on_at_a_provider_with_an_api_of_its_own() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/messages":
            return httpx.Response(200, json={**MESSAGE, "content": [thought, *MESSAGE["content"]]})  # type: ignore[misc]
        return httpx.Response(200, json={"id": "resp_native", "object": "response", "output": [], "usage": {}})

    async with plane(made(), answer) as p:
        first = await turn(p, "one")
        assert [item["type"] for item in first["output"]] == ["reasoning", "message"]
        await turn(p, "two", first["id"], model="native")
        told = sent(p)
        assert p.requests[-1].url.path == "/v1/responses" and "previous_response_id" not in told
        assert [item["type"] for item in told["input"]] == ["message"] * 3  # another maker's reasoning stays behind
        assert not any("id" in item for item in told["input"])
        await turn(p, "three", "resp_native", model="native")  # from there on it is the provider's
        assert sent(p)["previous_response_id"] == "resp_native"
        await turn(p, "again", first["id"])  # at its maker the reasoning and its signature come back
        assert sent(p)["messages"][1]["content"][0] == thought


async def test_compaction() -> None:
    async with plane(made(), claude) as p:
        first = await turn(p, "one")
        reply = await p.client.post(
            "/v1/responses/compact", json={"model": "m", "input": "two", "previous_response_id": first["id"]}
        )
        doc = reply.json()
        assert doc["object"] == "response.compaction" and doc["usage"]["output_tokens"] == 3
        assert [item["type"] for item in doc["output"]] == ["message", "message", "compaction"]
        assert "Hi there" not in doc["output"][-1]["encrypted_content"]
        assert texts(p)[:3] == [("user", "one"), ("assistant", "Hi there"), ("user", "two")]
        await turn(p, [*doc["output"], {"role": "user", "content": "go on"}])
        said = texts(p)
        assert any(text.endswith("Hi there") and role == "user" for role, text in said) and said[-1][1] == "go on"
        stolen = await p.client.post("/v1/responses", json={"model": "m", "input": doc["output"]}, headers=FOREIGN)
        assert stolen.status_code == 400 and stolen.json()["error"]["param"] == "input"
        forged = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gwc1.forged"}
        assert (await p.client.post("/v1/responses", json={"model": "m", "input": [forged]})).status_code == 400


class Watched(MemoryResponses):
    """Tells what the client had been sent when a response was kept."""

    def __init__(self, sent: Sequence[bytes]) -> None:
        super().__init__()
        self.sent = sent
        self.seen = b""

    async def save(self, item: StoredResponse, cap: int) -> None:
        self.seen = b"".join(self.sent)
        await super().save(item, cap)


async def test_it_is_kept_before_the_client_hears_of_the_end() -> None:
    pieces: list[bytes] = []
    async with plane(made(), claude) as p:
        p.gateway.kept = watched = Watched(pieces)
        inner = p.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def spy(message: Any) -> None:
                pieces.append(message.get("body", b""))
                await send(message)

            await inner(scope, receive, spy)

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://g", headers=p.client.headers) as client:
            await client.post("/v1/responses", json={"model": "m", "input": "x", "stream": True})
    assert b"response.output_text.delta" in watched.seen and b"response.completed" not in watched.seen
    assert b"response.completed" in b"".join(pieces)


async def test_the_state_of_two_gateways_with_one_store_is_one() -> None:
    async with plane(made(), claude) as p, plane(made(), claude) as other:
        shared: Gateway = other.gateway
        shared.kept, shared.objects = p.gateway.kept, p.gateway.objects
        first = await turn(p, "one")
        await turn(other, "two", first["id"])
        assert [orjson.loads(r.content)["messages"][0]["content"][0]["text"] for r in other.requests] == ["one"]
