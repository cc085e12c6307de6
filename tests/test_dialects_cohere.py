"""Cohere's chat API as an upstream: its replies, recorded and spoiled."""

from __future__ import annotations

import copy
import json
import os
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import Chat
from providers.dialects import CLIENTS, cohere
from providers.events import Cited, Event, Failed, Finished, Logprobs, Signed, TextDelta, ThinkingDelta, ToolStarted
from tests import recordings
from tests.dialect_shapes import Sse, said
from tests.test_dialects_streams import JSON, MANY, spoiled, written

Row = dict[str, Any]


@cache
def rows() -> tuple[Row, ...]:
    path = recordings.folder() / "cohere.chat.jsonl"
    lines = path.read_text("utf-8").split("\n") if path.exists() else []
    return tuple(json.loads(line) for line in lines if line)


def recorded(stream: bool) -> list[Row]:
    found = [row for row in rows() if row["stream"] is stream and row["status"] < 300]
    if not found:
        reason = f"no recordings of Cohere in {recordings.folder()}"
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return found


def events_of(*pieces: bytes) -> list[Event]:
    parser, reader = cohere.FRAMES(), cohere.StreamReader()
    split = [event for piece in pieces for event in parser.feed(piece)] + parser.flush()
    return [event for each in split for event in reader.feed(each)] + reader.flush()


def streamed(*docs: Any, chat: Chat | None = None) -> list[Event]:
    reader = cohere.StreamReader(chat)
    return [event for doc in docs for event in reader.feed(Sse("", json.dumps(doc).encode()))] + reader.flush()


def delta(kind: str, index: int = 0, **message: Any) -> Row:
    return {"type": kind, "index": index, "delta": {"message": message}}


END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}}


# ---------------------------------------------------------------- recordings


def test_pieces_of_any_size_give_the_same_events() -> None:
    count = 0
    for row in recorded(stream=True):
        reply = row["response_text"].encode()
        whole = events_of(reply)
        assert isinstance(whole[-1], Finished)
        for at in range(1, len(reply)):
            count += 1
            assert events_of(reply[:at], reply[at:]) == whole, (row["id"], at)
    print(f"\n{count} cuts")


def test_every_prefix_is_one_error() -> None:
    for row in recorded(stream=True):
        reply = row["response_text"].encode()
        begins = reply.index(b"data:", reply.index(b"event: message-end"))
        parser, reader = cohere.FRAMES(), cohere.StreamReader()
        for at in range(reply.index(b"\n", begins)):
            ended, left = copy.deepcopy(parser), copy.deepcopy(reader)
            found = [event for each in ended.flush() for event in left.feed(each)] + left.flush()
            assert [type(event) for event in found if isinstance(event, Failed | Finished)] == [Failed], (row["id"], at)
            assert isinstance(found[-1], Failed)
            for each in parser.feed(reply[at : at + 1]):
                assert not any(isinstance(event, Failed | Finished) for event in reader.feed(each))


def told(row: Row) -> tuple[str, str, list[tuple[str, Any]], str, int, int]:
    """Text, thinking, calls, end and billed tokens of a recorded reply, looked up without the reader."""
    if not row["stream"]:
        doc, message = row["response_body"], row["response_body"]["message"]
        blocks = message.get("content", [])
        thoughts = [block.get("thinking", "") for block in blocks]
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", [])]
        texts, thought = [block.get("text", "") for block in blocks], message.get("tool_plan", "") + "".join(thoughts)
    else:
        lines = [line[6:] for line in row["response_text"].split("\n") if line.startswith("data: {")]
        docs = [json.loads(line) for line in lines]
        messages = [(each["type"], each.get("index"), each.get("delta", {}).get("message", {})) for each in docs]
        content = [m["content"] for kind, _, m in messages if kind in ("content-start", "content-delta")]
        texts = [block.get("text", "") for block in content]
        thought = "".join(m["tool_plan"] for kind, _, m in messages if kind == "tool-plan-delta")
        thought += "".join(block.get("thinking", "") for block in content)
        started = [(at, m["tool_calls"]["function"]["name"]) for kind, at, m in messages if kind == "tool-call-start"]
        pieces = [(at, m["tool_calls"]["function"]) for kind, at, m in messages if kind == "tool-call-delta"]
        calls = [(name, "".join(piece["arguments"] for at, piece in pieces if at == index)) for index, name in started]
        doc = docs[-1]["delta"]
    billed = doc["usage"]["billed_units"]
    arguments = [(name, json.loads(text)) for name, text in calls]
    return "".join(texts), thought, arguments, doc["finish_reason"], billed["input_tokens"], billed["output_tokens"]


