"""Replies of Ollama's chat API: what is read says what the JSON says, wherever a stream is cut."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import Chat, Image, Source
from providers.dialects import ollama
from providers.dialects.folding import fold
from providers.events import Event, Failed, Finished, Logprobs, MediaAdded, Started, TextDelta, ToolDelta, ToolStarted
from providers.usage import Usage
from tests import recordings
from tests.dialect_shapes import said
from tests.test_dialects_streams import JSON, MANY, spoiled, written

Json = Any


@dataclass(frozen=True, slots=True)
class Recorded:
    id: str
    request: Json
    reply: bytes
    stream: bool

    @property
    def lines(self) -> list[Json]:
        return [json.loads(line) for line in self.reply.decode().splitlines()]


@cache
def load() -> tuple[Recorded, ...]:
    file = recordings.folder() / "ollama.chat.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    return tuple(
        Recorded(
            row["id"],
            row["request_body"],
            (row.get("response_text") or json.dumps(row.get("response_body"))).encode(),
            bool(row["stream"]),
        )
        for row in rows
        if row["status"] < 300
    )


def recorded(stream: bool | None = None) -> list[Recorded]:
    found = [each for each in load() if stream is None or each.stream == stream]
    if not found:
        reason = f"no recordings of Ollama in {recordings.folder()} (GATEWAY_RECORDINGS)"
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return found


def events_of(pieces: list[bytes], chat: Chat | None = None) -> list[Event]:
    parser, reader = ollama.FRAMES(), ollama.StreamReader(chat)
    split = [event for piece in pieces for event in parser.feed(piece)] + parser.flush()
    return [event for each in split for event in reader.feed(each)] + reader.flush()


def of_lines(*docs: Json) -> list[Event]:
    return events_of([b"".join(json.dumps(doc).encode() + b"\n" for doc in docs)])


def reply_of(recording: Recorded) -> list[Event]:
    return events_of([recording.reply]) if recording.stream else ollama.read_response(recording.lines[0])


def merged(lines: list[Json]) -> Json:
    """The whole reply that a stream's lines are pieces of."""
    message: Json = {"role": "assistant", "content": ""}
    for line in lines:
        for name, value in line["message"].items():
            if name != "role":
                message[name] = message[name] + value if name in message else value
    return lines[-1] | {"created_at": lines[0]["created_at"], "message": message}


# ---------------------------------------------------------------- replies


def test_recorded_replies_say_what_their_json_says() -> None:
    for recording in recorded():
        doc = merged(recording.lines)
        message, calls = doc["message"], doc["message"].get("tool_calls") or []
        reply = said(reply_of(recording))
        reason = "tool_calls" if calls else doc["done_reason"]
        called = [("function", "", call["function"]["name"], call["function"]["arguments"]) for call in calls]
        assert reply.choices == [(message["content"], message.get("thinking", ""), called, reason)], recording.id
        assert reply.usage == Usage(doc["prompt_eval_count"], doc["eval_count"])
        ids = [event.id for event in reply_of(recording) if isinstance(event, ToolStarted)]
        assert ids == [call["id"] for call in calls]


def test_a_whole_reply_has_the_events_that_its_stream_folds_into() -> None:
    for recording in recorded(stream=True):
        assert fold(ollama.read_response(merged(recording.lines))) == fold(events_of([recording.reply])), recording.id


