"""Requests that change dialect on their way, through the whole gateway: what the upstream gets, what the client sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from routing.table import Rewrite, Target
from tests.inprocess import Plane, plane, route, sse, table, upstream

pytestmark = pytest.mark.asyncio

USAGE = {"input_tokens": 5, "output_tokens": 3}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hi there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
]
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def stream(events: list[dict[str, Any]]) -> httpx.Response:
    return sse(*(orjson.dumps(event).decode() for event in events))


def claude(request: httpx.Request) -> httpx.Response:
    asked = orjson.loads(request.content)
    return stream(EVENTS) if asked.get("stream") else httpx.Response(200, json=MESSAGE)


def one(**changes: Any) -> Any:
    return table(route("m", upstream(kind="anthropic"), **changes))


def sent(p: Plane, at: int = -1) -> Any:
    return orjson.loads(p.requests[at].content)


def data(reply: httpx.Response) -> list[Any]:
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    return [orjson.loads(line) for line in lines if line != "[DONE]"]


async def test_a_whole_reply_and_its_row() -> None:
    async with plane(one(), claude) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"] == "Hi there"
    assert reply.json()["usage"]["total_tokens"] == 8 and reply.json()["model"] == "claude-x"
    assert p.requests[0].url.path == "/v1/messages" and sent(p)["messages"][0]["content"][0]["text"] == "hi"
    assert p.requests[0].headers["anthropic-version"] and "authorization" not in p.requests[0].headers
    row = p.rows[0]
    assert (row.status, row.input_tokens, row.output_tokens, row.estimated) == (200, 5, 3, False)
    assert (row.dialect, row.upstream_response_id, row.attempts) == ("openai", "msg_1", 1)


async def test_a_stream_is_translated_event_by_event_and_its_usage_told_only_when_asked() -> None:
    async with plane(one(), claude) as p:
        plain = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        asked = await p.client.post(
            "/v1/chat/completions", json={**CHAT, "stream": True, "stream_options": {"include_usage": True}}
        )
    assert plain.headers["content-type"] == "text/event-stream" and plain.text.endswith("data: [DONE]\n\n")
    texts = [choice["delta"].get("content") for doc in data(plain) for choice in doc["choices"]]
    assert texts[1:3] == ["Hi", " there"]
    assert not any(doc.get("usage") for doc in data(plain))
    assert data(asked)[-1]["usage"]["prompt_tokens"] == 5
    assert [(row.input_tokens, row.output_tokens, row.stream) for row in p.rows] == [(5, 3, True)] * 2


async def test_usage_of_a_chat_stream_is_asked_for_the_ledger() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
        choice = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        told = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        docs = [{**chunk, "choices": [choice]}, {**chunk, "choices": [end]}, {**chunk, "choices": [], "usage": told}]
        return sse(*(orjson.dumps(doc).decode() for doc in docs), "[DONE]")

    made = table(
        route("m", upstream(1, "asks", apis=frozenset({"chat"}), stream_usage="ask")),
        route("n", upstream(2, "tells", apis=frozenset({"chat"}), stream_usage="native"), id=2),
    )
    async with plane(made, answer) as p:
        for model in ("m", "n"):
            body = {"model": model, "max_tokens": 9, "stream": True, "messages": CHAT["messages"]}
            reply = await p.client.post("/v1/messages", json=body)
            assert [doc["type"] for doc in data(reply)][-1] == "message_stop"
    assert sent(p, 0)["stream_options"] == {"include_usage": True} and "stream_options" not in sent(p, 1)
    assert [row.output_tokens for row in p.rows] == [2, 2]


async def test_gemini_streams_an_array_unless_it_asks_for_events() -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    async with plane(one(), claude) as p:
        array = await p.client.post("/v1beta/models/m:streamGenerateContent", json=body)
        events = await p.client.post("/v1beta/models/m:streamGenerateContent?alt=sse", json=body)
    assert array.headers["content-type"] == "application/json"
    texts = [part["text"] for doc in array.json() for part in doc["candidates"][0]["content"]["parts"]]
    assert texts == ["Hi", " there"]
    assert data(events) == array.json()


async def test_the_preferred_api_of_a_target_wins_over_the_clients_own() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/responses"
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        part = {"type": "output_text", "text": "from responses", "annotations": []}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        doc = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt", "created_at": 1}
        return httpx.Response(200, json={**doc, "output": [{**item, "content": [part]}], "usage": usage})

    async with plane(table(route("m", Target(1, upstream(), api="responses"))), answer) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"] == "from responses"


async def test_rewrites_are_made_on_what_the_upstream_gets() -> None:
    rewrites = (
        Rewrite("body", "set", "temperature", b"0.5"),
        Rewrite("header", "set", "anthropic-beta", b"x-2026"),
    )
    async with plane(replace(one(), rewrites=rewrites), claude) as p:
        await p.client.post("/v1/chat/completions", json=CHAT)
    assert sent(p)["temperature"] == 0.5 and p.requests[0].headers["anthropic-beta"] == "x-2026"


@pytest.mark.parametrize(("reply_model", "name"), [("upstream", "claude-x"), ("asked", "m")])
async def test_the_model_that_clients_see_is_the_routes_choice(reply_model: str, name: str) -> None:
    async with plane(one(reply_model=reply_model), claude) as p:
        whole = await p.client.post("/v1/chat/completions", json=CHAT)
        events = await p.client.post("/v1/responses", json={"model": "m", "input": "hi", "stream": True})
    assert whole.json()["model"] == name and data(events)[0]["response"]["model"] == name


@pytest.mark.parametrize(
    ("extra", "loss", "status", "dropped"),
    [
        ({"frequency_penalty": 0.5}, "", 200, "frequency_penalty"),
        ({"frequency_penalty": 0.5}, "strict", 400, ""),
        ({"logprobs": True}, "", 400, ""),
        ({"logprobs": True}, "lenient", 200, "logprobs"),
        ({}, "strict", 200, ""),
    ],
)
async def test_loss_is_said_aloud(extra: dict[str, Any], loss: str, status: int, dropped: str) -> None:
    async with plane(one(loss=loss), claude) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, **extra})
    assert reply.status_code == status and reply.headers.get("x-gateway-dropped", "") == dropped
    if status == 400:
        error = reply.json()["error"]
        assert error["param"] == next(iter(extra)) and error["param"] in error["message"]
        assert "anthropic" in error["message"] and "up" in error["message"] and error["request_id"]
        assert p.requests == [] and p.rows[0].attempts == 0


async def test_a_target_that_can_say_it_is_tried_after_one_that_cannot() -> None:
    chat = {"id": "c", "object": "chat.completion", "created": 1, "model": "g", "usage": {}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**chat, "choices": [choice]})

    made = table(
        route("m", Target(1, upstream(1, "ant", "anthropic")), Target(2, upstream(2, "open"), priority=1)),
    )
    async with plane(made, answer) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "logprobs": True})
    assert reply.status_code == 200 and reply.headers["x-gateway-provider"] == "open"
    assert len(p.requests) == 1 and p.rows[0].attempts == 1


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"},
            400,
            "context_length_exceeded",
        ),
        (404, {"type": "not_found_error", "message": "no such model"}, 404, "model_not_found"),
        (401, {"type": "authentication_error", "message": "bad key"}, 502, None),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, 503, None),
    ],
)
async def test_an_error_before_the_first_byte(status: int, body: Any, expected: int, code: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"type": "error", "error": body})

    async with plane(one(), answer) as p:
        for asked in (False, True):
            reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": asked})
            error = reply.json()["error"]
            assert reply.status_code == expected and error["code"] == code and error["request_id"]
            assert "bad key" not in reply.text
    assert all(row.error_kind and row.status == expected for row in p.rows)


async def test_a_stream_that_begins_with_an_error_is_no_stream() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return stream([{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}])

    async with plane(one(), answer) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert reply.status_code == 503 and reply.json()["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("ending", ["error", "cut"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1beta/models/m:streamGenerateContent"])
async def test_an_error_mid_stream_is_an_event_and_a_charged_row(ending: str, path: str) -> None:
    events = EVENTS[:4]
    if ending == "error":
        events = [*events, {"type": "error", "error": {"type": "api_error", "message": "it broke"}}]
    body = {**CHAT, "input": "hi", "stream": True}
    if "models" in path:
        body, path = {"contents": [{"parts": [{"text": "hi"}]}]}, f"{path}?alt=sse"
    async with plane(one(), lambda request: stream(events)) as p:
        reply = await p.client.post(path, json=body if "responses" not in path else {"model": "m", **body})
    assert reply.status_code == 200
    last = [doc for doc in data(reply) if "error" in doc or doc.get("type") in ("error", "response.failed")]
    assert last, reply.text
    row = p.rows[0]
    assert row.error_kind == ("truncated" if ending == "cut" else "server_error") and row.status == 502
    assert row.input_tokens == 5 and row.output_tokens > 0


async def test_a_stream_where_a_whole_reply_was_asked_and_the_reverse() -> None:
    async with plane(one(), lambda request: stream(EVENTS)) as p:
        whole = await p.client.post("/v1/chat/completions", json=CHAT)
    assert whole.json()["choices"][0]["message"]["content"] == "Hi there"
    async with plane(one(), lambda request: httpx.Response(200, json=MESSAGE)) as p:
        events = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert "".join(c["delta"].get("content") or "" for doc in data(events) for c in doc["choices"]) == "Hi there"


@pytest.mark.parametrize("garbage", [b"", b"[]", b"null", b'{"type":"message"}', b"<html>"])
async def test_a_reply_that_is_not_understood_is_a_502(garbage: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, content=garbage)

    async with plane(one(), answer) as p:
        for asked in (False, True):
            reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": asked})
            assert reply.status_code == 502 and reply.json()["error"]["message"]


async def test_bad_input_names_its_field_and_calls_nobody() -> None:
    async with plane(one(), claude) as p:
        for body, field in (
            ({**CHAT, "temperature": "hot"}, "temperature"),
            ({**CHAT, "messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
            ({"model": "m"}, "messages"),
        ):
            reply = await p.client.post("/v1/chat/completions", json=body)
            assert reply.status_code == 400 and reply.json()["error"]["param"] == field
        assert p.requests == []


# ---------------------------------------------------------------- the unified completion


async def test_the_unified_completion_whole_and_streamed() -> None:
    async with plane(one(), claude) as p:
        whole = (await p.client.post("/v1/completions", json=CHAT)).json()
        events = await p.client.post("/v1/completions", json={**CHAT, "stream": True})
        both = await p.client.post("/v1/completions", json={**CHAT, "prompt": "x"})
        tools = await p.client.post("/v1/completions", json={**CHAT, "tools": [{"type": "function"}]})
    assert list(whole) == ["id", "model", "provider", "content", "usage", "finish_time"]
    assert (whole["provider"], whole["content"]) == ("up", "Hi there")
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "cost": None}
    assert data(events) == [
        {"delta": "Hi", "done": False},
        {"delta": " there", "done": False},
        {"delta": "", "done": True},
    ]
    assert "[DONE]" not in events.text
    assert both.status_code == 400 and both.json()["error"]["param"] == "messages"
    assert tools.status_code == 400 and tools.json()["error"]["param"].startswith("tools")
    assert [row.endpoint for row in p.rows[:2]] == ["unified", "unified"]


async def test_a_unified_stream_that_breaks_says_so() -> None:
    async with plane(one(), lambda request: stream(EVENTS[:4])) as p:
        reply = await p.client.post("/v1/completions", json={**CHAT, "stream": True})
    assert data(reply)[-1]["done"] is True and data(reply)[-1]["error"]["code"] == "stream_incomplete"


# ---------------------------------------------------------------- counting and embedding


async def test_tokens_are_counted_by_another_api_or_estimated() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/messages/count_tokens"
        assert set(orjson.loads(request.content)) == {"model", "messages"}
        return httpx.Response(200, json={"input_tokens": 42})

    chat_only = upstream(2, "chat", apis=frozenset({"chat"}))
    made = table(route("m", upstream(kind="anthropic")), route("c", chat_only, id=2))
    contents = {"contents": [{"parts": [{"text": "hi"}]}]}
    async with plane(made, answer) as p:
        gemini = await p.client.post("/v1beta/models/m:countTokens", json=contents)
        wrapped = await p.client.post(
            "/v1beta/models/m:countTokens", json={"generateContentRequest": {"model": "models/m", **contents}}
        )
        responses = await p.client.post("/v1/responses/input_tokens", json={"model": "m", "input": "hi"})
        assert gemini.json() == wrapped.json() == {"totalTokens": 42}
        assert responses.json() == {"object": "response.input_tokens", "input_tokens": 42}
        assert "x-gateway-estimated" not in gemini.headers and len(p.requests) == 3
        body = {"model": "c", "messages": [{"role": "user", "content": "word " * 400}]}
        guess = await p.client.post("/v1/messages/count_tokens", json=body)
        assert guess.headers["x-gateway-estimated"] == "true" and 400 <= guess.json()["input_tokens"] <= 600
        assert len(p.requests) == 3
    assert all(row.input_tokens == row.output_tokens == 0 for row in p.rows)


async def test_embeddings_of_one_request_take_as_many_calls_as_the_upstream_needs() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        text = orjson.loads(request.content)["inputText"]
        return httpx.Response(200, json={"embedding": [float(len(text)), 1.0], "inputTextTokenCount": len(text)})

    titan = upstream(kind="openai", name="titan", apis=frozenset({"titan"}))
    async with plane(table(route("e", titan)), answer) as p:
        reply = await p.client.post(
            "/v1/embeddings", json={"model": "e", "input": ["a", "bb", "ccc"], "encoding_format": "float"}
        )
        bad = await p.client.post("/v1/embeddings", json={"model": "e", "input": []})
    assert [row["embedding"] for row in reply.json()["data"]] == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]
    assert len(p.requests) == 3 and p.rows[0].input_tokens == 6 == reply.json()["usage"]["prompt_tokens"]
    assert bad.status_code == 400 and bad.json()["error"]["param"] == "input"


async def test_embeddings_for_a_gemini_client() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/embeddings"
        vectors = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        return httpx.Response(200, json={"object": "list", "model": "e", "data": vectors, "usage": {}})

    async with plane(table(route("e", upstream())), answer) as p:
        reply = await p.client.post(
            "/v1beta/models/e:embedContent", json={"content": {"parts": [{"text": "some words here"}]}}
        )
    assert reply.json()["embedding"]["values"] == [0.5, 0.25]
    assert p.rows[0].estimated and p.rows[0].input_tokens == 4


async def test_the_refusal_of_one_part_is_the_failure_of_all() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        text = orjson.loads(request.content)["inputText"]
        return httpx.Response(400 if text == "t9" else 200, json={"embedding": [1.0], "inputTextTokenCount": 1})

    titan = upstream(kind="openai", name="titan", apis=frozenset({"titan"}))
    async with plane(table(route("e", titan)), answer) as p:
        reply = await p.client.post("/v1/embeddings", json={"model": "e", "input": [f"t{n}" for n in range(12)]})
    assert reply.status_code == 400 and p.rows[0].error_kind == "invalid_request"


async def test_a_legacy_completion_by_ollamas_own_api() -> None:
    lines = [
        {"model": "l", "created_at": "2026-01-01T00:00:00Z", "response": "Hi", "done": False},
        {"model": "l", "created_at": "2026-01-01T00:00:00Z", "response": " you", "done": False},
        {"model": "l", "created_at": "2026-01-01T00:00:00Z", "response": "", "done": True, "done_reason": "stop"}
        | {"prompt_eval_count": 4, "eval_count": 2},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)
        assert request.url.path == "/api/generate" and asked["prompt"] == "say"
        if not asked["stream"]:
            return httpx.Response(200, json=lines[-1] | {"response": "Hi you"})
        cut = lines[:2] if asked.get("options", {}).get("seed") == 1 else lines
        text = b"".join(orjson.dumps(line) + b"\n" for line in cut)
        return httpx.Response(200, headers={"content-type": "application/x-ndjson"}, content=text)

    body = {"model": "m", "prompt": "say"}
    async with plane(table(route("m", upstream(apis=frozenset({"ollama"})))), answer) as p:
        whole = await p.client.post("/v1/completions", json=body)
        events = await p.client.post("/v1/completions", json={**body, "stream": True})
        broken = await p.client.post("/v1/completions", json={**body, "stream": True, "seed": 1})
        refused = await p.client.post("/v1/completions", json={**body, "n": 2})
    assert whole.json()["choices"][0]["text"] == "Hi you" and whole.json()["usage"]["total_tokens"] == 6
    assert "".join(choice["text"] for doc in data(events) for choice in doc["choices"]) == "Hi you"
    assert events.text.endswith("data: [DONE]\n\n") and "[DONE]" not in broken.text
    assert data(broken)[-1]["error"]["code"] == "stream_incomplete"
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "n"
    assert [(row.output_tokens, row.error_kind) for row in p.rows[:3]] == [(2, ""), (2, ""), (2, "truncated")]
