"""What translation must bear in requests: depth, much that is dropped, targets that cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from providers.chat import BadRequest
from routing.table import Rewrite, Target
from tests.inprocess import plane, route, sse, table, upstream
from tests.test_translation import CHAT, MESSAGE, claude, data, one, sent
from tests.test_variants_gateway import served

pytestmark = pytest.mark.asyncio
APIS = ("chat", "responses", "messages", "generate", "ollama", "cohere", "converse")
USER = [{"role": "user", "content": "hi"}]
PARTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def only(api: str, **changes: Any) -> Any:
    return table(route("m", upstream(apis=frozenset({api})), **changes))


# ---------------------------------------------------------------- requests


def deep(schema: str) -> list[tuple[str, Any]]:
    function = {"name": "f", "parameters": schema}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": orjson.dumps({}).decode()}}
    text = '{"a":' * 400 + "1" + "}" * 400
    told = [*USER, {"role": "assistant", "tool_calls": [{**call, "function": {"name": "f", "arguments": text}}]}]
    return [
        (
            "/v1/chat/completions",
            {"model": "m", "messages": USER, "tools": [{"type": "function", "function": function}]},
        ),
        ("/v1/chat/completions", {"model": "m", "messages": told}),
        ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "function", **function}]}),
        ("/v1/responses/input_tokens", {"model": "m", "input": "hi", "tools": [{"type": "function", **function}]}),
        (
            "/v1/messages",
            {"model": "m", "max_tokens": 9, "messages": USER, "tools": [{"name": "f", "input_schema": schema}]},
        ),
        ("/v1beta/models/m:generateContent", {**PARTS, "tools": [{"functionDeclarations": [function]}]}),
    ]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("depth", [130, 450])
async def test_what_is_nested_too_deeply_is_a_bad_request(api: str, depth: int) -> None:
    schema = b'{"type":"object","properties":{"a":' * depth + b'{"type":"string"}' + b"}}" * depth
    async with plane(only(api), lambda request: httpx.Response(418, json={})) as p:
        for path, body in deep("SCHEMA"):
            content = orjson.dumps(body).replace(b'"SCHEMA"', schema)
            reply = await p.client.post(path, content=content, headers={"content-type": "application/json"})
            assert reply.status_code < 500, (path, reply.text)


async def test_a_reply_that_is_nested_too_deeply_is_the_upstreams_fault() -> None:
    arguments = '{"a":' * 400 + "1" + "}" * 400
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    doc = {"id": "c", "object": "chat.completion", "created": 1, "model": "g", "choices": [choice]}
    delta = {"role": "assistant", "tool_calls": [{"index": 0, **call}]}
    chunk = {**doc, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    def answer(request: httpx.Request) -> httpx.Response:
        if orjson.loads(request.content).get("stream"):
            return sse(orjson.dumps(chunk).decode(), "[DONE]")
        return httpx.Response(200, json=doc)

    async with plane(only("chat"), answer) as p:
        whole = await p.client.post("/v1beta/models/m:generateContent", json=PARTS)
        events = await p.client.post("/v1beta/models/m:streamGenerateContent?alt=sse", json=PARTS)
    assert whole.status_code in (200, 502) and "failed to answer this request" not in whole.text
    assert data(events)[-1]["error"]["code"] == 502


async def test_what_was_dropped_is_listed_whole_or_counted() -> None:
    async with plane(one(), claude) as p:
        few = {f"a_field_of_a_vendor_{n}": 1 for n in range(20)}
        many = {f"a_field_of_a_vendor_{n}": 1 for n in range(200)}
        told = (await p.client.post("/v1/chat/completions", json={**CHAT, **few})).headers["x-gateway-dropped"]
        assert told.split(", ") == list(few)
        told = (await p.client.post("/v1/chat/completions", json={**CHAT, **many})).headers["x-gateway-dropped"]
        *names, last = told.split(", ")
        assert names == list(many)[: len(names)] and last == f"and {200 - len(names)} more"


async def test_rewrites_reach_every_kind_of_translation() -> None:
    rewrites = (Rewrite("body", "set", "extra_field", b"1"), Rewrite("header", "set", "x-team", b"blue"))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"embedding": [1.0], "inputTextTokenCount": 1, "response": "x", "done": True})

    for api, path, body in (
        ("titan", "/v1/embeddings", {"model": "m", "input": ["a", "b"]}),
        ("ollama", "/v1/completions", {"model": "m", "prompt": "say"}),
    ):
        async with plane(replace(only(api), rewrites=rewrites), answer) as p:
            assert (await p.client.post(path, json=body)).status_code == 200
            assert p.requests and all(orjson.loads(each.content)["extra_field"] == 1 for each in p.requests)
            assert all(each.headers["x-team"] == "blue" for each in p.requests)


async def test_a_compaction_never_streams() -> None:
    body = {"model": "m", "input": [{"role": "user"}, {"role": "user", "content": "hi"}], "stream": True}
    async with plane(only("chat"), lambda request: httpx.Response(500)) as p:
        await p.client.post("/v1/responses/compact", json=body)
        assert not sent(p)["stream"] and "stream_options" not in sent(p)
    async with plane(served("bedrock-anthropic"), lambda request: httpx.Response(200, json=MESSAGE)) as p:
        assert (await p.client.post("/v1/responses/compact", json=body)).status_code == 200
        assert p.requests[0].url.path == "/model/m/invoke"


# ---------------------------------------------------------------- other targets


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/messages/count_tokens"])
async def test_counting_never_falls_to_a_target_that_cannot(path: str) -> None:
    targets = (
        Target(1, upstream(1, "a", "anthropic")),
        Target(2, upstream(2, "o", apis=frozenset({"ollama"})), priority=1),
    )
    async with plane(table(route("m", *targets)), lambda request: httpx.Response(503)) as p:
        reply = await p.client.post(path, json={"model": "m", "messages": USER, "input": "hi"})
    assert reply.status_code == 503 and len(p.requests) == 1


async def test_a_target_that_takes_urls_is_tried_where_a_picture_cannot_be_fetched() -> None:
    class Refusing:
        max_total = 1

        async def fetch(self, url: str, field: str) -> tuple[str, bytes]:
            raise BadRequest(field, "must be sent as data")

    picture = {"type": "image_url", "image_url": {"url": "https://pictures.test/a.png"}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [picture]}]}
    first = Target(1, upstream(1, "o", apis=frozenset({"ollama"})))
    for targets, status in (((first, Target(2, upstream(2, "a", "anthropic"), priority=1)), 200), ((first,), 400)):
        async with plane(table(route("m", *targets)), claude) as p:
            p.gateway.fetcher = Refusing()  # type: ignore[assignment]
            reply = await p.client.post("/v1/chat/completions", json=body)
            assert reply.status_code == status, reply.text
    assert reply.json()["error"]["param"] == "messages[0].content[0]" and "as data" in reply.text
