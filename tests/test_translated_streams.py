"""Recorded streams through the whole gateway, translated: cut anywhere they are errors that are charged, and nothing waits
for the end."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from routing.apis import CLIENT_DIALECTS
from tests.inprocess import KEY, Plane, plane, route, table, upstream
from tests.recordings import folder
from tests.response_schemas import OPENAI, OPENRESPONSES, event_schemas, faults

pytestmark = pytest.mark.asyncio
#: API of the upstream -> its file of recorded streams, and the type in which it streams.
STREAMS = {
    "chat": ("openai.chat", "text/event-stream"),
    "responses": ("openai.responses", "text/event-stream"),
    "messages": ("anthropic.messages", "text/event-stream"),
    "generate": ("gemini.streamGenerateContent", "text/event-stream"),
    "ollama": ("ollama.chat", "application/x-ndjson"),
    "cohere": ("cohere.chat", "text/event-stream"),
    "converse": ("bedrock.converseStream", "application/vnd.amazon.eventstream"),
}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True}),
    "responses": ("/v1/responses", {"input": "hi", "stream": True}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 99, "stream": True},
    ),
    "generate": ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]}),
}
PAIRS = [(client, api) for client in ASKED for api in STREAMS if client != api]
STREAMS_OF_A_PAIR, CUTS = 8, 4


@cache
def recorded(api: str) -> tuple[bytes, ...]:
    """Complete streams without an error, the shortest first."""
    found = []
    with (folder() / f"{STREAMS[api][0]}.jsonl").open() as lines:
        for line in lines:
            doc = json.loads(line)
            good = doc.get("stream") and doc.get("stream_complete") and doc["status"] == 200
            if good and not {"error", "error_in_stream"} & set(doc.get("features") or ()):
                text = doc.get("response_text")
                found.append(text.encode() if text else base64.b64decode(doc["response_base64"]))
    return tuple(sorted(found, key=len))


def sampled(api: str) -> Iterator[tuple[bytes, list[int]]]:
    streams = recorded(api)
    if not streams:
        pytest.skip(f"no recorded stream of {api}")
    rng = random.Random(api)
    for stream in rng.sample(streams, min(STREAMS_OF_A_PAIR, len(streams))):
        yield stream, sorted(rng.sample(range(1, len(stream)), min(CUTS, len(stream) - 1)))


def made(api: str) -> Any:
    return table(route("m", upstream(apis=frozenset({api}))))


async def ask(p: Plane, client: str) -> httpx.Response:
    path, body = ASKED[client]
    return await p.client.post(path, json={"model": "m", **body} if client != "generate" else body)


def is_failed(client: str, reply: httpx.Response) -> bool:
    """Whether the client's own dialect tells an error, looked up in the text."""
    docs = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    if reply.status_code != 200:
        return "error" in reply.json()
    if client == "responses":
        return docs[-1]["type"] in ("error", "response.failed")
    return "error" in docs[-1]


def ends_well(client: str, text: str) -> bool:
    marks = {"chat": '"finish_reason":"', "responses": '"type":"response.', "messages": '"type":"message_stop"'}
    if client == "responses":
        return '"type":"response.completed"' in text or '"type":"response.incomplete"' in text
    return marks.get(client, '"finishReason":"') in text


def fits_the_document(reply: httpx.Response) -> None:
    """Every event is one of OpenResponses, or of OpenAI's where that has no word for it; numbered from 0."""
    schemas = event_schemas(OPENAI) | event_schemas(OPENRESPONSES)
    docs = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    assert [doc["sequence_number"] for doc in docs] == list(range(len(docs)))
    for doc in docs:
        name = OPENRESPONSES if doc["type"] in event_schemas(OPENRESPONSES) else OPENAI
        assert not faults(name, schemas[doc["type"]], doc), doc


@pytest.mark.parametrize(("client", "api"), PAIRS)
async def test_a_cut_stream_is_an_error_and_is_charged(client: str, api: str) -> None:
    answered: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": STREAMS[api][1]}, content=answered[-1])

    failures = 0
    async with plane(made(api), answer) as p:
        for stream, cuts in sampled(api):
            answered.append(stream)
            whole = await ask(p, client)
            assert ends_well(client, whole.text) and not is_failed(client, whole), whole.text[-600:]
            full = p.rows[-1]
            assert not full.error_kind and full.status == 200
            if client == "responses":
                fits_the_document(whole)
            for at in cuts:
                answered.append(stream[:at])
                reply = await ask(p, client)
                row = p.rows[-1]
                if not row.error_kind:  # what is missing is blank: the terminator had come
                    assert not is_failed(client, reply) and row.output_tokens <= full.output_tokens
                    continue
                failures += 1
                assert is_failed(client, reply), reply.text[-600:]
                if client == "responses" and reply.status_code == 200:
                    fits_the_document(reply)
                assert row.status >= 400 and (row.input_tokens or row.estimated or reply.status_code == 502)
                if client == "messages":
                    assert "message_stop" not in reply.text
    assert failures


@pytest.mark.parametrize(("client", "api"), PAIRS)
async def test_nothing_waits_for_the_end(client: str, api: str) -> None:
    """The client has words of the model while the upstream has not sent its last byte."""
    stream = max(recorded(api), key=lambda each: len(each) if len(each) < 60_000 else 0)
    half = len(stream) * 2 // 3
    came, more = asyncio.Event(), asyncio.Event()

    class Gated(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield stream[:half]
            came.set()
            await more.wait()
            yield stream[half:]

    seen = b""

    async def send(message: Any) -> None:
        nonlocal seen
        seen += message.get("body", b"")
        if came.is_set() and len(seen) > 200:
            more.set()

    path, body = ASKED[client]
    sent = json.dumps({"model": "m", **body} if client != "generate" else body).encode()
    never = asyncio.Event()
    given = iter([{"type": "http.request", "body": sent, "more_body": False}])

    async def receive() -> Any:
        for message in given:
            return message
        return await never.wait()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": STREAMS[api][1]}, stream=Gated())

    async with plane(made(api), answer) as p:
        bare, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": bare,
            "raw_path": bare.encode(),
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
        }
        async with asyncio.timeout(60):
            task = asyncio.create_task(p.app(scope, receive, send))
            await came.wait()
            while len(seen) <= 200 and not task.done():
                await asyncio.sleep(0)
            assert not task.done() and len(seen) > 200
            more.set()
            await task
    assert ends_well(client, seen.decode())


async def test_all_pairs_are_tried() -> None:
    assert set(ASKED) == set(CLIENT_DIALECTS) - {"unified"} and len(PAIRS) == 24
