"""Converse requests, case by case."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from providers.chat import (
    Cache,
    Chat,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Unsupported,
)
from providers.dialects import bedrock
from tests.bedrock_shapes import CLAUDE, CLAUDE_3_7, CLAUDE_5, NOVA, NOVA_2, Json, wrong_in


def ask(*messages: Message, model: str = CLAUDE, **members: Any) -> tuple[Json, list[str]]:
    chat = Chat("openai_chat", model, list(messages) or [Message("user", [Text("Hi")])], **members)
    doc, dropped = bedrock.write_request(chat)
    assert not wrong_in(doc, model), wrong_in(doc, model)
    return doc, dropped


def test_url() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc"
    quoted = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aprovisioned-model%2Fabc"
    assert bedrock.url(Chat("gemini", arn, [])) == f"/model/{quoted}/converse"
    assert bedrock.url(Chat("gemini", NOVA, [], stream=True)) == "/model/amazon.nova-lite-v1%3A0/converse-stream"
    assert bedrock.headers(Chat("gemini", NOVA, [])) == []


def test_roles_alternate_and_a_user_begins() -> None:
    doc, dropped = ask(
        Message("system", [Text("Be brief.")]),
        Message("assistant", [Text("Hello")]),
        Message("user", [Text("a"), Text("  ")]),
        Message("developer", [Text("b")]),
        Message("user", [Text("c")]),
    )
    assert doc["system"] == [{"text": "Be brief."}]
    assert [m["role"] for m in doc["messages"]] == ["user", "assistant", "user"]
    assert doc["messages"][2]["content"] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    assert dropped == ["messages.role"]
    alone, dropped = ask(Message("system", [Text("Go.")]))
    assert alone == {"messages": [{"role": "user", "content": [{"text": "Go."}]}]} and dropped == ["messages.role"]
    assert ask(Message("assistant", [Text("Hello")]))[0]["messages"][0] == {"role": "user", "content": [{"text": "."}]}


def test_results_stand_first_and_together() -> None:
    calls: list[Any] = [ToolCall("a|1", "f", '{"x":1}'), ToolCall("b" * 80, "f", "")]
    image = Image(Source("data", "aGk=", "image/png"))
    doc, _ = ask(
        Message("user", [Text("Go")]),
        Message("assistant", calls),
        Message("tool", [ToolResult("a|1", [Text("1"), image])]),
        Message("user", [Text("and")]),
        Message("tool", [ToolResult("b" * 80, [], is_error=True)]),
    )
    uses = [block["toolUse"]["toolUseId"] for block in doc["messages"][1]["content"]]
    first, second, text = doc["messages"][2]["content"]
    assert [first["toolResult"]["toolUseId"], second["toolResult"]["toolUseId"]] == uses
    assert first["toolResult"]["content"] == [{"text": "1"}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}]
    assert second["toolResult"]["status"] == "error" and text == {"text": "and"}
    spec = doc["toolConfig"]["tools"][0]["toolSpec"]  # without it, AWS refuses the history
    assert spec["name"] == "f" and "toolChoice" not in doc["toolConfig"]


def test_documents_have_legal_and_different_names() -> None:
    pdf = Source("data", "JVBERi0=", "application/pdf")
    names = ["John's  report_(1).final.pdf", "", "", "\u5831\u544a.pdf", "x" * 300]
    parts: list[Any] = [File(pdf, name) for name in names]
    plain = File(Source("text", "words", "text/plain"), "note.txt", citations=True)
    doc, _ = ask(Message("user", [*parts, plain]), Message("assistant", [Text("ok")]), Message("user", [File(pdf)]))
    found = [block["document"] for m in doc["messages"] for block in m["content"] if "document" in block]
    assert [each["name"] for each in found][:4] == ["John s report (1) final", "Document", "Document 2", "Document 3"]
    assert len(found[4]["name"]) == 180 and found[6]["name"] == "Document 4"
    assert found[5]["citations"] == {"enabled": True} and base64.b64decode(found[5]["source"]["bytes"]) == b"words"
    assert found[5]["format"] == "txt"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Image(Source("data", "aGk=", "image/tiff")), "image"),
        (Image(Source("url", "https://a.example/x.png")), "url"),
        (File(Source("file", "file-1")), "file_id"),
        (File(Source("data", "aGk=", "application/zip")), "document"),
    ],
)
def test_what_cannot_be_shown_is_refused(part: Any, field: str) -> None:
    chat = Chat("openai_chat", CLAUDE, [Message("user", [part, Text("?")])])
    with pytest.raises(Unsupported, match=f"messages.content.{field}"):
        bedrock.write_request(chat)
    doc, dropped = bedrock.write_request(chat, lenient=True)
    assert doc["messages"][0]["content"] == [{"text": "?"}] and dropped == [f"messages.content.{field}"]


def test_media_by_s3_address_and_files_that_are_none() -> None:
    video = File(Source("data", "aGk=", "video/quicktime"))
    doc, _ = ask(Message("user", [Image(Source("url", "s3://bucket/cat.png")), video, Text("?")]))
    image, shown, _ = doc["messages"][0]["content"]
    assert image == {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/cat.png"}}}}
    assert shown["video"]["format"] == "mov"


TOOL = FunctionTool("f", "Does.", {"type": "object", "properties": {}}, strict=True)


@pytest.mark.parametrize(
    ("mode", "wire"),
    [("auto", None), ("required", {"any": {}}), ("tool", {"tool": {"name": "f"}}), ("allowed", {"any": {}})],
)
def test_tool_choice(mode: str, wire: Json | None) -> None:
    names = [("function", "f")] if mode in ("tool", "allowed") else []
    tools: list[Tool] = [TOOL, FunctionTool("g")]
    doc, _ = ask(tools=tools, tool_choice=ToolChoice(mode, names))
    assert doc["toolConfig"].get("toolChoice") == wire
    assert len(doc["toolConfig"]["tools"]) == (1 if mode == "allowed" else 2)


def test_no_tools_by_choice() -> None:
    doc, dropped = ask(tools=[TOOL], tool_choice=ToolChoice("none"))
    assert "toolConfig" not in doc and not dropped
    past = [Message("assistant", [ToolCall("t", "f", "{}")]), Message("tool", [ToolResult("t", [Text("1")])])]
    chat = Chat("openai_chat", CLAUDE, list(past), tools=[TOOL], tool_choice=ToolChoice("none"))
    with pytest.raises(Unsupported, match="tool_choice"):
        bedrock.write_request(chat)
    doc, dropped = bedrock.write_request(chat, lenient=True)
    assert "tool_choice" in dropped and not wrong_in(doc, CLAUDE)


def test_strict_tools_and_parallel_calls_only_where_they_are() -> None:
    doc, dropped = ask(tools=[TOOL], parallel_tool_calls=False)
    assert doc["toolConfig"]["tools"][0]["toolSpec"]["strict"] and not dropped
    assert doc["additionalModelRequestFields"]["tool_choice"]["disable_parallel_tool_use"]
    for model in (NOVA, CLAUDE_3_7):
        doc, dropped = ask(tools=[TOOL], parallel_tool_calls=False, model=model)
        assert "strict" not in doc["toolConfig"]["tools"][0]["toolSpec"]
        assert dropped == ["tools.strict", "parallel_tool_calls"] and "additionalModelRequestFields" not in doc


def test_cache_points() -> None:
    tool = FunctionTool("f", cache=Cache())
    result = ToolResult("t", [Text("1", cache=Cache("1h"))])
    messages = [
        Message("user", [Text("a", cache=Cache("5m"))]),
        Message("assistant", [ToolCall("t", "f", "{}")]),
        Message("tool", [result]),
    ]
    system: list[Any] = [Text("S", cache=Cache())]
    point = {"cachePoint": {"type": "default"}}
    doc, dropped = ask(*messages, system=system, tools=[tool], cache=Cache())
    assert not dropped
    assert doc["system"][1] == doc["toolConfig"]["tools"][1] == doc["messages"][0]["content"][1] == point
    assert doc["messages"][2]["content"][1:] == [{"cachePoint": {"type": "default", "ttl": "1h"}}]
    doc, dropped = ask(*messages, system=system, tools=[tool], model=NOVA)
    assert doc["messages"][2]["content"][1:] == [point] and dropped == ["cache_control"]
    assert len(doc["toolConfig"]["tools"]) == 1
    doc, dropped = ask(*messages, system=system, tools=[tool], model=NOVA_2)
    assert "cachePoint" not in json.dumps(doc) and dropped == ["cache_control"]
    note = File(Source("text", "words"), cache=Cache())
    doc, dropped = ask(Message("user", [note, Text(" ", cache=Cache()), Text("?")]))
    assert doc["messages"][0]["content"][1:] == [{"text": "\n"}, point, {"text": "?"}] and not dropped


@pytest.mark.parametrize(
    ("model", "reasoning", "fields"),
    [
        (CLAUDE_3_7, Reasoning(budget=2000), {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (CLAUDE_3_7, Reasoning("high"), {"thinking": {"type": "enabled", "budget_tokens": 3200}}),
        (CLAUDE_3_7, Reasoning("none"), None),
        (CLAUDE_5, Reasoning("minimal"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CLAUDE_5, Reasoning(enabled=True), {"thinking": {"type": "adaptive"}}),
        (CLAUDE_5, Reasoning("none"), {"thinking": {"type": "disabled"}}),
        (NOVA_2, Reasoning("low"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA_2, Reasoning("none"), {"reasoningConfig": {"type": "disabled"}}),
        ("openai.gpt-oss-20b-1:0", Reasoning("xhigh"), {"reasoning_effort": "high"}),
        ("qwen.qwen3-32b-v1:0", Reasoning("high"), {"reasoning_config": "high"}),
        ("openai.gpt-5.6-luna", Reasoning("minimal"), {"reasoning": {"effort": "low"}}),
    ],
)
def test_reasoning(model: str, reasoning: Reasoning, fields: Json | None) -> None:
    doc, dropped = ask(model=model, reasoning=reasoning, max_tokens=4000)
    assert doc.get("additionalModelRequestFields") == fields and not dropped


def test_reasoning_unsets_what_it_does_not_take() -> None:
    chat = Chat("anthropic", CLAUDE, [Message("user", [Text("Hi")])], reasoning=Reasoning(budget=2000))
    chat.sampling.temperature, chat.sampling.top_k = 0.5, 5
    doc, dropped = bedrock.write_request(chat)
    assert "inferenceConfig" not in doc and "top_k" not in doc["additionalModelRequestFields"]
    assert dropped == ["temperature", "top_k"]
    chat.model, chat.sampling.temperature, chat.reasoning = NOVA_2, 0.5, Reasoning("max")
    doc, dropped = bedrock.write_request(chat)
    fields = {"inferenceConfig": {"topK": 5}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    assert doc["additionalModelRequestFields"] == fields and dropped == ["temperature"]
    chat.max_tokens = 100  # the client's limit holds; the highest effort would take none
    doc, dropped = bedrock.write_request(chat)
    assert doc["inferenceConfig"]["maxTokens"] == 100 and dropped == ["reasoning"]
    assert ask(model=NOVA, reasoning=Reasoning("high"))[1] == ["reasoning"]
    forced = ask(tools=[TOOL], tool_choice=ToolChoice("required"), reasoning=Reasoning("high"))
    assert forced[1] == ["reasoning"]


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    doc, _ = ask(response_format=ResponseFormat("json_schema", "N", schema))
    told = doc["outputConfig"]["textFormat"]
    assert told["type"] == "json_schema" and told["structure"]["jsonSchema"]["name"] == "N"
    cleaned = json.loads(told["structure"]["jsonSchema"]["schema"])
    assert cleaned["additionalProperties"] is False and "minimum" not in cleaned["properties"]["n"]
    any_json = ResponseFormat("json_object")
    doc, dropped = ask(Message("user", [Text("Answer in JSON.")]), response_format=any_json)
    assert "outputConfig" not in doc and dropped == ["response_format"]
    with pytest.raises(Unsupported, match="response_format"):
        ask(response_format=any_json)


def test_metadata_tier_and_members_of_its_own() -> None:
    metadata = {"team": "a-1", "n": 5, "note": "not; legal!"}
    own = {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
    }
    extra = own | {"additionalModelRequestFields": {"a": 1}, "prediction": {"x": 1}}
    doc, dropped = ask(metadata=metadata, service_tier="flex", extra=extra)
    assert doc["requestMetadata"] == {"team": "a-1"} and doc["serviceTier"] == {"type": "flex"}
    assert {name: doc[name] for name in own} == own and doc["additionalModelRequestFields"] == {"a": 1}
    assert dropped == ["metadata", "prediction"]
    assert ask(service_tier="scale")[1] == ["service_tier"]
    assert ask(service_tier="auto")[1] == []


@pytest.mark.parametrize(
    "members", [{"n": 2}, {"logprobs": True}, {"previous_id": "r"}, {"modalities": ["text", "audio"]}]
)
def test_what_cannot_be_said_is_refused(members: Json) -> None:
    with pytest.raises(Unsupported):
        ask(**members)


def test_nova_runs_tools_of_its_own() -> None:
    search = HostedTool("web_search", "openai_responses", {})
    doc, _ = ask(tools=[search, HostedTool("code_execution", "anthropic", {})], model=NOVA_2)
    names = [tool["systemTool"]["name"] for tool in doc["toolConfig"]["tools"]]
    assert names == ["nova_grounding", "nova_code_interpreter"]
    with pytest.raises(Unsupported, match=r"tools\.web_search"):
        ask(tools=[search])
