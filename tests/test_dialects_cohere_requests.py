"""Everybody's requests written for Cohere's chat API, judged by the shape that its document gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from providers import sse
from providers.chat import (
    BadRequest,
    Chat,
    CustomTool,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Message,
    NamespaceTool,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Unsupported,
)
from providers.dialects import cohere
from providers.events import ToolStarted
from tests.test_dialects_cohere import END, Row, delta, recorded, streamed
from tests.test_recordings import DIALECTS, of_dialect, read


def shape(**members: Any) -> Row:
    required = [name for name in members if not name.endswith("_")]
    properties = {name.removesuffix("_"): value for name, value in members.items()}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def among(*words: Any) -> Row:
    return {"enum": list(words)}


TEXT: Row = {"type": "string"}
SOME: Row = {"type": "string", "minLength": 1}
TEXT_PART = shape(type=among("text"), text=SOME)
THINKING_PART = shape(type=among("thinking"), thinking=SOME)
IMAGE_PART = shape(type=among("image_url"), image_url=shape(url=SOME, detail_=among("auto", "low", "high")))


def content(*parts: Row) -> Row:
    return {"anyOf": [TEXT, {"type": "array", "minItems": 1, "items": {"anyOf": list(parts)}}]}


CALL = shape(id=SOME, type=among("function"), function=shape(name=SOME, arguments=SOME))
MESSAGE = {
    "anyOf": [
        shape(role=among("system"), content=content(TEXT_PART)),
        shape(role=among("user"), content=content(TEXT_PART, IMAGE_PART)),
        shape(
            role=among("assistant"),
            content_=content(TEXT_PART, THINKING_PART),
            tool_plan_=SOME,
            tool_calls_={"type": "array", "minItems": 1, "items": CALL},
        ),
        shape(role=among("tool"), tool_call_id=SOME, content=content(TEXT_PART)),
    ]
}
NAME: Row = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
PARAMETERS: Row = {"type": "object", "required": ["type"]}
TOOL = shape(type=among("function"), function=shape(name=NAME, description_=TEXT, parameters=PARAMETERS))
#: The API's document: https://docs.cohere.com/reference/chat
REQUEST = shape(
    model=SOME,
    messages={"type": "array", "minItems": 1, "items": MESSAGE},
    stream_={"type": "boolean"},
    tools_={"type": "array", "minItems": 1, "items": TOOL},
    strict_tools_={"type": "boolean"},
    tool_choice_=among("REQUIRED", "NONE"),
    response_format_=shape(type=among("json_object"), json_schema_={"type": "object"}),
    max_tokens_={"type": "integer", "minimum": 0},
    stop_sequences_={"type": "array", "items": TEXT, "maxItems": 5},
    temperature_={"type": "number", "minimum": 0},
    seed_={"type": "integer", "minimum": 0},
    frequency_penalty_={"type": "number", "minimum": 0, "maximum": 1},
    presence_penalty_={"type": "number", "minimum": 0, "maximum": 1},
    k_={"type": "integer", "minimum": 0, "maximum": 500},
    p_={"type": "number", "minimum": 0.01, "maximum": 0.99},
    logprobs_={"type": "boolean"},
    thinking_=shape(type=among("enabled", "disabled"), token_budget_={"type": "integer", "minimum": 1}),
)
VALIDATOR = pytest.importorskip("jsonschema").Draft202012Validator(REQUEST)


def test_the_shape_takes_what_was_recorded() -> None:
    """It is not narrower than the API: recorded requests fit it, their documents apart."""
    for row in [*recorded(stream=True), *recorded(stream=False)]:
        body = {name: value for name, value in row["request_body"].items() if name != "documents"}
        assert not list(VALIDATOR.iter_errors(body)), row["id"]


def texts(parts: list[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Text) and part.text:
            yield part.text
        elif isinstance(part, ToolResult):
            yield from texts(part.parts)


def spoken(doc: Any) -> Counter[str]:
    """Every text of a request's messages."""
    found: Counter[str] = Counter()
    for message in doc["messages"]:
        told = message.get("content", "")
        found.update([told] if isinstance(told, str) else [block.get("text", "") for block in told])
    return found


