"""Details that cross dialects: service tiers, errors, usage, and Gemini's streamed arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.chat import (
    Chat,
)
from providers.dialects import CLIENTS, UPSTREAMS
from providers.dialects.partial_args import PartialArgs
from providers.events import Event, Failed, Finished, Started, TextDelta, ToolDelta, ToolStarted, Used
from providers.usage import Usage, read_usage
from routing import errors
from tests.dialect_requests import asked
from tests.dialect_shapes import Sse, split
from tests.test_recordings import DIALECTS

PATH = "/v1beta/models/m:generateContent"


def read_stream(dialect: str, docs: list[Any], chat: Chat | None = None) -> list[Event]:
    reader = UPSTREAMS[dialect].StreamReader(chat)
    return [event for doc in docs for event in reader.feed(Sse("", json.dumps(doc).encode()))] + reader.flush()


def write_stream(dialect: str, events: list[Event], chat: Chat | None = None) -> list[Any]:
    writer = CLIENTS[dialect].StreamWriter(chat or Chat(dialect, "m", [], stream_usage=True))
    written = b"".join(writer.feed(event) for event in events) + writer.flush()
    return [json.loads(each.data) for each in split(written) if each.data != b"[DONE]"]


# ---------------------------------------------------------------- service tiers


@pytest.mark.parametrize(
    ("client", "word", "upstream", "expected"),
    [
        ("openai_chat", "default", "anthropic", "standard_only"),
        ("openai_chat", "auto", "anthropic", "auto"),
        ("openai_chat", "priority", "anthropic", None),
        ("openai_chat", "default", "gemini", "standard"),
        ("openai_chat", "flex", "gemini", "flex"),
        ("openai_responses", "priority", "gemini", "priority"),
        ("openai_chat", "scale", "gemini", None),
        ("openai_chat", "scale", "openai_responses", "scale"),
        ("openai_chat", "performance", "openai_responses", None),
        ("anthropic", "standard_only", "gemini", "standard"),
        ("anthropic", "standard_only", "openai_chat", "default"),
        ("anthropic", "auto", "openai_responses", "auto"),
        ("anthropic", "auto", "gemini", ""),
        ("gemini", "STANDARD", "openai_chat", "default"),
        ("gemini", "flex", "openai_responses", "flex"),
        ("gemini", "standard", "anthropic", "standard_only"),
        ("gemini", "flex", "anthropic", None),
    ],
)
def test_a_tier_asked_for_has_the_upstreams_word(client: str, word: str, upstream: str, expected: str | None) -> None:
    """None: the upstream has none, and it is named as dropped; empty: its default."""
    name = "serviceTier" if client == "gemini" else "service_tier"
    chat = CLIENTS[client].read_request(asked(client, **{name: word}), PATH)
    body, dropped = UPSTREAMS[upstream].write_request(chat)
    told = body.get("serviceTier" if upstream == "gemini" else "service_tier", "")
    assert (told, "service_tier" in dropped) == (expected or "", expected is None)


@pytest.mark.parametrize(
    ("maker", "word", "client", "expected"),
    [
        ("gemini", "standard", "openai_chat", "default"),
        ("gemini", "flex", "openai_responses", "flex"),
        ("gemini", "standard", "anthropic", "standard"),
        ("anthropic", "priority", "gemini", "priority"),
        ("anthropic", "standard", "openai_chat", "default"),
        ("openai_chat", "default", "gemini", "standard"),
        ("openai_responses", "flex", "anthropic", None),
    ],
)
def test_a_tier_of_a_reply_has_the_clients_word(maker: str, word: str, client: str, expected: str | None) -> None:
    told: list[Event] = [Started("id", "m", 1, maker, word), TextDelta("x"), Used(Usage(1, 1)), Finished("stop")]
    whole = CLIENTS[client].write_response(told, Chat(client, "m", []))
    chunks = write_stream(client, told)
    if client == "openai_chat":
        assert whole["service_tier"] == chunks[0]["service_tier"] == expected
    elif client == "openai_responses":
        assert whole["service_tier"] == chunks[0]["response"]["service_tier"] == expected
    elif client == "anthropic":
        assert whole["usage"].get("service_tier") == chunks[0]["message"]["usage"].get("service_tier") == expected
    else:
        assert [c["usageMetadata"]["serviceTier"] for c in (whole, chunks[0], chunks[-1])] == [expected] * 3
        assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 2


def test_a_gemini_reply_tells_its_tier() -> None:
    chunk = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"serviceTier": "flex"}}
    started = read_stream("gemini", [chunk])[0]
    assert isinstance(started, Started) and started.service_tier == "flex"


# ---------------------------------------------------------------- errors

ENDPOINTS = {"openai_chat": "openai", "openai_responses": "openai", "anthropic": "anthropic", "gemini": "gemini"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [0, 413])
@pytest.mark.parametrize("kind", errors.KINDS)
def test_an_error_has_one_body_whoever_writes_it(kind: str, status: int, dialect: str) -> None:
    ours = errors.GatewayError(kind, "no", param="a[0]", status=status)
    told = Failed(kind, "no", ours.status, ours.code or "", "", "a[0]", "req-1")
    found = CLIENTS[dialect].write_error(told)
    assert found == (ours.status, json.loads(errors.write_error(ENDPOINTS[dialect], ours, "req-1")))


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failing_stream_tells_the_request_id(dialect: str, begun: bool) -> None:
    events: list[Event] = [Started("id", "m", 1, dialect), TextDelta("x")] if begun else []
    last = write_stream(dialect, [*events, Failed("timeout", "late", 504, request_id="req-1")])[-1]
    place = last if dialect == "anthropic" else last.get("response", last)["error"]
    assert place["request_id"] == "req-1"
    bare = write_stream(dialect, [*events, Failed("timeout", "late", 504)])[-1]
    assert "request_id" not in json.dumps(bare)


# ---------------------------------------------------------------- usage


def test_audio_tokens_are_read_and_written() -> None:
    chat: dict[str, Any] = {"prompt_tokens": 20, "completion_tokens": 9}
    chat |= {"prompt_tokens_details": {"audio_tokens": 12}, "completion_tokens_details": {"audio_tokens": 5}}
    gemini: dict[str, Any] = {"promptTokenCount": 20, "candidatesTokenCount": 9}
    gemini |= {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 12}]}
    gemini |= {"candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}]}
    responses: dict[str, Any] = {"input_tokens": 20, "output_tokens": 9}
    responses |= {"input_tokens_details": {"audio_tokens": 12}, "output_tokens_details": {"audio_tokens": 5}}
    expected = Usage(20, 9, input_audio_tokens=12, output_audio_tokens=5)
    assert read_usage("chat", {"usage": chat}) == read_usage("generate", {"usageMetadata": gemini}) == expected
    assert read_usage("responses", {"usage": responses}) == expected
    for dialect, member in (("openai_chat", "usage"), ("gemini", "usageMetadata")):
        events: list[Event] = [Started("id", "m", 1, dialect), Used(expected), Finished("stop")]
        doc = CLIENTS[dialect].write_response(events, Chat(dialect, "m", []))
        assert read_usage(UPSTREAMS[dialect].API, {member: doc[member]}) == expected


@pytest.mark.parametrize(
    ("api", "doc", "expected"),
    [
        ("ollama", {"done": True, "prompt_eval_count": 26, "eval_count": 298}, Usage(26, 298)),
        ("ollama", {"done": False, "message": {}}, None),
        ("converse", {"usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}}, Usage(3, 1)),
        (
            "converse",
            {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 121, "cacheReadInputTokens": 1712, "cacheWriteInputTokens": 236}}},
            Usage(1951, 121, 1712, 236),
        ),
        (
            "cohere",
            {"usage": {"billed_units": {"input_tokens": 27, "output_tokens": 66}, "cached_tokens": 512, "tokens": {"input_tokens": 556, "output_tokens": 69}}},
            Usage(27, 66),
        ),
        ("cohere", {"delta": {"usage": {"tokens": {"input_tokens": 5, "output_tokens": 6}}}}, Usage(5, 6)),
        ("cohere", {"meta": {"billed_units": {"input_tokens": 4}}}, Usage(4, 0)),
        ("cohere", {"type": "content-delta", "delta": {"message": {}}}, None),
        ("titan", {"inputTextTokenCount": 7, "results": [{"tokenCount": 2}, {"tokenCount": 3}]}, Usage(7, 5)),
        ("titan", {"inputTextTokenCount": 7, "totalOutputTextTokenCount": 4}, Usage(7, 4)),
        ("titan", {"outputText": "x"}, None),
    ],
)  # fmt: skip
def test_usage_of_upstreams(api: str, doc: dict[str, Any], expected: Usage | None) -> None:
    assert read_usage(api, doc) == expected


# ---------------------------------------------------------------- streamed arguments


def call_part(*args: dict[str, Any], **more: Any) -> dict[str, Any]:
    part = {"functionCall": ({"partialArgs": list(args)} if args else {}) | more}
    return {"candidates": [{"content": {"parts": [part]}}]}


ENDING = {"candidates": [{"finishReason": "STOP"}]}
PIECES: list[dict[str, Any]] = [
    {"jsonPath": "$.where", "stringValue": 'Bos"', "willContinue": True},
    {"jsonPath": "$.where", "stringValue": "ton, é\n"},
    {"jsonPath": "$.light.levels[0].value", "numberValue": 50},
    {"jsonPath": "$.light.levels[0]['is on']", "boolValue": False},
    {"jsonPath": "$.light.levels[1].value", "numberValue": 0.5},
    {"jsonPath": "$.light.note", "nullValue": "NULL_VALUE"},
    {"jsonPath": '$["last"]', "stringValue": ""},
]
AMOUNTS = {
    "where": 'Bos"ton, é\n',
    "light": {"levels": [{"value": 50, "is on": False}, {"value": 0.5}], "note": None},
    "last": "",
}


@pytest.mark.parametrize("together", [1, 2, 7])
def test_streamed_arguments_become_their_json(together: int) -> None:
    groups = [PIECES[at : at + together] for at in range(0, len(PIECES), together)]
    chunks = [call_part(name="f", id="c", willContinue=True)]
    chunks += [call_part(*group, willContinue=True) for group in groups]
    found = read_stream("gemini", [*chunks, call_part(), call_part(name="g", args={"a": 1}), ENDING])
    assert [event.name for event in found if isinstance(event, ToolStarted)] == ["f", "g"]
    texts = ["".join(e.arguments for e in found if isinstance(e, ToolDelta) and e.index == index) for index in (0, 1)]
    assert [json.loads(text) for text in texts] == [AMOUNTS, {"a": 1}]
    assert isinstance(found[-1], Finished) and found[-1].reason == "tool_calls"


def test_streamed_arguments_are_told_as_they_come() -> None:
    partial = PartialArgs()
    pieces = [partial.feed(piece) for piece in PIECES]
    assert pieces[0] == '{"where":"Bos\\"' and all(pieces)
    assert json.loads("".join(pieces) + partial.end()) == AMOUNTS


@pytest.mark.parametrize(
    "bad",
    [
        [{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a", "numberValue": 2}],
        [{"jsonPath": "$.a[1]", "numberValue": 1}],
        [{"jsonPath": "$.a.b", "numberValue": 1}, {"jsonPath": "$.c", "numberValue": 1}, {"jsonPath": "$.a.d", "numberValue": 2}],
        [{"jsonPath": "$..a", "numberValue": 1}],
        [{"jsonPath": "$", "numberValue": 1}],
        [{"jsonPath": "$.a", "numberValue": "1"}],
        [{"numberValue": 1}],
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_told_in_order_are_an_error(bad: list[dict[str, Any]]) -> None:
    found = read_stream("gemini", [call_part(name="f", willContinue=True), call_part(*bad), ENDING])
    assert isinstance(found[-1], Failed) and found[-1].code == "upstream_garbage"


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("claude-opus-4-7", False),
        ("claude-opus-4-20250514", True),
        ("claude-sonnet-4-6", True),
        ("claude-opus-5", False),
    ],
)
def test_models_without_sampling_get_none_and_it_is_said(model: str, kept: bool) -> None:
    doc = {"model": model, "temperature": 0.2, "top_p": 0.9, "messages": [{"role": "user", "content": "hi"}]}
    written, dropped = UPSTREAMS["anthropic"].write_request(CLIENTS["openai_chat"].read_request(doc))
    assert ("temperature" in written, "top_p" in written) == (kept, kept)
    assert dropped == ([] if kept else ["temperature", "top_p"])


def test_claude_on_bedrock_without_sampling() -> None:
    doc = {
        "model": "eu.anthropic.claude-opus-4-8-v1:0",
        "temperature": 0.2,
        "messages": [{"role": "user", "content": "x"}],
    }
    written, dropped = UPSTREAMS["bedrock"].write_request(CLIENTS["openai_chat"].read_request(doc))
    assert "inferenceConfig" not in written and dropped == ["temperature"]