REASONS = {"COMPLETE": "stop", "TOOL_CALL": "tool_calls", "MAX_TOKENS": "length", "STOP_SEQUENCE": "stop_sequence"}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_replies_say_what_was_recorded(stream: bool) -> None:
    for row in recorded(stream):
        events = events_of(row["response_text"].encode()) if stream else cohere.read_response(row["response_body"])
        text, thought, calls, end, given, made = told(row)
        found = said(events)
        assert [(a, b, [c[2:] for c in calls_], d) for a, b, calls_, d in found.choices] == [
            (text, thought, calls, REASONS[end])
        ], row["id"]
        assert found.usage is not None
        assert (found.usage.input_tokens, found.usage.output_tokens) == (given, made)
        assert found.usage.cache_read_tokens <= given
        written("", events)


def test_recorded_errors_keep_status_and_message() -> None:
    for row in (row for row in rows() if row["status"] >= 400):
        error = cohere.read_error(row["status"], row["response_body"])
        assert (error.status, error.message) == (row["status"], row["response_body"]["message"])
    assert cohere.read_error(404, {"message": "no"}).kind == "unknown_model"
    assert cohere.read_error(400, {"message": "too many tokens: 9"}).code == "context_length_exceeded"
    assert cohere.read_error(500, None).kind == "server_error"


# ---------------------------------------------------------------- replies


def test_a_plan_is_thinking_apart_from_what_the_model_thought() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    events = streamed(
        delta("message-start"),
        delta("content-start", content={"type": "thinking", "thinking": "hm"}),
        delta("content-delta", content={"thinking": "m"}),
        {"type": "content-end", "index": 0},
        delta("tool-plan-delta", tool_plan="I will"),
        delta("tool-call-start", tool_calls=call),
        delta("tool-call-delta", tool_calls={"function": {"arguments": "{}"}}),
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    )
    thoughts = [event for event in events if isinstance(event, ThinkingDelta | Signed | ToolStarted)]
    plan = "tool_plan"
    assert thoughts == [
        ThinkingDelta("hm"),
        ThinkingDelta("m"),
        Signed("", "cohere"),
        ThinkingDelta("I will", form=plan),
        Signed("", "cohere", form=plan),
        ToolStarted(0, "c", "f"),
    ]


@pytest.mark.parametrize("client", ["anthropic", "gemini", "openai_responses"])
def test_a_plan_comes_back_as_one(client: str) -> None:
    """What a client of another dialect was given, and gives back, is the plan that it was."""
    row = {"id": "x", "finish_reason": "TOOL_CALL", "message": {"tool_plan": "I will."}}
    row["message"]["tool_calls"] = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]  # type: ignore[index]
    doc = CLIENTS[client].write_response(cohere.read_response(row), Chat(client, "m", []))
    asked: Row
    if client == "anthropic":
        asked = {"max_tokens": 9, "messages": [{"role": "assistant", "content": doc["content"]}]}
    elif client == "gemini":
        asked = {"contents": [doc["candidates"][0]["content"]]}
    else:
        asked = {"input": doc["output"]}
    chat = CLIENTS[client].read_request(json.loads(json.dumps({"model": "m", **asked})), "/v1beta/models/m:x")
    message = cohere.write_request(chat)[0]["messages"][0]
    assert message["tool_plan"] == "I will."
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_citations_are_of_each_source() -> None:
    sources = [{"type": "document", "id": "1", "document": {"url": "https://x", "title": "X"}}, {"type": "tool"}]
    raw = {"start": 2, "end": 4, "text": "ab", "sources": sources, "type": "TEXT_CONTENT"}
    plan = {**raw, "type": "PLAN"}
    events = streamed(delta("citation-start", citations=raw), delta("citation-start", citations=plan), END)
    found = [event.citation for event in events if isinstance(event, Cited)]
    assert [(each.kind, each.url, each.title, each.start, each.end) for each in found] == [
        ("url", "https://x", "X", 2, 4),
        ("document", "", "", 2, 4),
    ]