@pytest.mark.parametrize("client", DIALECTS)
def test_requests_of_other_dialects_fit_and_lose_no_text(client: str) -> None:
    written_, refused, dropped = 0, Counter[str](), Counter[str]()
    for recording in of_dialect(client):
        if recording.status >= 400:
            continue  # made to be refused
        try:
            chat = read(client, recording)
            doc, names = cohere.write_request(chat)
        except BadRequest:
            continue
        except Unsupported as error:
            refused[error.field] += 1
            continue
        written_ += 1
        dropped.update(names)
        error_ = next(VALIDATOR.iter_errors(json.loads(json.dumps(doc))), None)
        assert error_ is None, (recording.id, str(error_)[:800])
        given_ = Counter(
            text for message in [Message("system", chat.system), *chat.messages] for text in texts(message.parts)
        )
        assert not given_ - spoken(doc), recording.id
    print(f"\n{client}: {written_} written, refused {dict(refused)}, dropped {dict(dropped)}")
    assert written_ > refused.total()


def written_for(
    model: str = "command-a-reasoning-08-2025", lenient: bool = False, **members: Any
) -> tuple[Row, list[str]]:
    messages = members.pop("messages", [Message("user", [Text("hi")])])
    doc, dropped = cohere.write_request(Chat("openai_chat", model, messages, **members), lenient)
    assert not list(VALIDATOR.iter_errors(doc))
    return doc, dropped


def function(name: str, **members: Any) -> FunctionTool:
    return FunctionTool(name, parameters={"type": "object", "properties": {}}, **members)


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (ToolChoice("auto"), ["a", "b"], None),
        (ToolChoice("none"), ["a", "b"], "NONE"),
        (ToolChoice("required"), ["a", "b"], "REQUIRED"),
        (ToolChoice("tool", [("function", "b")]), ["b"], "REQUIRED"),
        (ToolChoice("allowed", [("function", "a")], "auto"), ["a"], None),
        (ToolChoice("allowed", [("function", "a")], "required"), ["a"], "REQUIRED"),
    ],
)
def test_a_choice_of_tools_is_made_by_offering_no_others(
    choice: ToolChoice, names: list[str], word: str | None
) -> None:
    doc, dropped = written_for(tools=[function("a"), function("b")], tool_choice=choice)
    assert [tool["function"]["name"] for tool in doc["tools"]] == names
    assert doc.get("tool_choice") == word and dropped == []


def test_a_tool_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(Unsupported, match="tool_choice"):
        written_for(tools=[function("a")], tool_choice=ToolChoice("tool", [("function", "x")]))


def test_tools_are_strict_all_or_none() -> None:
    assert written_for(tools=[function("a", strict=True), function("b", strict=True)])[0]["strict_tools"] is True
    doc, dropped = written_for(tools=[function("a", strict=True), function("b")])
    assert "strict_tools" not in doc and dropped == ["tools.strict"]


def test_tool_names_are_identifiers_and_come_back() -> None:
    tools: list[Tool] = [
        function("get-it"),
        function("1st"),
        CustomTool("patch"),
        NamespaceTool("hub", None, [function("find")]),
    ]
    chat = Chat("openai_responses", "m", [Message("user", [Text("hi")])], tools=tools)
    doc, _ = cohere.write_request(chat)
    assert not list(VALIDATOR.iter_errors(doc))
    calls = [
        delta("tool-call-start", at, tool_calls={"id": str(at), "function": {"name": tool["function"]["name"]}})
        for at, tool in enumerate(doc["tools"])
    ]
    started = [each for each in streamed(*calls, END, chat=chat) if isinstance(each, ToolStarted)]
    assert [(each.kind, each.namespace, each.name) for each in started] == [
        ("function", "", "get-it"),
        ("function", "", "1st"),
        ("custom", "", "patch"),
        ("function", "hub", "find"),
    ]


def test_numbers_outside_its_scales_are_brought_in_and_named() -> None:
    given_ = Sampling(temperature=0, top_p=1, top_k=900, frequency_penalty=-1.5, presence_penalty=2, seed=-1)
    doc, dropped = written_for(sampling=given_)
    told_ = {name: doc[name] for name in ("temperature", "p", "k", "frequency_penalty", "presence_penalty", "seed")}
    assert told_ == {
        "temperature": 0, "p": 0.99, "k": 500, "frequency_penalty": 0, "presence_penalty": 1, "seed": 0,
    }  # fmt: skip
    assert dropped == ["top_p", "top_k", "frequency_penalty", "presence_penalty", "seed"]
    doc, dropped = written_for(
        sampling=Sampling(top_p=0.5, top_k=40.0, seed=7), logprobs=True, max_tokens=5, stop=["x"]
    )
    assert (doc["p"], doc["k"], doc["seed"], doc["logprobs"], doc["max_tokens"]) == (0.5, 40, 7, True, 5)
    assert dropped == []


