"""The funnel and the relay, in process: keys, models, permissions, targets, failover, errors in each dialect, rows."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from routing.options import Options
from routing.table import Rewrite, Target
from tenants.keys import Key, Tenant
from tenants.terms import Level, Names
from tests.inprocess import KEY, OTHER_KEY, SECRET, plane, route, sse, table, upstream

pytestmark = pytest.mark.asyncio

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-real",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ho"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}
ANTHROPIC_REPLY = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "ho"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 20, "output_tokens": 7},
}


def ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=REPLY)


def one(**changes: Any) -> Any:
    return table(route("gpt", Target(1, upstream(), model="gpt-real")), **changes)


async def test_a_whole_reply_passes_byte_for_byte_and_is_counted() -> None:
    body = json.dumps(REPLY, indent=1).encode()
    async with plane(
        one(),
        lambda r: httpx.Response(
            200,
            content=body,
            headers={
                "content-type": "application/json",
                "x-request-id": "req-up",
                "set-cookie": "a=b",
                "openai-organization": "org",
            },
        ),
    ) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": "mine-1"})
    assert (reply.status_code, reply.content) == (200, body)
    assert reply.headers["x-request-id"] == "mine-1"
    assert reply.headers["x-gateway-provider"] == "up" and reply.headers["x-gateway-model"] == "gpt-real"
    assert reply.headers["x-gateway-attempts"] == "1" and reply.headers["x-gateway-revision"] == "7"
    assert reply.headers["x-gateway-upstream-request-id"] == "req-up"
    assert (
        reply.headers["x-content-type-options"] == "nosniff" and "sandbox" in reply.headers["content-security-policy"]
    )
    assert "set-cookie" not in reply.headers and "openai-organization" not in reply.headers
    [row] = p.rows
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.reasoning_tokens) == (9, 4, 5, 2)
    assert (row.status, row.error_kind, row.tenant, row.key, row.route, row.model, row.upstream_model) == (
        200,
        "",
        "acme",
        "main",
        "gpt",
        "gpt",
        "gpt-real",
    )
    assert (row.request_id, row.upstream_request_id, row.upstream_response_id, row.revision) == (
        "mine-1",
        "req-up",
        "chatcmpl-1",
        7,
    )
    assert row.duration_us >= (row.first_byte_us or 0) > 0


async def test_the_upstream_gets_the_bytes_with_the_model_spliced_and_only_listed_headers() -> None:
    body = b'{ "temperature":0,"model" : "gpt" ,"messages":[{"role":"user","content":"\\u00e9 \\"model\\": \\"gpt\\""}], "x":1e400}'.replace(
        b', "x":1e400', b', "big":123456789012345678901234567890'
    )
    sent = {
        "content-type": "application/json",
        "openai-organization": "org",
        "x-stainless-os": "Linux",
        "cookie": "a=b",
        "x-forwarded-for": "1.2.3.4",
        "user-agent": "sdk/1",
        "openai-beta": "b",
        "x-gateway-tags": "red, blue",
    }
    async with plane(one(), ok) as p:
        await p.client.post("/v1/chat/completions?trace=1&key=x", content=body, headers=sent)
    [request] = p.requests
    assert request.content == body.replace(b'"gpt" ', b'"gpt-real" ', 1)
    assert str(request.url) == "http://up.test/v1/chat/completions?trace=1"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["accept-encoding"] == "identity"
    assert (
        request.headers["user-agent"] == "sdk/1"
        and request.headers["x-stainless-os"] == "Linux"
        and request.headers["openai-beta"] == "b"
    )
    for absent in ("cookie", "openai-organization", "x-forwarded-for", "x-gateway-tags", "x-api-key"):
        assert absent not in request.headers
    assert request.headers["x-gateway-request-id"] == str(p.rows[0].id)
    assert p.rows[0].tags == ["red", "blue"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-goog-api-key": KEY},
        {"authorization": f"bearer  {KEY}", "x-api-key": KEY},
    ],
)
async def test_every_key_header_is_a_key(headers: dict[str, str]) -> None:
    async with plane(one(), ok) as p:
        p.client.headers.clear()
        assert (await p.client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200


async def test_two_different_keys_are_refused_naming_the_headers() -> None:
    async with plane(one(), ok) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT, headers={"x-api-key": OTHER_KEY})
    assert reply.status_code == 401
    assert "authorization" in reply.json()["error"]["message"] and "x-api-key" in reply.json()["error"]["message"]
    assert KEY not in reply.text and OTHER_KEY not in reply.text


async def test_a_key_in_the_query_counts_on_gemini_paths_only() -> None:
    gemini = upstream(kind="gemini")
    async with plane(
        table(route("gem", gemini)), lambda r: httpx.Response(200, json={"candidates": [], "usageMetadata": {}})
    ) as p:
        p.client.headers.clear()
        assert (await p.client.post(f"/v1beta/models/gem:generateContent?key={KEY}", json={})).status_code == 200
        assert "key=" not in str(p.requests[0].url) and KEY not in str(p.requests[0].headers)
        assert (await p.client.post(f"/v1/chat/completions?key={KEY}", json=CHAT)).status_code == 401


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"enabled": False}, 401, "auth"),
        ({"expires_at": 1.0}, 401, "auth"),
        ({"level": Level("key", models=Names(["other", "gp-*"]))}, 403, "permission"),
        ({"level": Level("key", providers=Names(["other"]))}, 403, "permission"),
        ({"level": Level("key", models=Names(["gp*"]))}, 200, ""),
        ({"tenant_id": 99}, 403, "permission"),
    ],
)
async def test_what_a_key_may(changes: dict[str, Any], status: int, kind: str) -> None:
    made = one()
    keys = {digest: replace(key, **changes) if key.name == "main" else key for digest, key in made.keys.items()}
    async with plane(replace(made, keys=keys), ok) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == status
    assert p.rows[0].error_kind == kind and p.rows[0].status == status
    if kind:
        assert reply.headers["x-gateway-error"] == kind and reply.headers["x-should-retry"] == "false"
        assert p.requests == []


async def test_a_disabled_tenant_is_403() -> None:
    async with plane(one(tenants={1: Tenant(1, "acme", enabled=False)}), ok) as p:
        assert (await p.client.post("/v1/chat/completions", json=CHAT)).status_code == 403


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        (
            "/v1/chat/completions",
            {},
            lambda e: (e["error"]["type"], e["error"]["code"], bool(e["error"]["request_id"])),
        ),
        ("/v1/messages", {}, lambda e: (e["type"], e["error"]["type"], bool(e["request_id"]))),
        (
            "/v1beta/models/x:generateContent",
            {},
            lambda e: (e["error"]["code"], e["error"]["status"], bool(e["error"]["request_id"])),
        ),
    ],
)
async def test_errors_have_the_shape_of_the_dialect(path: str, headers: dict[str, str], shape: Any) -> None:
    expected = {
        "/v1/chat/completions": ("authentication_error", "invalid_api_key", True),
        "/v1/messages": ("error", "authentication_error", True),
        "/v1beta/models/x:generateContent": (401, "UNAUTHENTICATED", True),
    }
    async with plane(one(), ok) as p:
        p.client.headers.clear()
        reply = await p.client.post(path, json=CHAT, headers=headers)
    assert reply.status_code == 401 and shape(reply.json()) == expected[path]


BAD_BODIES: list[tuple[bytes, dict[str, str], int, str | None]] = [
    (b'{"model": "gpt", "messages": [', {}, 400, None),
    (b"[1]", {}, 400, None),
    (b'"text"', {}, 400, None),
    (b'{"messages": []}', {}, 400, "model"),
    (b'{"model": 7}', {}, 400, "model"),
    (b'{"model": ""}', {}, 400, "model"),
    (b'{"model": null}', {}, 400, "model"),
    (b'{"model": "gpt\\u0000"}', {}, 400, "model"),
    (b'{"model": "gpt", "stream": "yes"}', {}, 400, "stream"),
    (b'{"model": "gpt", "model": "other"}', {}, 400, "model"),
    (b'{"model": "gpt", "mod\\u0065l": "other"}', {}, 400, "model"),
    (b'{"model": "gpt", "Model": "other"}', {}, 400, "model"),
    (b'{"model": "gpt", "max_tokens": 5, "MAX_TOKENS": 5}', {}, 400, "max_tokens"),
    (b'{"model": "\xff"}', {}, 400, None),
    (b"", {}, 400, None),
    (b'{"model": "nope"}', {}, 404, "model"),
    (b'{"model": "<script>"}', {}, 404, "model"),
    (b"model=gpt", {"content-type": "application/x-www-form-urlencoded"}, 415, None),
    (b'{"model": "gpt"}', {"content-encoding": "rot13"}, 415, None),
    (b"not gzip", {"content-encoding": "gzip"}, 400, None),
]


@pytest.mark.parametrize(("body", "headers", "status", "param"), BAD_BODIES)
async def test_bad_bodies(body: bytes, headers: dict[str, str], status: int, param: str | None) -> None:
    async with plane(one(), ok) as p:
        reply = await p.client.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json", **headers}
        )
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["param"] == param
    assert p.requests == [] and p.rows[0].status == status


async def test_a_large_body_is_413() -> None:
    async with plane(one(), ok, Options(max_body=100)) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "user": "x" * 100})
        assert reply.status_code == 413 and reply.headers["x-should-retry"] == "false"


async def test_an_api_that_no_target_has_is_a_clear_400() -> None:
    async with plane(table(route("claude", upstream(kind="anthropic"))), ok) as p:
        reply = await p.client.post("/v1/moderations", json={"model": "claude", "input": "x"})
    assert reply.status_code == 400 and reply.json()["error"]["code"] == "unsupported_api"
    assert "messages" in reply.json()["error"]["message"]


async def test_failover_by_priority_counts_attempts() -> None:
    first, second = upstream(1, "first"), upstream(2, "second")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "first.test":
            raise httpx.ConnectError("refused")
        return ok(request)

    async with plane(table(route("gpt", Target(1, first, priority=0), Target(2, second, priority=1))), answer) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 200 and reply.headers["x-gateway-provider"] == "second"
    assert p.rows[0].attempts == 2 and p.rows[0].provider == "second"


@pytest.mark.parametrize(
    ("theirs", "ours", "kind"),
    [
        (401, 502, "server_error"),
        (402, 502, "server_error"),
        (403, 502, "server_error"),
        (500, 502, "server_error"),
        (503, 503, "overloaded"),
        (529, 503, "overloaded"),
        (302, 502, "server_error"),
        (400, 400, "invalid_request"),
        (404, 404, "not_found"),
        (422, 422, "invalid_request"),
        (429, 429, "rate_limit"),
    ],
)
async def test_upstream_statuses(theirs: int, ours: int, kind: str) -> None:
    body = b'{"error":{"message":"no ' + SECRET.encode() + b'"}}'
    async with plane(
        one(),
        lambda r: httpx.Response(
            theirs,
            content=body,
            headers={"content-type": "application/json", "retry-after": "7", "location": "http://evil.test"},
        ),
    ) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == ours and reply.headers["x-gateway-error"] == kind
    assert SECRET not in reply.text and "location" not in reply.headers
    if theirs in (400, 404, 422, 429):
        assert reply.content == body.replace(SECRET.encode(), b"***")
    if theirs in (429, 503, 529):
        assert reply.headers["retry-after"] == "7"
    assert (p.rows[0].status, p.rows[0].error_kind) == (ours, kind)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (httpx.ConnectError("x"), 502, "network"),
        (httpx.ConnectTimeout("x"), 504, "timeout"),
        (httpx.ReadTimeout("x"), 504, "timeout"),
        (httpx.RemoteProtocolError("x"), 502, "network"),
    ],
)
async def test_upstream_failures(error: Exception, status: int, kind: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    async with plane(one(), answer) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == status and reply.headers["x-gateway-error"] == kind
    assert reply.json()["error"]["message"].startswith("Upstream: ")


CHUNK = '{"id":"c1","model":"gpt-real","choices":[{"index":0,"delta":{"content":"hello world!"},"finish_reason":null}],"usage":null}'
LAST = '{"id":"c1","model":"gpt-real","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}'
USED = '{"id":"c1","model":"gpt-real","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}'


async def test_a_stream_asks_for_usage_and_withholds_what_only_it_asked_for() -> None:
    async with plane(one(), lambda r: sse(CHUNK, LAST, USED, "[DONE]")) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        asked = await p.client.post(
            "/v1/chat/completions", json={**CHAT, "stream": True, "stream_options": {"include_usage": True}}
        )
    assert reply.text == f"data: {CHUNK}\n\ndata: {LAST}\n\ndata: [DONE]\n\n"
    assert json.loads(p.requests[0].content)["stream_options"] == {"include_usage": True}
    assert asked.text == f"data: {CHUNK}\n\ndata: {LAST}\n\ndata: {USED}\n\ndata: [DONE]\n\n"
    assert p.requests[1].content.count(b"include_usage") == 1
    assert reply.headers["x-accel-buffering"] == "no"
    assert [(row.input_tokens, row.output_tokens, row.stream, row.status) for row in p.rows] == [(9, 4, True, 200)] * 2


async def test_a_truncated_stream_ends_in_an_error_event_and_says_so_in_the_row() -> None:
    async with plane(one(), lambda r: sse(CHUNK)) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    events = reply.text.strip().split("\n\n")
    assert events[0] == f"data: {CHUNK}" and "error" in json.loads(events[1].removeprefix("data: "))
    assert "[DONE]" not in reply.text
    row = p.rows[0]
    assert (row.error_kind, row.status, row.estimated, row.output_tokens) == (
        "truncated",
        502,
        True,
        3,
    ) and row.input_tokens > 0


@pytest.mark.parametrize("first", ["", ": ping\n\n", "event: ping\ndata: {}\n\n"])
async def test_a_stream_that_fails_before_its_first_event_fails_over(first: str) -> None:
    one_, two = upstream(1, "first"), upstream(2, "second")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "first.test":
            return httpx.Response(
                200,
                headers={"content-type": "text/event-stream"},
                content=(first + 'data: {"error":{"message":"busy"}}\n\n').encode(),
            )
        return sse(CHUNK, LAST, "[DONE]")

    async with plane(table(route("gpt", Target(1, one_), Target(2, two, priority=1))), answer) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert reply.status_code == 200 and "busy" not in reply.text and p.rows[0].attempts == 2


async def test_garbage_that_says_it_is_json_is_502() -> None:
    async with plane(
        one(), lambda r: httpx.Response(200, content=b'{"id": "x', headers={"content-type": "application/json"})
    ) as p:
        assert (await p.client.post("/v1/chat/completions", json=CHAT)).status_code == 502


async def test_reply_model_asked_splices_that_one_value() -> None:
    made = table(route("gpt", Target(1, upstream(), model="gpt-real"), reply_model="asked"))
    body = json.dumps(REPLY).encode()
    async with plane(
        made,
        lambda r: (
            sse(CHUNK, LAST, "[DONE]")
            if b'"stream"' in r.content
            else httpx.Response(200, content=body, headers={"content-type": "application/json"})
        ),
    ) as p:
        whole = await p.client.post("/v1/chat/completions", json=CHAT)
        stream = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert whole.content == body.replace(b'"gpt-real"', b'"gpt"')
    assert stream.text == f"data: {CHUNK}\n\ndata: {LAST}\n\ndata: [DONE]\n\n".replace('"gpt-real"', '"gpt"')


async def test_anthropic_usage_counts_cached_tokens_as_input() -> None:
    start = {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude",
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 20,
                "output_tokens": 1,
            },
        },
    }
    stream = [
        json.dumps(start),
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ho"}}',
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}',
        '{"type":"message_stop"}',
    ]
    async with plane(
        table(route("claude", upstream(kind="anthropic"))),
        lambda r: sse(*stream) if b'"stream"' in r.content else httpx.Response(200, json=ANTHROPIC_REPLY),
    ) as p:
        ask = {"model": "claude", "max_tokens": 5, "messages": [], "metadata": {"user_id": "u1"}}
        whole = await p.client.post(
            "/v1/messages", json=ask, headers={"anthropic-version": "2023-06-01", "anthropic-beta": "b"}
        )
        await p.client.post("/v1/messages", json={**ask, "stream": True})
    assert whole.headers["request-id"] == whole.headers["x-request-id"]
    assert p.requests[0].headers["anthropic-beta"] == "b" and p.requests[0].headers["x-api-key"] == SECRET
    for row in p.rows:
        assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens, row.end_user) == (
            33,
            7,
            10,
            20,
            "u1",
        )


async def test_gemini_paths_models_and_streams() -> None:
    reply = {
        "candidates": [{"content": {"parts": [{"text": "ho"}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 37,
        },
    }
    gem = upstream(kind="gemini")
    made = table(route("gem", Target(1, gem, model="gemini/real")), route("org/*", gem, id=2))
    async with plane(
        made, lambda r: sse(json.dumps(reply)) if "stream" in str(r.url) else httpx.Response(200, json=reply)
    ) as p:
        await p.client.post("/v1beta/models/gem:generateContent", json={"contents": []})
        await p.client.post("/gemini/v1beta/models/gem:streamGenerateContent?alt=sse", json={"contents": []})
        await p.client.post("/v1/models/org%2Fmodel%20x:generateContent", json={"contents": []})
        await p.client.post("/v1beta/models/gem:generateContent", json={"contents": [], "stream": True})
        bad = await p.client.post("/v1beta/models/gem:generateContent", json={"model": "models/else"})
        assert (await p.client.post("/v1beta/models/gem:nothing", json={})).status_code == 404
    urls = [r.url.raw_path.decode() for r in p.requests]
    assert urls == [
        "/v1beta/models/gemini%2Freal:generateContent",
        "/v1beta/models/gemini%2Freal:streamGenerateContent?alt=sse",
        "/v1/models/org%2Fmodel%20x:generateContent",
        "/v1beta/models/gemini%2Freal:streamGenerateContent?alt=sse",
    ]
    assert b"stream" not in p.requests[3].content
    assert bad.status_code == 400 and bad.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert [(r.input_tokens, r.output_tokens, r.reasoning_tokens) for r in p.rows[:4]] == [(5, 32, 30)] * 4


async def test_rewrites_edit_fields_and_headers() -> None:
    rewrites = (
        Rewrite("body", "set", "temperature", b"0.5"),
        Rewrite("body", "default", "top_p", b"0.9"),
        Rewrite("body", "remove", "user"),
        Rewrite("header", "set", "X-Team", b"red"),
        Rewrite("header", "remove", "user-agent"),
        Rewrite("body", "set", "never", b"1", route_id=99),
    )
    async with plane(one(rewrites=rewrites), ok) as p:
        await p.client.post("/v1/chat/completions", json={**CHAT, "temperature": 1, "user": "u", "top_p": 0.1})
    sent = json.loads(p.requests[0].content)
    assert (sent["temperature"], sent["top_p"], "user" in sent, "never" in sent) == (0.5, 0.1, False, False)
    assert p.requests[0].headers["x-team"] == "red" and p.requests[0].headers.get("user-agent") is None


async def test_objects_belong_to_the_tenant_that_made_them() -> None:
    response = {
        "id": "resp_1",
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [
            {"type": "message", "id": "msg_1", "content": []},
            {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    made = table(route("gpt", Target(1, upstream())), route("far", Target(2, upstream(2, "far")), id=2))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=response)

    async with plane(made, answer) as p:
        assert (await p.client.post("/v1/responses", json={"model": "gpt", "input": "x"})).status_code == 200
        foreign = {"authorization": f"Bearer {OTHER_KEY}"}
        uses: list[dict[str, Any]] = [
            {"previous_response_id": "resp_1"},
            {"input": [{"type": "item_reference", "id": "msg_1"}]},
            {"input": [{"id": "msg_1"}]},
            {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
        ]
        for use in uses:
            assert (
                await p.client.post("/v1/responses", json={"model": "gpt", "input": "x", **use})
            ).status_code == 200, use
            reply = await p.client.post("/v1/responses", json={"model": "gpt", "input": "x", **use}, headers=foreign)
            status = 400 if "previous_response_id" in use else 404  # OpenAI's own word for it
            assert reply.status_code == status and reply.json()["error"]["param"], use
        for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/input_items"), ("DELETE", "")):
            assert (await p.client.request(method, f"/v1/responses/resp_1{path}", headers=foreign)).status_code == 404
            assert (await p.client.request(method, f"/v1/responses/resp_1{path}")).status_code == 200
            assert p.requests[-1].method == method and p.requests[-1].url.path == f"/v1/responses/resp_1{path}"
        assert (await p.client.get("/v1/responses/resp_1")).status_code == 404  # deleted
        assert (
            await p.client.post("/v1/responses", json={"model": "far", "input": [{"id": "msg_1"}]})
        ).status_code == 503


async def test_listings_have_each_dialects_shape_and_only_what_the_key_may() -> None:
    made = table(
        route("gpt", upstream()),
        route("gpt-*", Target(2, upstream()), id=2),
        models={1: {"gpt-5": {"created": 5, "owned_by": "x"}, "other": {}}},
    )
    async with plane(made, ok) as p:
        listed = (await p.client.get("/v1/models")).json()
        assert [m["id"] for m in listed["data"]] == ["gpt", "gpt-5"] and listed["data"][1]["created"] == 5
        claude = (await p.client.get("/v1/models", headers={"anthropic-version": "x"})).json()
        assert claude["data"][0]["type"] == "model" and claude["has_more"] is False
        gemini = (await p.client.get("/v1beta/models")).json()
        assert gemini["models"][0]["name"] == "models/gpt"
        assert (await p.client.get("/v1/models/gpt-5")).json()["id"] == "gpt-5"
        assert (await p.client.get("/v1/models/none")).status_code == 404
        keys = {digest: replace(key, level=Level("key", models=Names(["gpt-5"]))) for digest, key in made.keys.items()}
        p.gateway.table = replace(made, keys=keys)
        assert [m["id"] for m in (await p.client.get("/v1/models")).json()["data"]] == ["gpt-5"]


async def test_resolution_order() -> None:
    up = upstream()
    made = table(
        route("a", Target(1, up, model="exact")),
        route("a*", Target(2, up, model="short"), id=2),
        route("ab*", Target(3, up, model="long"), id=3),
        aliases={(0, "alias"): "a", (1, "mine"): "abc"},
        default_model="a",
    )
    async with plane(made, ok) as p:
        for asked, used in (
            ("a", "exact"),
            ("abx", "long"),
            ("ax", "short"),
            ("alias", "exact"),
            ("mine", "long"),
            ("zzz", "exact"),
        ):
            await p.client.post("/v1/chat/completions", json={**CHAT, "model": asked})
            assert json.loads(p.requests[-1].content)["model"] == used, asked


async def test_paths_that_lack_or_double_v1_are_told_the_right_one() -> None:
    async with plane(one(), ok) as p:
        for wrong, right in (
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/v1/messages", "/v1/messages"),
            ("/openai/chat/completions", "/openai/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
        ):
            reply = await p.client.post(wrong, json=CHAT)
            assert reply.status_code == 404 and f"did you mean {right}?" in reply.json()["error"]["message"], wrong
        wrong_method = await p.client.get("/v1/chat/completions")
        assert wrong_method.status_code == 405 and wrong_method.headers["allow"] == "POST"


async def test_x_provider_picks_among_the_targets() -> None:
    made = table(route("gpt", Target(1, upstream(1, "one")), Target(2, upstream(2, "two"), priority=1)))
    async with plane(made, ok) as p:
        assert (await p.client.post("/v1/chat/completions", json=CHAT, headers={"x-provider": "two"})).headers[
            "x-gateway-provider"
        ] == "two"
        assert (
            await p.client.post("/v1/chat/completions", json=CHAT, headers={"x-provider": "three"})
        ).status_code == 400
        keys = {digest: replace(key, may_choose_provider=False) for digest, key in made.keys.items()}
        p.gateway.table = replace(made, keys=keys)
        assert (
            await p.client.post("/v1/chat/completions", json=CHAT, headers={"x-provider": "two"})
        ).status_code == 403


async def test_fields_that_choose_another_model_are_refused_unless_allowed() -> None:
    router = upstream(kind="openrouter")
    async with plane(
        table(route("gpt", router), route("free", Target(2, router), id=2, allowed_fields=frozenset({"models"}))), ok
    ) as p:
        refused = await p.client.post("/v1/chat/completions", json={**CHAT, "models": ["x"]})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "models"
        assert (
            await p.client.post("/v1/chat/completions", json={**CHAT, "model": "free", "models": ["x"]})
        ).status_code == 200


async def test_anonymous_requests_need_the_option() -> None:
    made = one(anonymous=Key(0, "anonymous", 1))
    for allow, status in ((True, 200), (False, 401)):
        async with plane(made, ok, Options(allow_anonymous=allow)) as p:
            p.client.headers.clear()
            assert (await p.client.post("/v1/chat/completions", json=CHAT)).status_code == status
            assert (
                await p.client.post(
                    "/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer gw-wrong-key-but-long-enough"}
                )
            ).status_code == 401


async def test_ten_thousand_routes_cost_no_scan() -> None:
    many = table(
        *(route(f"model-{n}", Target(n, upstream()), id=n) for n in range(5000)),
        *(route(f"p{n}-*", Target(n, upstream()), id=n) for n in range(5000, 10000)),
    )
    began = time.perf_counter()
    for n in range(10000):
        assert many.find(f"p{5000 + n % 5000}-x", 1) is not None
    print(f"a decision over 10,000 routes: {(time.perf_counter() - began) / 10000 * 1e6:.1f} µs")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e9", "Fri, 21 Nov 2026 10:00:00 GMT", "999999999"])
async def test_an_odd_retry_after_is_no_fault(value: str) -> None:
    async with plane(one(), lambda r: httpx.Response(429, json={"error": {}}, headers={"retry-after": value})) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 429
    assert 1 <= int(reply.headers["retry-after"]) <= 60


async def test_a_vendor_that_tells_no_usage_is_not_for_free() -> None:
    silent = {**REPLY, "usage": None}
    async with plane(
        one(), lambda r: sse(CHUNK, LAST, "[DONE]") if b'"stream"' in r.content else httpx.Response(200, json=silent)
    ) as p:
        await p.client.post("/v1/chat/completions", json=CHAT)
        await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    for row in p.rows:
        assert (row.status, row.error_kind, row.estimated) == (200, "", True)
        assert row.input_tokens > 0
        assert row.output_tokens > 0


async def test_reading_a_stored_response_again_costs_nothing() -> None:
    made_once = {"id": "resp_1", "object": "response", "output": [], "usage": {"input_tokens": 5, "output_tokens": 5}}
    async with plane(one(), lambda r: httpx.Response(200, json=made_once)) as p:
        await p.client.post("/v1/responses", json={"model": "gpt", "input": "x"})
        await p.client.get("/v1/responses/resp_1")
    assert [(row.input_tokens, row.output_tokens) for row in p.rows] == [(5, 5), (0, 0)]


async def test_a_body_of_nothing_but_structure_is_413() -> None:
    hostile = b'{"model": "gpt", "x": [' + b"[]," * 200_000 + b"1]}"
    async with plane(one(), ok) as p:
        reply = await p.client.post("/v1/chat/completions", content=hostile)
        assert reply.status_code == 413
        text = "[" * 300_000  # the same signs in a text that is no structure, but nobody can tell that cheaply
        assert (await p.client.post("/v1/chat/completions", json={**CHAT, "user": text})).status_code == 413
        assert (await p.client.post("/v1/chat/completions", json={**CHAT, "user": "x" * 3_000_000})).status_code == 200


async def test_a_binary_reply_that_breaks_is_truncated_in_the_row() -> None:
    class Breaks(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"RIFF"
            raise httpx.ReadError("gone")

    speech = {"model": "gpt", "input": "x", "voice": "v"}
    async with plane(one(), lambda r: httpx.Response(200, headers={"content-type": "audio/wav"}, stream=Breaks())) as p:
        with pytest.raises(AssertionError):  # this transport's word for a reply that never ended; a server hangs up
            await p.client.post("/v1/audio/speech", json=speech)
    assert (p.rows[0].error_kind, p.rows[0].status) == ("truncated", 502)


@pytest.mark.asyncio
@pytest.mark.parametrize("length", [512, 513, 2_000_000])
async def test_a_name_that_is_too_long_for_a_model_is_none(length: int) -> None:
    """Breakers, line-ups and prices are remembered by it, and behind a pattern it is whatever a client says."""
    model = "gpt-".ljust(length, "x")
    async with plane(table(route("gpt-*", Target(1, upstream()))), ok) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "model": model})
        if length <= 512:
            assert reply.status_code == 200 and p.rows[0].upstream_model == model
            return
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"
        assert not p.requests and len(reply.content) < 1000
        assert not p.gateway.table.lineups and not p.gateway.traffic.breakers.rows(0)
    usual = table(route("gpt", Target(1, upstream())), default_model="gpt")  # which has a name of its own
    async with plane(usual, ok) as p:
        assert (await p.client.post("/v1/chat/completions", json={**CHAT, "model": model})).status_code == 200
        assert p.rows[0].upstream_model == "gpt"
