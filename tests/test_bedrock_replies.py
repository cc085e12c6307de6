"""Converse replies, case by case."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from providers.chat import (
    Chat,
    FunctionTool,
    Message,
    Text,
)
from providers.dialects import bedrock
from providers.dialects.folding import fold
from providers.events import Event, Failed, Finished, Signed, Started
from tests.bedrock_shapes import CLAUDE, NOVA, Json, read
from tests.test_eventstream import event, exception


def stream(*frames: bytes) -> list[Event]:
    return read(event("messageStart", {"role": "assistant"}) + b"".join(frames))


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("internalServerException", "server_error", 500),
        ("modelStreamErrorException", "server_error", 502),
        ("throttlingException", "rate_limit", 429),
        ("validationException", "invalid_request", 400),
        ("serviceUnavailableException", "overloaded", 503),
        ("modelTimeoutException", "timeout", 504),
        ("somethingNewException", "server_error", 502),
    ],
)
def test_exceptions_amid_a_stream(name: str, kind: str, status: int) -> None:
    text = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}})
    found = stream(text, exception(name, {"message": "no"}), text)
    assert found[2:] == [Failed(kind, "no", status, "", name)]


def test_an_exception_after_the_reason_is_still_one() -> None:
    stop = event("messageStop", {"stopReason": "end_turn"})
    found = stream(stop, exception("internalServerException", {"message": "no"}))
    assert [type(each) for each in found] == [Started, Failed]


@pytest.mark.parametrize(
    ("status", "doc", "kind", "code"),
    [
        (400, {"message": "Input is too long for requested model."}, "invalid_request", "context_length_exceeded"),
        (403, {"Message": "User is not authorized"}, "permission", ""),
        (424, {"message": "The model failed", "originalStatusCode": 500}, "server_error", ""),
        (429, {"message": "Too many tokens per day"}, "rate_limit", ""),
        (503, {"message": "Bedrock is unable to process your request."}, "overloaded", ""),
        (400, {"__type": "com.amazon.coral.service#ValidationException", "message": "no"}, "invalid_request", ""),
        (500, "oops", "server_error", ""),
        (500, None, "server_error", ""),
    ],
)
def test_errors(status: int, doc: Any, kind: str, code: str) -> None:
    found = bedrock.read_error(status, doc)
    assert (found.kind, found.code) == (kind, code)
    assert found.status == (502 if status == 424 else status)


@pytest.mark.parametrize("native", ["end_turn", "tool_use"])
def test_a_call_is_a_call_whatever_the_reason_says(native: str) -> None:
    start = event("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"name": "f", "toolUseId": ""}}})
    found = stream(start, event("messageStop", {"stopReason": native}))
    call = fold(found).choices[0].calls[0]
    assert call.id.startswith("tooluse_") and found[-1] == Finished("tool_calls", native=native)


def test_thinking_of_claude_is_signed_by_its_maker() -> None:
    deltas: list[Json] = [{"text": "Let me"}, {"text": " see"}, {"signature": "c2ln"}]
    sealed = base64.b64encode(b"RXNlYWxlZA==").decode()
    frames = [event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": d}}) for d in deltas]
    frames += [event("contentBlockStop", {"contentBlockIndex": 0})]
    frames += [
        event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": sealed}}})
    ]
    frames += [event("contentBlockStop", {"contentBlockIndex": 1}), event("messageStop", {"stopReason": "end_turn"})]
    raw = event("messageStart", {"role": "assistant"}) + b"".join(frames)
    wanted = {CLAUDE: ("anthropic", "RXNlYWxlZA=="), "arn:aws:bedrock:x": ("bedrock", sealed)}
    for model, (maker, data) in wanted.items():
        found = read(raw, Chat("anthropic", model, []))
        signed = [each for each in found if isinstance(each, Signed)]
        assert signed == [Signed("c2ln", maker), Signed(data, maker, True)]
        parts = fold(found).choices[0].parts
        again, dropped = bedrock.write_request(Chat("anthropic", model, [Message("assistant", parts)]))
        assert not dropped
        assert again["messages"][1]["content"] == [
            {"reasoningContent": {"reasoningText": {"text": "Let me see", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": sealed}},
        ]
        _, dropped = bedrock.write_request(Chat("anthropic", NOVA, [Message("assistant", [parts[0], Text("Hi")])]))
        assert ("messages.thinking" in dropped) is (maker == "anthropic")


def test_stop_sequences_and_citations() -> None:
    cited = {"title": "T", "location": {"web": {"url": "https://a.example/x"}}, "sourceContent": [{"text": "q"}]}
    block = {"citationsContent": {"content": [{"text": "So."}], "citations": [cited]}}
    doc = {
        "output": {"message": {"role": "assistant", "content": [block, {"text": "And."}]}},
        "stopReason": "stop_sequence",
        "additionalModelResponseFields": {"delta": {"stop_sequence": "END"}},
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    }
    reply = fold(bedrock.read_response(doc))
    first, second = reply.choices[0].parts
    assert isinstance(first, Text) and isinstance(second, Text)
    assert (first.text, second.text) == ("So.", "And.")
    [citation] = first.citations
    assert (citation.kind, citation.url, citation.title, citation.quote) == ("url", "https://a.example/x", "T", "q")
    assert reply.choices[0].finished == Finished("stop_sequence", 0, "END", "stop_sequence")


def test_tool_names_come_back() -> None:
    chat = Chat("openai_chat", NOVA, [Message("user", [Text("Hi")])], tools=[FunctionTool("a.b/c")])
    wire = bedrock.write_request(chat)[0]["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert wire != "a.b/c"
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"name": wire, "toolUseId": "t"}}}
    raw = (
        event("messageStart", {}) + event("contentBlockStart", start) + event("messageStop", {"stopReason": "tool_use"})
    )
    assert fold(read(raw, chat)).choices[0].calls[0].name == "a.b/c"
