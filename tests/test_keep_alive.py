"""Silences of a stream are filled where the route says so; the first filling says 200, and errors are events then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from routing.keep_alive import COMMENT, PING
from routing.table import Target
from tests.inprocess import Plane, plane, route, table, upstream
from tests.test_gateway import CHAT, REPLY

pytestmark = pytest.mark.asyncio

LIMIT = 30.0
SILENCE = 0.03
CHUNK = b'data: {"id":"c","model":"gpt-real","choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n'
END = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
MESSAGE = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)


class Sent:
    """What the gateway has sent to its client so far."""

    def __init__(self, p: Plane) -> None:
        self.data = b""
        self.heads = 0
        inner = p.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Any) -> None:
                self.data += message.get("body", b"")
                self.heads += message["type"] == "http.response.start"
                await send(message)

            await inner(scope, receive, sending)

        p.client._transport = httpx.ASGITransport(app)

    async def until(self, condition: Callable[[bytes], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition(self.data):
                await asyncio.sleep(0)


def streamed(*pieces: bytes | Callable[[], Any]) -> httpx.Response:
    """A stream of these pieces; what can be called is waited for."""

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                if isinstance(piece, bytes):
                    yield piece
                else:
                    await piece()

    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())


def site(*targets: Any, **changes: Any) -> Any:
    return table(route("gpt", *(targets or (upstream(),)), **{"keep_alive": SILENCE, **changes}))


async def test_a_silence_in_a_stream_is_filled() -> None:
    waits: list[Any] = []
    async with plane(site(), lambda r: streamed(CHUNK % 1, waits[0], CHUNK % 2, END)) as p:
        sent = Sent(p)
        waits.append(lambda: sent.until(lambda data: data.count(COMMENT) >= 2))
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    told = reply.content.replace(COMMENT, b"")
    assert told == CHUNK % 1 + CHUNK % 2 + END and reply.content.count(COMMENT) >= 2 and sent.heads == 1
    assert not p.rows[0].error_kind and p.rows[0].status == 200


async def test_before_the_first_byte_too() -> None:
    waits: list[Any] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        await waits[0]()
        return streamed(CHUNK % 1, END)

    async with plane(site(), answer) as p:
        sent = Sent(p)
        waits.append(lambda: sent.until(lambda data: COMMENT in data))
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert reply.status_code == 200 and reply.headers["content-type"] == "text/event-stream"
    assert reply.content.startswith(COMMENT) and reply.content.endswith(CHUNK % 1 + END) and sent.heads == 1


@pytest.mark.parametrize("trouble", ["status", "broken", "refused", "whole"])
async def test_after_the_first_one_an_error_is_an_event_and_no_other_target_is_tried(trouble: str) -> None:
    waits: list[Any] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        await waits[0]()
        if trouble == "broken":
            raise httpx.ReadError("reset")
        if trouble == "whole":
            return httpx.Response(200, json=REPLY)
        return httpx.Response({"status": 500, "refused": 400}[trouble], json={"error": {"message": "no"}})

    first, second = Target(1, upstream(1, "first", max_retries=2)), Target(2, upstream(2, "second"), priority=1)
    async with plane(site(first, second), answer) as p:
        sent = Sent(p)
        waits.append(lambda: sent.until(lambda data: COMMENT in data))
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    events = [each for each in reply.content.replace(COMMENT, b"").split(b"\n\n") if each]
    assert reply.status_code == 200 and sent.heads == 1 and len(events) == 1
    assert json.loads(events[0].removeprefix(b"data: "))["error"]["message"]
    [row] = p.rows
    assert row.error_kind and row.attempts == len(p.requests) == 1 and row.provider == "first"


async def test_anthropics_clients_get_pings() -> None:
    waits: list[Any] = []
    body = {"model": "gpt", "max_tokens": 9, "stream": True, "messages": CHAT["messages"]}
    made = site(upstream(kind="anthropic"))
    async with plane(made, lambda r: streamed(MESSAGE[0], waits[0], MESSAGE[1])) as p:
        sent = Sent(p)
        waits.append(lambda: sent.until(lambda data: PING in data))
        reply = await p.client.post("/v1/messages", json=body)
    assert reply.content.replace(PING, b"") == b"".join(MESSAGE) and PING in reply.content


async def test_a_translated_stream_is_filled_between_its_events() -> None:
    waits: list[Any] = []
    made = site(upstream(kind="anthropic"))
    delta = (
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}\n\n'
    )
    async with plane(made, lambda r: streamed(MESSAGE[0], waits[0], delta, MESSAGE[1])) as p:
        sent = Sent(p)
        waits.append(lambda: sent.until(lambda data: COMMENT in data))
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert COMMENT in reply.content and reply.content.endswith(b"data: [DONE]\n\n")
    assert all(json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {"))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1beta/models/gpt:streamGenerateContent", {"contents": [{"parts": [{"text": "hi"}]}]}),
    ],
)
async def test_what_is_no_event_stream_stays_as_it_is(path: str, body: dict[str, Any]) -> None:
    """Whole replies, and Gemini's array of JSON."""
    made = site(upstream(kind="gemini" if "beta" in path else "openai"))
    answered = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}
    reply_of = REPLY if "chat" in path else answered

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(SILENCE * 5)
        return httpx.Response(200, json=reply_of)

    async with plane(made, answer) as p:
        reply = await p.client.post(path, json=body)
    assert reply.json() == reply_of


async def test_off_unless_it_is_asked_for() -> None:
    waits: list[Any] = []
    async with plane(site(keep_alive=0), lambda r: streamed(CHUNK % 1, waits[0], END)) as p:
        waits.append(lambda: asyncio.sleep(SILENCE * 5))
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert reply.content == CHUNK % 1 + END
