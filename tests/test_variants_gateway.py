"""Vendors that serve another's API a little differently, through the whole gateway: passed on and translated."""

from __future__ import annotations

import base64
from typing import Any
from zlib import crc32

import httpx
import orjson
import pytest

from providers.presets import PRESETS
from providers.upstream import Credential
from providers.variants.registry import VARIANTS
from tests.inprocess import plane, route, table, upstream
from tests.test_translation import EVENTS, MESSAGE, data, stream

pytestmark = pytest.mark.asyncio
BODY = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def served(kind: str, **changes: Any) -> Any:
    preset = PRESETS[kind]
    found: dict[str, Any] = {
        "variant": VARIANTS[preset.variant] if preset.variant else None,
        "apis": frozenset(preset.apis),
        "credentials": (Credential(1, None, "s"),),
    }
    return table(route("m", upstream(kind="openai", name="up", **(found | changes))))


def frame(kind: str, payload: bytes, what: str = "event") -> bytes:
    """One message of AWS's event stream, as its documentation draws it."""
    names = {":message-type": what, f":{what}-type": kind, ":content-type": "application/json"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in names.items()
    )
    prelude = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    prelude += crc32(prelude).to_bytes(4, "big")
    return prelude + headers + payload + crc32(prelude + headers + payload).to_bytes(4, "big")


def framed(*frames: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/vnd.amazon.eventstream"}, content=b"".join(frames))


def chunks(events: list[dict[str, Any]]) -> list[bytes]:
    return [frame("chunk", orjson.dumps({"bytes": base64.b64encode(orjson.dumps(event)).decode()})) for event in events]


async def test_claude_on_bedrock_is_an_anthropic_stream() -> None:
    async with plane(served("bedrock-anthropic"), lambda request: framed(*chunks(EVENTS))) as p:
        own = await p.client.post("/v1/messages", json={**BODY, "stream": True})
        other = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert own.headers["content-type"] == "text/event-stream" and data(own) == EVENTS
    assert [line for line in own.text.splitlines() if line.startswith("event: ")][-1] == "event: message_stop"
    assert other.text.endswith("data: [DONE]\n\n") and "Hi" in other.text
    for request in p.requests:
        assert request.url.path == "/model/m/invoke-with-response-stream"
        sent = orjson.loads(request.content)
        assert sent["anthropic_version"] and "model" not in sent and "stream" not in sent
    assert [(row.input_tokens, row.output_tokens) for row in p.rows] == [(5, 3), (5, 3)]


async def test_claude_on_bedrock_cannot_count_so_it_is_estimated() -> None:
    async with plane(served("bedrock-anthropic"), lambda request: httpx.Response(500)) as p:
        reply = await p.client.post("/v1/messages/count_tokens", json={"model": "m", "messages": BODY["messages"]})
    assert reply.headers["x-gateway-estimated"] == "true" and reply.json()["input_tokens"] > 0 and not p.requests


async def test_bedrocks_own_errors_are_said_in_anthropics_words() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"message": "max_tokens: too large"})

    async with plane(served("bedrock-anthropic"), answer) as p:
        reply = await p.client.post("/v1/messages", json=BODY)
    assert reply.status_code == 400 and reply.json()["type"] == "error"
    assert reply.json()["error"] == {"type": "invalid_request_error", "message": "max_tokens: too large"}


@pytest.mark.parametrize("broken", ["cut", "garbage", "exception"])
async def test_a_broken_frame_is_an_error_event_and_a_charged_row(broken: str) -> None:
    frames = b"".join(chunks(EVENTS[:4]))
    if broken == "cut":
        frames += chunks(EVENTS[4:])[0][:-3]
    elif broken == "garbage":
        frames += b"\x00" * 64
    else:
        frames += frame("throttlingException", b'{"message":"slow down"}', "exception")
    async with plane(served("bedrock-anthropic"), lambda request: framed(frames)) as p:
        for path, body in (("/v1/messages", BODY), ("/v1/chat/completions", CHAT)):
            reply = await p.client.post(path, json={**body, "stream": True})
            assert reply.status_code == 200 and any("error" in doc for doc in data(reply)), reply.text
    assert all(row.error_kind and row.input_tokens == 5 and row.output_tokens for row in p.rows)


async def test_converse_streams_through_its_frames() -> None:
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6}, "metrics": {"latencyMs": 1}}),
    ]
    reply = framed(*(frame(kind, orjson.dumps(body)) for kind, body in events))
    async with plane(served("bedrock"), lambda request: reply) as p:
        told = await p.client.post("/v1/messages", json={**BODY, "stream": True})
    assert p.requests[0].url.path == "/model/m/converse-stream"
    assert data(told)[-1]["type"] == "message_stop" and "Hi" in told.text
    assert (p.rows[0].input_tokens, p.rows[0].output_tokens) == (4, 2)


async def test_claude_on_vertex() -> None:
    made = served("vertex-anthropic", base_url="http://up.test/v1/projects/p/locations/l")

    def answer(request: httpx.Request) -> httpx.Response:
        return stream(EVENTS) if "stream" in request.url.path else httpx.Response(200, json=MESSAGE)

    async with plane(made, answer) as p:
        whole = await p.client.post("/v1/messages", json=BODY)
        events = await p.client.post("/v1/responses", json={"model": "m", "input": "hi", "stream": True})
    base = "/v1/projects/p/locations/l/publishers/anthropic/models/m"
    assert [request.url.path for request in p.requests] == [f"{base}:rawPredict", f"{base}:streamRawPredict"]
    assert whole.json() == MESSAGE and data(events)[-1]["type"] == "response.completed"


async def test_azures_deployments() -> None:
    made = served(
        "azure-openai", base_url="http://up.test", api_version="2024-10-21", variant=VARIANTS["azure-deployments"]
    )
    chat = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt", "usage": {}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    async with plane(made, lambda request: httpx.Response(200, json={**chat, "choices": [choice]})) as p:
        assert (await p.client.post("/v1/chat/completions", json=CHAT)).status_code == 200
        assert (await p.client.post("/v1/messages", json=BODY)).json()["content"][0]["text"] == "ok"
    for request in p.requests:
        assert request.url.path == "/openai/deployments/m/chat/completions"
        assert request.url.params["api-version"] == "2024-10-21"


async def test_a_signer_signs_each_call() -> None:
    class Signer:
        def __init__(self) -> None:
            self.seen: list[tuple[str, str, bytes]] = []

        async def sign(self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
            self.seen.append((method, url, body))
            assert dict(headers)[b"host"] == b"up.test"
            return [(b"authorization", b"Signed 1")]

    signer = Signer()
    made = served("bedrock", credentials=(Credential(1, None, "a:b", signer),))
    async with plane(made, lambda request: httpx.Response(200, json={})) as p:
        await p.client.post("/v1/chat/completions", json=CHAT)
    assert p.requests[0].headers["authorization"] == "Signed 1"
    assert signer.seen == [("POST", "http://up.test/model/m/converse", p.requests[0].content)]
