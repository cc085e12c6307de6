"""A stream that goes past what a hard budget has reserved for it ends as one that has become as long as it may be."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from routing import cutting
from routing.call import Call
from routing.paths import CHAT
from routing.tap import Tap
from tenants.ledger import Entry
from tenants.uuid7 import uuid7
from tests.endless import KINDS, Endless, api, asked, events, made
from tests.inprocess import KEY, Plane
from tests.money import DOLLAR, IN, MODEL, OUT, bank, budget, site
from tests.recordings import Json

pytestmark = pytest.mark.asyncio
BOUND = 10 + 16
"""Tokens: the cap, and the slack that every cap gets."""


async def stream(running: Plane, client: str, **more: Any) -> bytes:
    path, body, headers = asked(client, **more)
    reply = await running.client.post(path, json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.content


def ended(client: str, body: bytes) -> str:
    """The text of a stream, which has to end for its length, well formed."""
    docs = events(body)
    match client:
        case "chat":
            return chat(body, docs)
        case "completions":
            assert docs[-1]["choices"][0]["finish_reason"] == "length" and body.endswith(b"data: [DONE]\n\n")
            return "".join(doc["choices"][0]["text"] for doc in docs)
        case "messages":
            return messages(docs)
        case "responses":
            return responses(docs)
    last = docs[-1]
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS" and last["usageMetadata"]["candidatesTokenCount"]
    parts = [part for doc in docs for part in doc["candidates"][0]["content"]["parts"]]
    return "".join(part["text"] for part in parts)


def chat(body: bytes, docs: list[Json]) -> str:
    reasons = [choice["finish_reason"] for doc in docs for choice in doc["choices"] if choice["finish_reason"]]
    assert reasons == ["length"] and body.count(b"data: [DONE]\n\n") == 1 and body.endswith(b"data: [DONE]\n\n")
    assert len({(doc["id"], doc["model"], doc["object"]) for doc in docs}) == 1
    return "".join(choice["delta"].get("content") or "" for doc in docs for choice in doc["choices"])


def messages(docs: list[Json]) -> str:
    kinds = [doc["type"] for doc in docs]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop")
    assert docs[-2]["delta"]["stop_reason"] == "max_tokens" and docs[-2]["usage"]["output_tokens"]
    return "".join(doc["delta"].get("text", "") for doc in docs if doc["type"] == "content_block_delta")


def responses(docs: list[Json]) -> str:
    assert [doc["sequence_number"] for doc in docs] == list(range(len(docs)))
    final = docs[-1]["response"]
    assert docs[-1]["type"] == "response.incomplete" and final["status"] == "incomplete"
    assert final["incomplete_details"] == {"reason": "max_output_tokens"} and final["usage"]["output_tokens"]
    text = "".join(doc["delta"] for doc in docs if doc["type"] == "response.output_text.delta")
    kinds = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    done = {doc["type"]: doc for doc in docs if doc["type"] in kinds}
    assert [doc["type"] for doc in docs[-4:-1]] == kinds
    item = done[kinds[2]]["item"]
    assert done[kinds[0]]["text"] == done[kinds[1]]["part"]["text"] == item["content"][0]["text"] == text
    assert item == final["output"][-1] and item["status"] == "incomplete"
    return text


TRANSLATED = ["chat", "messages", "generate", "responses"]
PAIRS = [*zip(KINDS, KINDS, strict=True), *itertools.permutations(TRANSLATED, 2)]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_past_its_bound_ends_for_its_length(client: str, upstream: str) -> None:
    endless = Endless(upstream)
    async with bank(site(budget(DOLLAR), made=made(upstream)), endless.answer) as (running, store):
        text = ended(client, await stream(running, client))
        assert set(text.split()) == {"word"} and len(text) > cutting.LONGEST * BOUND
        assert endless.closed and endless.words <= 4
        row = running.rows[0]
        assert (row.status, row.error_kind, row.estimated) == (200, "", True) and row.bound
        assert row.output_tokens >= len(text) // 4 and (row.cost or 0) >= max(row.bound, row.output_tokens * OUT)
        store.charged(running)
        assert store.spent("b1.1") == row.cost


@pytest.mark.parametrize("client", KINDS)
async def test_only_a_hard_budget_cuts(client: str) -> None:
    for rules in ((), (budget(DOLLAR, hard=False),)):
        endless = Endless(client, last=50)
        async with bank(site(*rules, made=made(client)), endless.answer) as (running, _):
            assert (await stream(running, client)).count(b"word ") >= 50 * 20


@pytest.mark.parametrize("client", KINDS)
async def test_a_cap_that_is_kept_is_never_cut(client: str) -> None:
    """Ten tokens, all of them as long as a token can well be."""
    endless = Endless(client, [api(client).word("characters" * 8)], last=0)
    async with bank(site(budget(DOLLAR), made=made(client)), endless.answer) as (running, _):
        body = await stream(running, client)
        assert b"length" not in body and b"max_tokens" not in body and b"MAX_TOKENS" not in body


TOLD = {
    "chat": {"id": "c", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 30, "total_tokens": 37}},
    "messages": {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 30}},
    "generate": {"candidates": [], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 30}},
}


@pytest.mark.parametrize("upstream", TOLD)
@pytest.mark.parametrize("client", TRANSLATED)
async def test_usage_that_is_told_on_the_way_cuts_at_once(client: str, upstream: str) -> None:
    told = f"data: {json.dumps(TOLD[upstream])}\n\n".encode()
    if upstream == "messages":
        told = b"event: message_delta\n" + told
    endless = Endless(upstream, [api(upstream).word("few"), told])
    async with bank(site(budget(DOLLAR), made=made(upstream)), endless.answer) as (running, _):
        await stream(running, client)
        row = running.rows[0]
        assert not endless.words and endless.closed and (row.input_tokens, row.output_tokens) == (7, 30)
        assert row.cost is not None and row.cost >= 7 * IN + 30 * OUT


async def test_an_upstream_that_has_ended_is_left_to_say_so() -> None:
    """Nothing is saved by cutting what costs nothing more: its own ending tells more than ours."""
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 30}}
    pieces = [f"event: {doc['type']}\ndata: {json.dumps(doc)}\n\n".encode() for doc in (stop, {"type": "message_stop"})]
    endless = Endless("messages", [api("messages").word("few"), *pieces], last=0)
    async with bank(site(budget(DOLLAR), made=made("messages")), endless.answer) as (running, _):
        body = await stream(running, "messages")
        assert b"end_turn" in body and b"max_tokens" not in body
        row = running.rows[0]
        assert (row.cost, row.estimated) == (7 * IN + 30 * OUT, False)


async def test_usage_is_told_to_who_asked_for_it() -> None:
    for asks in (True, False):
        endless = Endless("chat")
        async with bank(site(budget(DOLLAR), made=made("chat")), endless.answer) as (running, _):
            body = await stream(running, "chat", stream_options={"include_usage": asks})
            told = [doc["usage"] for doc in events(body) if doc.get("usage")]
            tokens = running.rows[0].output_tokens
            assert [usage["completion_tokens"] for usage in told] == ([tokens] if asks else [])
            assert events(body)[-1 - asks]["choices"][0]["finish_reason"] == "length"


async def test_each_open_choice_ends() -> None:
    def chunk(index: int, reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"content": "w"}, "finish_reason": reason}
        doc = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
        return f"data: {json.dumps(doc)}\n\n".encode()

    endless = Endless("chat", [chunk(0), chunk(1), chunk(2), chunk(0, "stop")])
    endless.api.word = lambda text: chunk(1).replace(b'"w"', b'"%s"' % text.encode())
    async with bank(site(budget(DOLLAR), made=made("chat")), endless.answer) as (running, _):
        docs = events(await stream(running, "chat", n=3))
        ends = [(c["index"], c["finish_reason"]) for doc in docs for c in doc["choices"] if c["finish_reason"]]
        assert ends == [(0, "stop"), (1, "length"), (2, "length")]


async def test_open_tools_end_with_what_they_have() -> None:
    """Two calls at once, neither complete, and a summary of thoughts before them."""
    base = api("responses")
    first = base._event("created", response={"id": "resp_1", "model": MODEL, "output": []})
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    part = {"type": "summary_text", "text": ""}
    place = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    sent = [first, base._event("output_item.added", output_index=0, item=thought)]
    sent.append(base._event("reasoning_summary_part.added", **place, part=part))
    sent.append(base._event("reasoning_summary_text.delta", **place, delta="hm"))
    for at in (1, 2):
        call = {"id": f"fc_{at}", "type": "function_call", "name": "f", "arguments": "", "status": "in_progress"}
        sent.append(base._event("output_item.added", output_index=at, item={**call, "call_id": f"c{at}"}))
        sent.append(base._event("function_call_arguments.delta", item_id=f"fc_{at}", output_index=at, delta='{"a":'))
    base.start = lambda: b""
    base.word = lambda text: base._event("function_call_arguments.delta", item_id="fc_2", output_index=2, delta=text)
    endless = Endless("responses", sent)
    endless.api = base
    async with bank(site(budget(DOLLAR), made=made("responses")), endless.answer) as (running, _):
        docs = events(await stream(running, "responses"))
    output = docs[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "function_call", "function_call"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}] and output[1]["arguments"] == '{"a":'
    assert output[2]["arguments"].startswith('{"a":word') and output[2]["status"] == "incomplete"
    done = [doc["output_index"] for doc in docs if doc["type"] == "response.output_item.done"]
    assert done == [0, 1, 2] and [doc["sequence_number"] for doc in docs] == list(range(len(docs)))


async def test_what_is_long_is_read_in_parts() -> None:
    """More than is kept: nothing of the text is lost, and no more memory is held than that."""
    endless = Endless("responses")
    async with bank(site(budget(DOLLAR), made=made("responses")), endless.answer) as (running, _):
        text = ended("responses", await stream(running, "responses", max_output_tokens=4_000))
        assert len(text) > 8 * 4_000 and endless.closed


async def test_the_sdks_read_such_an_ending() -> None:
    for client in ("chat", "responses", "messages"):
        endless = Endless(client)
        async with (
            bank(site(budget(DOLLAR), made=made(client)), endless.answer) as (running, _),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(running.app)) as wire,
        ):
            assert await said(client, wire) == "length"


async def said(client: str, wire: httpx2.AsyncClient) -> str:
    """Why the reply ended, in the words of its SDK."""
    origin = "http://gateway.test"
    if client == "messages":
        made_ = anthropic.AsyncAnthropic(api_key=KEY, base_url=origin, http_client=wire)
        user: Any = [{"role": "user", "content": "hi"}]
        async with made_.messages.stream(model=MODEL, max_tokens=10, messages=user) as streamed:
            final = await streamed.get_final_message()
        assert final.content[0].type == "text" and final.usage.output_tokens > BOUND
        return "length" if final.stop_reason == "max_tokens" else str(final.stop_reason)
    sdk = openai.AsyncOpenAI(api_key=KEY, base_url=f"{origin}/v1", http_client=wire)
    if client == "responses":
        last: Any = None
        async for told in await sdk.responses.create(model=MODEL, input="hi", max_output_tokens=16, stream=True):
            last = told
        assert last.type == "response.incomplete" and last.response.output_text.split()[0] == "word"
        return "length" if last.response.incomplete_details.reason == "max_output_tokens" else "other"
    reason = ""
    chunks = await sdk.chat.completions.create(
        model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "hi"}], stream=True
    )
    async for chunk in chunks:
        reason = chunk.choices[0].finish_reason or reason
    return reason


async def test_what_the_check_costs() -> None:
    """Printed, not asserted but for a generous limit: calls under a hard budget alone pay for it."""
    async with bank(site(budget(DOLLAR), made=made("chat")), Endless("chat").answer) as (running, _):
        await stream(running, "chat")
        call = _call_of(running)
        cut = cutting.Cut(call, call.tap, 10**9)
        data, rounds = api("chat").word("word"), 20_000
        began = time.process_time()
        for _ in range(rounds):
            cut.passed(data)
        each = (time.process_time() - began) / rounds
        print(f"\n{each * 1e9:.0f} ns a chunk, looking at what was kept included")
        assert each < 1e-3


def _call_of(running: Plane) -> Any:
    call = Call(CHAT, Entry(uuid7()), "", {"method": "POST", "headers": []}, running.gateway.objects)
    call.tap = Tap("chat")
    return call
