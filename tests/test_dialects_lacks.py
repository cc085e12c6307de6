"""Compatible servers with a chat API: what they lack, and how their streams end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.chat import (
    Chat,
    CustomTool,
    Message,
    ResponseFormat,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Unsupported,
)
from providers.dialects import CLIENTS, UPSTREAMS
from providers.dialects.lacks import LACKS
from providers.dialects.openai_chat_read_reply import StreamReader
from providers.events import Event, Failed, Finished, ToolDelta, ToolStarted
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


# ---------------------------------------------------------------- what a server lacks


def wanting(dialect: str, *lacks: str) -> Chat:
    """A request that uses all that a server may lack."""
    messages = [
        Message("developer", [Text("d")]),
        Message("user", [Text("u")]),
        Message("assistant", [ToolCall("c1", "patch", "raw", "custom")]),
        Message("tool", [ToolResult("c1", [Text("ok")], kind="custom")]),
    ]
    chat = Chat(dialect, "gpt-5", messages, tools=[CustomTool("patch", "Patches")], max_tokens=9, stream=True)
    chat.tool_choice = ToolChoice("tool", [("custom", "patch")])
    chat.parallel_tool_calls, chat.stream_usage = False, True
    chat.lacks = frozenset(lacks)
    return chat


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_server_that_lacks_all_is_sent_what_it_knows(dialect: str) -> None:
    body, dropped = UPSTREAMS["openai_chat"].write_request(wanting(dialect, *LACKS))
    assert "custom" not in json.dumps(body) and "stream_options" not in body and "parallel_tool_calls" not in body
    assert "max_completion_tokens" not in body and body["max_tokens"] == 9
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    call = body["messages"][2]["tool_calls"][0]
    assert call["type"] == "function" and json.loads(call["function"]["arguments"]) == {"input": "raw"}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert "parallel_tool_calls" in dropped


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_server_that_lacks_nothing_is_sent_all(dialect: str) -> None:
    body, dropped = UPSTREAMS["openai_chat"].write_request(wanting(dialect))
    assert body["tools"][0]["type"] == body["messages"][2]["tool_calls"][0]["type"] == "custom"
    assert body["stream_options"] == {"include_usage": True} and body["max_completion_tokens"] == 9
    assert body["parallel_tool_calls"] is False and dropped == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_freeform_tool_comes_back_as_freeform(dialect: str) -> None:
    def delta(**members: Any) -> Any:
        return {"id": "i", "choices": [{"index": 0, "delta": members}]}

    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "patch", "arguments": '{"inp'}}
    chunks = [delta(tool_calls=[first])]
    chunks += [delta(tool_calls=[{"index": 0, "function": {"arguments": text}}]) for text in ('ut": "*** a', '\\n"}')]
    found = read_stream("openai_chat", chunks, wanting(dialect, "custom_tools"))
    started = next(event for event in found if isinstance(event, ToolStarted))
    assert (started.kind, started.name) == ("custom", "patch")
    assert "".join(event.arguments for event in found if isinstance(event, ToolDelta)) == "*** a\n"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_schema_is_refused_where_a_server_has_none(dialect: str) -> None:
    chat = wanting(dialect, "json_schema")
    chat.response_format = ResponseFormat("json_schema", "n", {"type": "object"})
    with pytest.raises(Unsupported) as caught:
        UPSTREAMS["openai_chat"].write_request(chat)
    assert caught.value.field == "response_format.json_schema"
    body, dropped = UPSTREAMS["openai_chat"].write_request(chat, True)
    assert body["response_format"] == {"type": "json_object"} and "response_format.json_schema" in dropped


@pytest.mark.parametrize("word", LACKS)
def test_effort_and_options_are_left_out_by_name(word: str) -> None:
    chat = CLIENTS["openai_chat"].read_request(
        asked("openai_chat", reasoning_effort="high", stream_options={"include_usage": True}, parallel_tool_calls=True)
    )
    chat.lacks = frozenset((word,))
    body, dropped = UPSTREAMS["openai_chat"].write_request(chat)
    named = word in ("reasoning_effort", "stream_options", "parallel_tool_calls")
    assert dropped == ([word] if named else []) and word not in body


# ---------------------------------------------------------------- the end of a stream

HELLO = {"id": "i", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
STOP = {"id": "i", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
EMPTY = {"id": "i", "choices": [{"index": 0, "delta": {}, "finish_reason": ""}]}


@pytest.mark.parametrize(
    ("needs_done", "docs", "complete"),
    [
        (True, [HELLO, STOP], False),
        (False, [HELLO, STOP], True),
        (False, [HELLO, EMPTY], False),
        (False, [HELLO], False),
        (False, [], False),
    ],
)
def test_a_chat_stream_without_done(needs_done: bool, docs: list[Any], complete: bool) -> None:
    reader = StreamReader(None, needs_done)
    found = [event for doc in docs for event in reader.feed(Sse("", json.dumps(doc).encode()))] + reader.flush()
    assert isinstance(found[-1], Finished if complete else Failed)


def test_an_empty_finish_reason_is_an_end_where_done_follows() -> None:
    reader = StreamReader(None)
    lines = [Sse("", json.dumps(doc).encode()) for doc in (HELLO, EMPTY)] + [Sse("", b"[DONE]")]
    found = [event for line in lines for event in reader.feed(line)] + reader.flush()
    assert isinstance(found[-1], Finished) and found[-1].reason == "stop"
