"""Any request of the vocabulary, written for every upstream: a JSON body, or a refusal that names the field."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import (
    Audio,
    Cache,
    Chat,
    CustomTool,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Message,
    NamespaceTool,
    Opaque,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Unsupported,
    Video,
)
from providers.dialects import CLIENTS, UPSTREAMS
from tests.test_dialects_streams import JSON, MANY


def rarely(strategy: Any, usual: Any = None) -> Any:
    """What most upstreams refuse must be rare, or nothing would be written."""
    return st.integers(0, 15).flatmap(lambda number: st.just(usual) if number < 15 else strategy)


TEXT = st.sampled_from(["", " ", "a", "Answer in JSON.", "№ 1\n", "x" * 200]) | st.text(max_size=8)
NAME = st.sampled_from(["f", "g", "my tool", "1st", "x" * 140]) | st.text(min_size=1, max_size=5)
DIALECT = st.sampled_from([*CLIENTS, *UPSTREAMS])
EXTRA = st.dictionaries(st.text(min_size=1, max_size=6), JSON, max_size=2)
CACHE = st.none() | st.builds(Cache, st.sampled_from(["", "5m", "1h"]))
MEDIA = st.sampled_from(["", "image/png", "image/tiff", "text/plain", "application/pdf", "audio/wav", "video/mp4"])
SOURCE = (
    st.builds(Source, st.just("data"), st.sampled_from(["", "aGk=", "iVBORw0K", "no base64"]), MEDIA)
    | st.builds(Source, st.just("url"), st.sampled_from(["https://a.example/x.png", "s3://b/k"]), MEDIA)
    | st.builds(Source, st.just("text"), TEXT)
    | st.builds(Source, st.just("file"), NAME)
)
SCHEMA: Any = st.none() | st.sampled_from(
    [{}, {"type": "object"}, {"$ref": "#"}, {"type": ["object", "null"], "properties": {"a": {"minimum": 1}}}]
)
KIND = st.sampled_from(["function", "custom"])
SPACE = st.sampled_from(["", "hub"])
ARGUMENTS = st.sampled_from(["", "{}", '{"a": 1}', "[1]", '{"cut', "null"])
ID = st.sampled_from(["", "c1", "c|2" * 30])
WORDS = st.builds(Text, TEXT, CACHE)
IMAGE = st.builds(Image, st.just(Source("data", "aGk=", "image/png")) | SOURCE)
FILE = st.builds(File, st.just(Source("text", "words")) | SOURCE, NAME)
INNER = WORDS | WORDS | WORDS | IMAGE | FILE
PART = (
    INNER
    | rarely(st.builds(Audio, SOURCE) | st.builds(Video, SOURCE), Text("Hi"))
    | st.builds(Refusal, TEXT)
    | st.builds(Thinking, st.lists(TEXT, max_size=2), st.lists(TEXT, max_size=1), TEXT, DIALECT, st.booleans())
    | st.builds(ToolCall, ID, NAME, ARGUMENTS, KIND, SPACE, cache=CACHE)
    | st.builds(ToolResult, ID, st.lists(INNER, max_size=2), TEXT, st.none() | st.booleans(), KIND)
    | st.builds(Opaque, DIALECT, NAME, EXTRA)
)
ROLE = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
PLAIN_TOOL = st.builds(FunctionTool, NAME, st.none() | TEXT, SCHEMA, st.none() | st.booleans(), CACHE) | st.builds(
    CustomTool, NAME, st.none() | TEXT
)
HOSTED = st.builds(HostedTool, st.sampled_from(["web_search", "code_execution", "mcp", "odd"]), DIALECT, EXTRA)
TOOL = (
    PLAIN_TOOL
    | rarely(HOSTED, FunctionTool("f"))
    | st.builds(NamespaceTool, SPACE, st.none(), st.lists(PLAIN_TOOL, max_size=2))
)
NAMED = st.lists(st.tuples(KIND, NAME), min_size=1, max_size=2)
CHOICE = st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])) | st.builds(
    ToolChoice, st.sampled_from(["tool", "allowed"]), NAMED, st.sampled_from(["auto", "required"])
)
NUMBER = st.none() | st.integers(-2, 3) | st.floats(-3, 3)
COUNT = st.none() | st.integers(0, 5000)
EFFORT = st.sampled_from(["", "none", "minimal", "low", "medium", "high", "xhigh", "max"])
MESSAGES = st.lists(st.builds(Message, ROLE, st.lists(PART, max_size=3), EXTRA), max_size=4)
CALLS = [
    Message("user", [Text("Hi")]),
    Message("assistant", [ToolCall(call, "f", "{}") for call in ("c1", "c|2" * 30)]),
]
CHATS = st.builds(
    Chat,
    dialect=DIALECT,
    model=st.sampled_from(["m", "claude-opus-4-5", "us.anthropic.claude-3-7-sonnet", "amazon.nova-2-lite", "o3"]),
    messages=rarely(MESSAGES, []).flatmap(lambda given: st.just(given) if given else MESSAGES.map(CALLS.__add__)),
    system=st.lists(st.builds(Text, TEXT, CACHE), max_size=2),
    tools=st.lists(TOOL, max_size=3),
    tool_choice=st.none() | CHOICE,
    parallel_tool_calls=st.none() | st.booleans(),
    sampling=st.builds(Sampling, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, COUNT, rarely(EXTRA)),
    max_tokens=COUNT,
    stop=rarely(st.lists(TEXT, max_size=6), []),
    n=rarely(st.integers(1, 3)),
    logprobs=rarely(st.booleans()),
    top_logprobs=COUNT,
    response_format=st.none()
    | st.builds(ResponseFormat, st.sampled_from(["text", "json_object", "json_schema"]), NAME, SCHEMA),
    reasoning=st.none() | st.builds(Reasoning, EFFORT, st.none() | st.integers(-1, 40_000), st.none() | st.booleans()),
    modalities=rarely(st.lists(st.sampled_from(["text", "TEXT", "audio"]), max_size=2), []),
    metadata=EXTRA,
    user=TEXT,
    service_tier=st.sampled_from(["", "auto", "flex", "standard_only", "odd"]),
    cache=CACHE,
    previous_id=rarely(st.just("resp_1"), ""),
    stream=st.none() | st.booleans(),
    extra=EXTRA,
)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@MANY
@given(chat=CHATS)
def test_any_chat_is_written_or_refused(upstream: str, chat: Chat) -> None:
    dialect = UPSTREAMS[upstream]
    try:
        body, dropped = dialect.write_request(chat)
    except Unsupported as error:
        assert error.field and error.dialect == upstream
        body, dropped = dialect.write_request(chat, lenient=True)
        assert error.field in dropped
    assert json.loads(orjson.dumps(body)) == json.loads(json.dumps(body))
    assert len(set(dropped)) == len(dropped)
    assert dialect.url(chat).startswith("/")