def test_streams_cut_at_any_place_give_the_same_events() -> None:
    """``test_ndjson`` has every cut of every line; here each cut in one of many lines goes through the reader too."""
    for recording in recorded(stream=True):
        expected, size = events_of([recording.reply]), len(recording.reply)
        ends = range(max(size - 20, 1), size)
        for at in [*range(1, 60, 2), *range(60, size, max(size // 20, 1)), *ends]:
            assert events_of([recording.reply[:at], recording.reply[at:]]) == expected, (recording.id, at)
        assert events_of([recording.reply[at : at + 1] for at in range(size)]) == expected


def test_every_proper_prefix_is_one_error() -> None:
    """For each line, with what the reader knew before it: every beginning of it, then the end of the stream."""
    for recording in recorded(stream=True):
        reader = ollama.StreamReader()
        whole = recording.reply.rstrip(b"\n")
        for line in whole.splitlines():
            for at in range(len(line)):
                parser, cut = ollama.FRAMES(), copy.copy(reader)
                split = parser.feed(line[:at]) + parser.flush()
                found = [event for each in split for event in cut.feed(each)] + cut.flush()
                assert [type(event) for event in found] == [Failed], (recording.id, line[:at])
            before = [event for each in ollama.FRAMES().feed(line + b"\n") for event in reader.feed(each)]
            assert not any(isinstance(event, Failed) for event in before)
        assert events_of([whole]) == events_of([recording.reply])


def end(**more: Json) -> Json:
    return {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"} | more


def piece(**message: Json) -> Json:
    return {"model": "m", "message": {"role": "assistant", "content": ""} | message, "done": False}


def call(name: str, arguments: Json, **more: Json) -> Json:
    return {"function": {"name": name, "arguments": arguments}} | more


@pytest.mark.parametrize(
    ("done_reason", "called", "reason"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("length", False, "length"),
        ("length", True, "length"),
        ("load", False, "stop"),
        ("unload", False, "stop"),
        (None, False, "stop"),
    ],
)
def test_why_it_ended(done_reason: str | None, called: bool, reason: str) -> None:
    lines = [piece(tool_calls=[call("f", {})])] if called else []
    found = of_lines(*lines, end(done_reason=done_reason))
    assert found[-1] == Finished(reason, native=done_reason or "")
    assert sum(isinstance(event, Finished) for event in found) == 1


def test_parallel_calls_over_lines_are_counted_and_an_unknown_id_stays_empty() -> None:
    found = of_lines(
        piece(tool_calls=[call("f", {"a": 1}, id="x"), call("g", None)]), piece(tool_calls=[call("f", "{}")]), end()
    )
    assert [event for event in found if isinstance(event, ToolStarted | ToolDelta)] == [
        ToolStarted(0, "x", "f"),
        ToolDelta(0, '{"a":1}'),
        ToolStarted(1, "", "g"),
        ToolDelta(1, "{}"),
        ToolStarted(2, "", "f"),
        ToolDelta(2, "{}"),
    ]


def test_logprobs_images_and_time() -> None:
    tokens = [{"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]}]
    found = of_lines(
        piece(content="é", images=["/9j/4AAQ"]) | {"logprobs": tokens, "created_at": "2026-01-01T00:00:00.123456789Z"},
        end(),
    )
    assert found[0] == Started("", "m", 1767225600, "ollama")
    assert MediaAdded(Image(Source("data", "/9j/4AAQ", "image/jpeg"))) in found
    rival = {"token": "e", "logprob": -1.5, "bytes": [101]}
    told = {"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [rival]}
    assert Logprobs([told]) in found


def test_errors_in_a_stream_end_it() -> None:
    found = of_lines(piece(content="a"), {"error": "the runner died"}, piece(content="b"), end())
    assert found[1:] == [TextDelta("a"), Failed("server_error", "the runner died", 502)]
    cloud = of_lines({"StatusCode": 401, "Status": "401 Unauthorized", "error": "unauthorized"})
    assert cloud == [Failed("auth", "unauthorized", 401)]


@pytest.mark.parametrize(
    ("status", "doc", "kind", "message"),
    [
        (404, {"error": "model 'x' not found"}, "unknown_model", "model 'x' not found"),
        (400, {"error": '"m" does not support tools'}, "invalid_request", '"m" does not support tools'),
        (503, {"error": "server busy"}, "overloaded", "server busy"),
        (500, "a proxy's page", "server_error", "a proxy's page"),
        (500, {"error": {"message": "nested"}}, "server_error", "nested"),
        (429, None, "rate_limit", "The upstream reported an error."),
    ],
)
def test_errors(status: int, doc: Json, kind: str, message: str) -> None:
    failed = ollama.read_error(status, doc)
    assert (failed.kind, failed.message, failed.status) == (kind, message, status)


def test_a_whole_reply_that_is_not_done_was_cut() -> None:
    assert ollama.read_response(piece(content="a"))[-1] == of_lines(piece(content="a"))[-1]
    assert isinstance(ollama.read_response(piece(content="a"))[-1], Failed)
    assert ollama.read_response({"error": "no"}) == [Failed("server_error", "no", 502)]


@MANY
@given(doc=JSON, raw=st.binary(max_size=30), status=st.integers(100, 599))
def test_garbage_raises_nothing(doc: Json, raw: bytes, status: int) -> None:
    for reply in (
        doc,
        {"message": doc},
        {"message": {"tool_calls": [doc]}, "done": True},
        {"logprobs": doc, "done": True},
    ):
        assert ollama.read_response(reply)
        assert isinstance(ollama.read_error(status, reply), Failed)
        written("gemini", of_lines(reply, end()))
    assert isinstance(events_of([raw, json.dumps(doc).encode()])[-1], Failed | Finished)


@MANY
@given(data=st.data())
def test_spoiled_streams_raise_nothing(data: st.DataObject) -> None:
    shortest = min(recorded(stream=True), key=lambda each: len(each.reply))
    lines = shortest.lines
    at = data.draw(st.sampled_from([0, len(lines) // 2, len(lines) - 2, len(lines) - 1]))
    lines[at] = spoiled(lines[at], data.draw)
    written("openai_chat", of_lines(*lines))
