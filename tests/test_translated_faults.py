"""Errors and odd replies of upstreams of other dialects: whose fault they are, in which words, and what they cost."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Any

import httpx
import orjson
import pytest

from providers.dialects.failures import failed
from providers.errors import TimedOut
from routing import translated
from routing.client import Client
from routing.table import Target
from tests.inprocess import SECRET, plane, route, table, upstream
from tests.test_translation import CHAT, EVENTS, MESSAGE, claude, data, one, stream
from tests.test_variants_gateway import served

pytestmark = pytest.mark.asyncio
PARTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def only(api: str, **changes: Any) -> Any:
    return table(route("m", upstream(apis=frozenset({api})), **changes))


# ---------------------------------------------------------------- errors

TOO_LONG = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "prompt is too long: 200001 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Unable to submit request because the input token count is 40000 but model only supports up to 32768.",
    "Input is too long for requested model.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
    "the input length exceeds the context length",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "the request exceeds the available context size (4096 tokens), try increasing it",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Please reduce the length of the messages or completion.",
    "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens",
    "prompt token count of 70000 exceeds the limit of 64000",
    "input tokens exceed the configured limit of 272000 tokens.",
]
OTHERS = [
    "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for this model",
    "messages: text content blocks must be non-empty",
    "Request too large for this model on tokens per minute (TPM)",
    "tools.0.input_schema: input is required",
]


async def test_a_context_that_is_too_long_is_recognised_from_everybody() -> None:
    assert [text for text in TOO_LONG if failed(400, text).code != "context_length_exceeded"] == []
    assert [text for text in OTHERS if failed(400, text).code] == []


def said(status: int, text: str, request: httpx.Request) -> httpx.Response:
    return httpx.Response(status, json={"message": text})


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/responses", {"model": "m", "input": "x"})]
)
async def test_a_variants_own_words_are_read_before_they_are_translated(path: str, body: Any) -> None:
    for status, text, code in (
        (400, "Input is too long for requested model.", "context_length_exceeded"),
        (404, "no such model", "model_not_found"),
    ):
        async with plane(served("bedrock-anthropic"), partial(said, status, text)) as p:
            reply = await p.client.post(path, json=body)
        error = reply.json()["error"]
        assert (reply.status_code, error["message"], error["code"]) == (status, text, code)


async def test_googles_word_for_a_wrong_key_is_no_clients_fault() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": details}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": error}) if "google" in str(request.url) else claude(request)

    google = Target(1, upstream(1, "google", "gemini"))
    for path, body in (("/v1/chat/completions", CHAT), ("/v1beta/models/m:generateContent", PARTS)):
        async with plane(table(route("m", google)), answer) as p:
            reply = await p.client.post(path, json=body)
            assert reply.status_code == 502 and "not valid" not in reply.text
            assert reply.headers["x-should-retry"] == "false"
        async with plane(table(route("m", google, Target(2, upstream(2, "a", "anthropic"), priority=1))), answer) as p:
            assert (await p.client.post(path, json=body)).status_code == 200


def replied(doc: Any, request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=doc)


async def test_the_key_of_a_provider_is_never_repeated() -> None:
    said = f"the key {SECRET} is tired"
    response = {"id": "r", "object": "response", "status": "failed", "output": [], "error": {"message": said}}
    docs = {"responses": response, "ollama": {"error": said}}
    asked = {
        "/v1/responses/compact": {"model": "m", "input": "hi"},
        "/v1/completions": {"model": "m", "prompt": "x"},
        "/v1/chat/completions": CHAT,
    }
    for api, doc in docs.items():
        async with plane(only(api), partial(replied, doc)) as p:
            for path, body in asked.items():
                if api == "responses" and path.startswith("/v1/responses"):
                    continue  # its own API's bytes pass
                for streams in (False, True):
                    reply = await p.client.post(path, json={**body, "stream": streams})
                    assert SECRET not in reply.text and (reply.status_code >= 400 or "error" in reply.text)
    lines = orjson.dumps({"response": "Hi", "done": False}) + b"\n" + orjson.dumps({"error": said}) + b"\n"
    async with plane(only("ollama"), lambda request: httpx.Response(200, content=lines)) as p:
        reply = await p.client.post("/v1/completions", json={"model": "m", "prompt": "x", "stream": True})
    assert "is tired" in reply.text and SECRET not in reply.text


async def test_a_writer_that_fails_leaves_an_error_event_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pump(self: Any, writer: Any, client: Any) -> None:
        await client.send(b"data: {}\n\n")
        raise LookupError("a bug")

    monkeypatch.setattr(translated.Translated, "_pump", pump)
    async with plane(one(), claude) as p:
        reply = await p.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert "could not be translated" in data(reply)[-1]["error"]["message"] and "bug" not in reply.text
    assert p.rows[0].error_kind == "server_error"


async def test_a_reason_is_raised_anew_each_time() -> None:
    """An exception that is raised again and again keeps the frames, and so the bodies, of all who raised it."""
    reason = TimedOut("late")
    depths = []
    for _ in range(3):
        client = Client(lambda message: asyncio.sleep(0), 1, [])
        client._task = None
        client.limit(0, reason)
        client._task = asyncio.current_task()
        client.expire()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            depths.append(_depth(client))
    assert depths == [1, 1, 1] and reason.__traceback__ is None


def _depth(client: Client) -> int:
    cause = client.cause()
    assert isinstance(cause, TimedOut) and str(cause) == "late"
    try:
        raise cause
    except TimedOut as error:
        traceback: TracebackType | None = error.__traceback__
    found = 0
    while traceback is not None:
        found, traceback = found + 1, traceback.tb_next
    return found


# ---------------------------------------------------------------- replies


@pytest.mark.parametrize("kind", ["text/plain", ""])
async def test_a_whole_reply_of_no_certain_type_is_read_as_what_was_asked(kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    async with plane(one(), lambda r: httpx.Response(200, headers=headers, content=orjson.dumps(MESSAGE))) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"] == "Hi there"


async def test_a_stream_without_end_is_not_gathered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translated, "MAX_TRANSLATED", 100_000)
    given = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal given
            yield stream(EVENTS[:2]).content
            for _ in range(10_000):
                given += 1
                yield stream([EVENTS[2]]).content

    async with plane(
        one(), lambda r: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless())
    ) as p:
        reply = await p.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 502 and "too large" in reply.json()["error"]["message"] and given < 5000
    assert p.rows[0].output_tokens and p.rows[0].estimated


async def test_what_a_failed_reply_has_cost_is_charged() -> None:
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    doc = {"id": "r", "object": "response", "status": "failed", "output": [], "error": {"message": "x"}, "usage": usage}
    bad = Target(1, upstream(1, "bad", apis=frozenset({"responses"})))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=doc) if "responses" in request.url.path else claude(request)

    for path, body in (("/v1/chat/completions", CHAT), ("/v1/chat/completions", {**CHAT, "stream": True})):
        async with plane(table(route("m", bad)), answer) as p:
            assert (await p.client.post(path, json=body)).status_code == 502
            assert (p.rows[0].input_tokens, p.rows[0].output_tokens) == (100, 20)
        async with plane(table(route("m", bad, Target(2, upstream(2, "a", "anthropic"), priority=1))), answer) as p:
            assert (await p.client.post(path, json=body)).status_code == 200
            row = p.rows[0]
            assert (row.input_tokens, row.output_tokens, row.attempts, row.error_kind) == (5, 3, 2, "")
    async with plane(one(), lambda r: stream(EVENTS[:4])) as p:  # a stream that breaks where a whole reply was asked
        assert (await p.client.post("/v1/chat/completions", json=CHAT)).status_code == 502
    assert p.rows[0].input_tokens == 5 and p.rows[0].output_tokens


async def test_a_compaction_without_a_summary_is_charged() -> None:
    empty = {**MESSAGE, "content": []}
    async with plane(one(), lambda r: httpx.Response(200, json=empty)) as p:
        assert (await p.client.post("/v1/responses/compact", json={"model": "m", "input": "x"})).status_code == 502
    assert (p.rows[0].input_tokens, p.rows[0].output_tokens) == (5, 3)


async def test_the_parts_of_embeddings_are_replies_like_all_others() -> None:
    """Compressed unasked; refused in words for the client; failed without them."""

    def answer(request: httpx.Request) -> httpx.Response:
        text = orjson.loads(request.content)["inputText"]
        if text.isdecimal():
            return httpx.Response(int(text), json={"message": f"why {SECRET}"})
        body = gzip.compress(orjson.dumps({"embedding": [1.0], "inputTextTokenCount": 1}))
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(body))

    async with plane(only("titan"), answer) as p:
        for last, status in (("b", 200), ("400", 400), ("429", 429), ("403", 502), ("500", 502), ("503", 503)):
            reply = await p.client.post("/v1/embeddings", json={"model": "m", "input": ["a", last]})
            assert reply.status_code == status and SECRET not in reply.text, reply.text
            assert ("why" in reply.text) is (status in (400, 429))
            assert ("retry-after" in reply.headers) is (status in (429, 503))


async def test_the_model_that_clients_see_of_a_legacy_completion_is_the_routes_choice() -> None:
    line = {
        "model": "llama",
        "created_at": "2026-01-01T00:00:00Z",
        "response": "Hi",
        "done": True,
        "done_reason": "stop",
    }
    for reply_model, name in (("upstream", "llama"), ("asked", "m")):
        async with plane(only("ollama", reply_model=reply_model), lambda r: httpx.Response(200, json=line)) as p:
            for streams in (False, True):
                reply = await p.client.post("/v1/completions", json={"model": "m", "prompt": "x", "stream": streams})
                assert (data(reply)[0] if streams else reply.json())["model"] == name