def test_structured_output_loses_its_limits_only() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    doc, dropped = written_for(response_format=ResponseFormat("json_schema", "x", schema))
    told_ = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert doc["response_format"] == {"type": "json_object", "json_schema": told_}
    assert dropped == ["response_format.limits"]
    assert written_for(response_format=ResponseFormat("json_object"))[0]["response_format"] == {"type": "json_object"}
    assert "response_format" not in written_for(response_format=ResponseFormat("text"))[0]


@pytest.mark.parametrize(
    ("asked", "thinking"),
    [
        (Reasoning("none"), {"type": "disabled"}),
        (Reasoning(budget=500), {"type": "enabled", "token_budget": 500}),
        (Reasoning(budget=-1), {"type": "enabled"}),
        (Reasoning("high"), {"type": "enabled", "token_budget": 16384}),
        (Reasoning(), None),
    ],
)
def test_reasoning_is_asked_of_models_that_can(asked: Reasoning, thinking: Row | None) -> None:
    assert written_for(reasoning=asked)[0].get("thinking") == thinking
    doc, dropped = written_for("command-a-03-2025", reasoning=asked)
    assert "thinking" not in doc
    assert dropped == (["reasoning"] if thinking and thinking["type"] == "enabled" else [])


def test_results_with_images_show_them_in_a_message_of_the_user() -> None:
    image = Image(Source("data", "AAAA", "image/png"), "high")
    messages = [
        Message("assistant", [Text("see"), ToolCall("c", "f", "")]),
        Message("tool", [ToolResult("c", [Text("no"), image], is_error=True)]),
    ]
    doc, dropped = written_for(messages=messages)
    assert [message["role"] for message in doc["messages"]] == ["assistant", "tool", "user"]
    assert doc["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert [block["text"] for block in doc["messages"][1]["content"]] == ["Error:", "no"]
    address = {"url": "data:image/png;base64,AAAA", "detail": "high"}
    assert doc["messages"][2]["content"] == [{"type": "image_url", "image_url": address}]
    assert dropped == []


def test_documents_of_text_are_told_as_text() -> None:
    plain = File(Source("data", "aGV5", "text/plain"))
    doc, _ = written_for(messages=[Message("user", [plain, File(Source("text", "you"))])])
    assert [block["text"] for block in doc["messages"][0]["content"]] == ["hey", "you"]


def test_thoughts_of_others_go_unless_they_are_signed() -> None:
    def told_thoughts(part: Thinking, model: str) -> tuple[bool, list[str]]:
        messages = [Message("user", [Text("hi")]), Message("assistant", [part, Text("ok")])]
        doc, dropped = written_for(model, messages=messages)
        return "hm" in json.dumps(doc), dropped

    plain, signed = Thinking(["hm"], signed_by="openai_chat"), Thinking(["hm"], signature="s", signed_by="anthropic")
    assert told_thoughts(plain, "command-a-reasoning-08-2025") == (True, [])
    assert told_thoughts(signed, "command-a-reasoning-08-2025") == (False, ["messages.thinking"])
    assert told_thoughts(plain, "command-a-03-2025") == (False, ["messages.thinking"])


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"n": 2}, "n"),
        ({"sampling": Sampling(logit_bias={"1": 1})}, "logit_bias"),
        ({"stop": list("abcdef")}, "stop"),
        ({"previous_id": "resp_1"}, "previous_response_id"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [HostedTool("web_search", "openai_chat", {})]}, "tools.web_search"),
        ({"messages": [Message("user", [File(Source("data", "AA", "application/pdf"))])]}, "messages.content.file"),
        ({"messages": [Message("user", [Image(Source("file", "file-1"))])]}, "messages.content.file_id"),
    ],
)
def test_what_changes_the_meaning_is_refused(members: Row, field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        written_for(**members)
    assert caught.value.field == field
    chat = Chat("openai_chat", "m", members.pop("messages", [Message("user", [Text("hi")])]), **members)
    assert field in cohere.write_request(chat, lenient=True)[1]


def test_its_own_fields_go_as_they_are() -> None:
    extra = {"documents": ["x"], "citation_options": {"mode": "FAST"}, "safety_mode": "STRICT", "priority": 1}
    doc, dropped = cohere.write_request(Chat("cohere", "m", [Message("user", [Text("hi")])], extra=extra))
    assert doc == {"model": "m", "messages": [{"role": "user", "content": "hi"}], **extra}
    assert dropped == []
    assert written_for(extra=extra)[1] == list(extra)


def test_where_it_is_asked() -> None:
    chat = Chat("openai_chat", "m", [])
    assert (cohere.url(chat), cohere.headers(chat), cohere.FRAMES) == ("/v2/chat", [], sse.Parser)