def test_probabilities_of_a_chunk_are_added() -> None:
    events = streamed(
        delta("content-start", content={"type": "text", "text": ""}),
        {**delta("content-delta", content={"text": "é"}), "logprobs": {"text": "é", "token_ids": [1, 2], "logprobs": [-1, -0.5]}},
        END,
    )  # fmt: skip
    assert [event.tokens for event in events if isinstance(event, Logprobs)] == [
        [{"token": "é", "logprob": -1.5, "bytes": [195, 169], "top_logprobs": []}]
    ]


@pytest.mark.parametrize(("word", "kind"), [("ERROR", "server_error"), ("TIMEOUT", "timeout")])
def test_an_end_that_is_no_answer_is_a_failure(word: str, kind: str) -> None:
    end = {"finish_reason": word, "error": "gone", "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 1}}}
    events = streamed(delta("message-start"), {"type": "message-end", "delta": end})
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(each.kind, each.message) for each in failed] == [(kind, "gone")]
    assert said(events[:-1]).usage is not None  # it is charged all the same
    assert not any(isinstance(event, Finished) for event in events)


def test_an_error_amid_a_stream_ends_it() -> None:
    events = streamed(delta("message-start"), {"id": "x", "message": "internal"}, END)
    assert [type(event) for event in events[1:]] == [Failed]
    cut = events_of(b"data: [DONE]\n\n")
    assert [each.code for each in cut if isinstance(each, Failed)] == ["stream_incomplete"]


def test_unknown_events_say_nothing() -> None:
    events = streamed({"type": "debug", "prompt": "x"}, {"type": "citation-end", "index": 0}, END)
    assert [type(event) for event in events] == [Finished]


# ---------------------------------------------------------------- garbage


@MANY
@given(data=st.data())
def test_spoiled_streams_raise_nothing(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(recorded(stream=True)))
    lines = [json.loads(line[6:]) for line in row["response_text"].split("\n") if line.startswith("data: {")]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = spoiled(lines[at], data.draw)
    events = streamed(*lines)
    assert sum(isinstance(event, Failed | Finished) for event in events) == 1
    written("", events)


@MANY
@given(data=st.data())
def test_spoiled_replies_raise_nothing(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(recorded(stream=False)))
    events = cohere.read_response(spoiled(row["response_body"], data.draw))
    assert sum(isinstance(event, Failed | Finished) for event in events) == 1
    written("", events)


@MANY
@given(doc=JSON, raw=st.binary(max_size=30), status=st.integers(100, 599))
def test_garbage_raises_nothing(doc: Any, raw: bytes, status: int) -> None:
    for reply in (doc, {"message": doc}, {"message": {"content": [doc]}, "finish_reason": doc}):
        assert cohere.read_response(reply)
        assert isinstance(cohere.read_error(status, reply), Failed)
    reader = cohere.StreamReader()
    events = reader.feed(Sse("", raw)) + reader.feed(Sse("content-delta", json.dumps(doc).encode())) + reader.flush()
    assert sum(isinstance(event, Failed) for event in events) == 1
    written("", events)


def test_text_amid_a_stream_starts_a_part_of_its_own() -> None:
    events = streamed(
        delta("content-start", content={"type": "text", "text": "a"}),
        delta("content-start", 1, content={"type": "text", "text": "b"}),
        END,
    )
    assert [type(event).__name__ for event in events] == ["TextDelta", "Break", "TextDelta", "Finished"]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "b"]
