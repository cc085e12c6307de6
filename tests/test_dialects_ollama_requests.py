"""Requests of every client, written for Ollama's chat API: they have its documented shape and lose nothing unnamed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import (
    Audio,
    BadRequest,
    Chat,
    CustomTool,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Message,
    NamespaceTool,
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
)
from providers.dialects import ollama
from providers.dialects.folding import fold
from tests.ollama_shape import CHECK
from tests.test_dialects_ollama import call, end, recorded
from tests.test_dialects_streams import MANY, spoiled
from tests.test_recordings import DIALECTS, of_dialect, read

Json = Any
#: Why a recorded request of another API may be refused: what there is no word for, or what only its vendor keeps.
REFUSED = {
    "tool_choice", "n", "logit_bias", "modalities", "audio", "grammar", "previous_response_id", "cachedContent",
    "container", "conversation", "background", "prompt", "messages",
}  # fmt: skip
REFUSED_KINDS = ("tools.", "messages.content.")
#: Where a result names a call that the request does not have: its vendor does.
ORPHANS = ("call_id", "tool_use_id", ".functionResponse")


def write(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    doc, dropped = ollama.write_request(chat, lenient)
    CHECK.validate(json.loads(json.dumps(doc)))
    return doc, dropped


def asked(*messages: Message, **more: Json) -> Chat:
    return Chat("openai_chat", "m", list(messages) or [Message("user", [Text("hi")])], **more)


def refused(chat: Chat) -> str:
    with pytest.raises(Unsupported) as caught:
        write(chat)
    write(chat, lenient=True)
    return caught.value.field


def test_recorded_requests_have_the_documented_shape() -> None:
    for recording in recorded():
        CHECK.validate(recording.request)


def words(chat: Chat) -> list[str]:
    """Every text of a request, that of results included."""
    parts = [*chat.system, *(part for message in chat.messages for part in message.parts)]
    parts += [inner for part in parts if isinstance(part, ToolResult) for inner in part.parts]
    return [part.text for part in parts if isinstance(part, Text | Refusal) and part.text]


def calls(chat: Chat) -> list[Json]:
    found = (part for message in chat.messages for part in message.parts if isinstance(part, ToolCall))
    return [
        {"input": call.arguments} if call.kind == "custom" else json.loads(call.arguments or "{}") or {}
        for call in found
    ]


@pytest.mark.parametrize("client", DIALECTS)
def test_requests_of_every_client_can_be_written(client: str) -> None:
    refusals, count = Counter[str](), 0
    for recording in of_dialect(client):
        try:
            chat = read(client, recording)
        except BadRequest:
            continue
        count += 1
        try:
            doc, _ = write(chat)
        except Unsupported as error:
            refusals[error.field] += 1
            known = error.field in REFUSED or error.field.startswith(REFUSED_KINDS) or error.field.endswith(ORPHANS)
            assert known, (recording.id, error.field)
            continue
        said_there = "\n".join(message["content"] for message in doc["messages"])
        assert all(text in said_there for text in words(chat)), recording.id
        written_calls = [
            call["function"]["arguments"] for message in doc["messages"] for call in message.get("tool_calls", ())
        ]
        assert written_calls == calls(chat), recording.id
        assert doc["stream"] is bool(chat.stream)
    print(f"\n{client}: {count - refusals.total()} of {count} written, refused {dict(refusals)}")
    assert refusals.total() < count / 2


@pytest.mark.parametrize("client", DIALECTS)
@MANY
@given(data=st.data())
def test_spoiled_requests_raise_only_what_they_may(client: str, data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(of_dialect(client)))
    body = spoiled(recording.request_body, data.draw)
    try:
        json.dumps(ollama.write_request(read(client, replace(recording, request_body=body)))[0])
    except (BadRequest, Unsupported):
        return


def test_a_request_in_full() -> None:
    weather = FunctionTool("weather", "Tells it", {"type": "object", "properties": {"city": {"type": "string"}}})
    chat = asked(
        Message("developer", [Text("more rules")]),
        Message("user", [Text("see"), Image(Source("data", "aGk=", "image/png")), Text("this")]),
        Message(
            "assistant", [Thinking(["hm"]), Text("I "), Text("look"), ToolCall("c1", "weather", '{"city": "Oslo"}')]
        ),
        Message("tool", [ToolResult("c1", [Text("cold"), Image(Source("data", "aG8=", "image/png"))], is_error=True)]),
        system=[Text("be brief"), Text("be kind")],
        tools=[weather],
        sampling=Sampling(0.0, 0.9, 40, 0.1, 0.2, 0.3, 1.1, 7),
        max_tokens=5,
        stop=["x"],
        stream=True,
        logprobs=True,
        top_logprobs=2,
        reasoning=Reasoning("low"),
        response_format=ResponseFormat("json_schema", "n", {"type": "object"}),
    )
    doc, dropped = write(chat)
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    assert dropped == []
    assert doc == {
        "model": "m",
        "stream": True,
        "think": "low",
        "format": {"type": "object"},
        "logprobs": True,
        "top_logprobs": 2,
        "options": {
            "temperature": 0.0, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "frequency_penalty": 0.2,
            "presence_penalty": 0.3, "repeat_penalty": 1.1, "seed": 7, "stop": ["x"], "num_predict": 5,
        },
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": weather.parameters}}],
        "messages": [
            {"role": "system", "content": "be brief\n\nbe kind"},
            {"role": "system", "content": "more rules"},
            {"role": "user", "content": "see\nthis", "images": ["aGk="]},
            {"role": "assistant", "content": "I look", "thinking": "hm", "tool_calls": [call]},
            {"role": "tool", "content": "Error:\ncold", "tool_name": "weather", "tool_call_id": "c1"},
            {"role": "user", "content": "", "images": ["aG8="]},
        ],
    }  # fmt: skip


def test_without_a_word_on_it_nothing_is_streamed() -> None:
    assert write(asked())[0] == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}


TOOLS = [FunctionTool("f"), FunctionTool("g")]


@pytest.mark.parametrize(
    ("choice", "offered", "refusal"),
    [
        (None, ["f", "g"], ""),
        (ToolChoice("auto"), ["f", "g"], ""),
        (ToolChoice("none"), [], ""),
        (ToolChoice("allowed", [("function", "g")], "auto"), ["g"], ""),
        (ToolChoice("allowed", [("function", "g")], "required"), ["g"], "tool_choice"),
        (ToolChoice("required"), ["f", "g"], "tool_choice"),
        (ToolChoice("tool", [("function", "f")]), ["f"], "tool_choice"),
    ],
)
def test_tool_choices(choice: ToolChoice | None, offered: list[str], refusal: str) -> None:
    chat = asked(tools=TOOLS, tool_choice=choice)
    assert not refusal or refused(chat) == refusal
    doc, dropped = write(chat, lenient=True)
    assert [tool["function"]["name"] for tool in doc.get("tools", [])] == offered
    assert dropped == ([refusal] if refusal else [])
    assert write(asked(tool_choice=choice))[1] == []


def test_custom_and_namespaced_tools_come_back_under_their_own_names() -> None:
    tools = [CustomTool("sh ell"), NamespaceTool("home", None, [FunctionTool("light")])]
    turn = Message("assistant", [ToolCall("c", "sh ell", "ls", kind="custom")])
    chat = asked(Message("user", [Text("go")]), turn, tools=tools)
    doc, _ = write(chat)
    shell, light = [tool["function"]["name"] for tool in doc["tools"]]
    assert light == "home__light" and " " not in shell
    sent = doc["messages"][1]["tool_calls"][0]["function"]
    assert sent == {"name": shell, "arguments": {"input": "ls"}}
    reply = end(message={"role": "assistant", "tool_calls": [call(shell, {"input": "pwd"}), call(light, {"on": True})]})
    found = fold(ollama.read_response(reply, chat)).choices[0].parts
    assert found == [
        ToolCall("", "sh ell", "pwd", "custom"),
        ToolCall("", "light", '{"on":true}', namespace="home"),
    ]


@pytest.mark.parametrize(
    ("given", "think"),
    [
        (Reasoning("none"), False),
        (Reasoning(enabled=False), False),
        (Reasoning(budget=0), False),
        (Reasoning("minimal"), "low"),
        (Reasoning("medium"), "medium"),
        (Reasoning("xhigh"), "high"),
        (Reasoning(budget=30_000, enabled=True), "high"),
        (Reasoning(enabled=True), True),
        (Reasoning(budget=-1), True),
        (Reasoning(summary="auto"), None),
        (Reasoning(), None),
    ],
)
def test_how_much_to_think(given: Reasoning, think: Json) -> None:
    assert write(asked(reasoning=given))[0].get("think") == think


@pytest.mark.parametrize(
    ("form", "wire"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), "json"),
        (ResponseFormat("json_schema", "n"), "json"),
        (ResponseFormat("json_schema", "n", {"type": "array"}, strict=True), {"type": "array"}),
    ],
)
def test_formats(form: ResponseFormat, wire: Json) -> None:
    assert write(asked(response_format=form))[0].get("format") == wire


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (asked(n=2), "n"),
        (asked(sampling=Sampling(logit_bias={"1": 5})), "logit_bias"),
        (asked(previous_id="resp_1"), "previous_response_id"),
        (asked(modalities=["text", "audio"]), "modalities"),
        (asked(tools=[HostedTool("web_search", "openai_responses", {})]), "tools.web_search"),
        (asked(Message("user", [Image(Source("url", "https://x/y.png"))])), "messages.content.image.url"),
        (asked(Message("user", [Image(Source("file", "file_1"))])), "messages.content.image.file"),
        (asked(Message("user", [Audio(Source("data", "aGk=", "audio/wav"))])), "messages.content.audio"),
        (asked(Message("user", [File(Source("data", "aGk=", "application/pdf"))])), "messages.content.file"),
    ],
)
def test_what_would_mean_something_else_is_refused(chat: Chat, field: str) -> None:
    assert refused(chat) == field


def test_what_is_left_out_is_named() -> None:
    thought = Thinking(summaries=["in short"], signature="sig", signed_by="openai_responses")
    chat = asked(
        Message("assistant", [thought, Text("yes")]),
        tools=[FunctionTool("f", strict=True)],
        parallel_tool_calls=False,
        user="u",
        metadata={"a": "b"},
        extra={"keep_alive": "5m"},
    )
    doc, dropped = write(chat)
    assert sorted(dropped) == [
        "keep_alive",
        "messages.thinking",
        "metadata",
        "parallel_tool_calls",
        "tools.strict",
        "user",
    ]
    assert doc["messages"] == [{"role": "assistant", "content": "yes"}]


def test_its_own_fields_are_kept() -> None:
    chat = replace(asked(max_tokens=3), dialect="ollama", extra={"keep_alive": "5m", "options": {"num_ctx": 4096}})
    doc, dropped = write(chat)
    assert (doc["keep_alive"], doc["options"], dropped) == ("5m", {"num_predict": 3, "num_ctx": 4096}, [])


def test_documents_of_plain_text_are_words() -> None:
    plain = [File(Source("text", "one")), File(Source("data", "dHdv", "text/plain"))]
    assert write(asked(Message("user", [*plain])))[0]["messages"] == [{"role": "user", "content": "one\ntwo"}]


def test_schemas_with_references_are_put_in_their_place() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string", "description": "d"}}}
    doc, _ = write(asked(tools=[FunctionTool("f", parameters=schema), FunctionTool("g")]))
    first, second = [tool["function"]["parameters"] for tool in doc["tools"]]
    assert first == {"type": "object", "properties": {"a": {"type": "string", "description": "d"}}}
    assert second == {"type": "object", "properties": {}}


def test_where_it_goes() -> None:
    assert (ollama.url(asked()), ollama.headers(asked())) == ("/api/chat", [])
    assert frozenset({Image}) == ollama.NEEDS_DATA
