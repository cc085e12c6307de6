"""Tools that an upstream does not have, ids that it lacks, and signatures that must come back to their maker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import schemas
from providers.chat import Chat, CustomTool, FunctionTool, Message, NamespaceTool, Text, Tool, ToolCall, ToolResult
from providers.dialects import CLIENTS, UPSTREAMS
from providers.dialects.tool_ids import with_ids
from providers.dialects.tool_names import InputText, Naming, ToolNames, wrapped
from providers.events import Event, Finished, Signed, Started, TextDelta, ThinkingDelta, ToolDelta, ToolStarted
from tests.dialect_shapes import split
from tests.test_recordings import DIALECTS

PATCH = '*** Begin Patch\n*** "a" \\ é 🌊\n*** End Patch'


def agent() -> Chat:
    """What an agent asks: a freeform tool, one in a namespace, one with a name that some upstreams refuse."""
    lookup = FunctionTool("search", "Search", {"type": "object", "properties": {"q": {"type": "string"}}})
    tools: list[Tool] = [CustomTool("apply_patch"), NamespaceTool("github", None, [lookup]), FunctionTool("my tool/№1")]
    return Chat("openai_responses", "m", [Message("user", [Text("hi")])], tools=tools, stream=True)


def upstream_call(upstream: str, name: str, arguments: str) -> list[Event]:
    """The events of a call as ``upstream`` would stream it, read by its own reader for ``agent``."""
    told: list[Event] = [
        Started("id", "m", 1, upstream),
        ToolStarted(0, "call_1", name),
        ToolDelta(0, arguments[:9]),
        ToolDelta(0, arguments[9:]),
    ]
    writer = CLIENTS[upstream].StreamWriter(Chat(upstream, "m", []))
    written = b"".join(writer.feed(event) for event in [*told, Finished("tool_calls")]) + writer.flush()
    reader = UPSTREAMS[upstream].StreamReader(agent())
    return [event for each in split(written) for event in reader.feed(each)] + reader.flush()


def tool_names(upstream: str) -> list[str]:
    doc, _ = UPSTREAMS[upstream].write_request(agent())
    tools = doc["tools"][0]["functionDeclarations"] if upstream == "gemini" else doc["tools"]
    return [(tool.get("function") or tool.get("custom") or tool)["name"] for tool in tools]


@pytest.mark.parametrize("upstream", [name for name in DIALECTS if name != "openai_responses"])
def test_tools_are_restored_by_name(upstream: str) -> None:
    patch, search, odd = tool_names(upstream)
    assert search == "github__search" and odd != "my tool/№1" and odd.isascii()
    started = [e for e in upstream_call(upstream, search, '{"q":"x"}') if isinstance(e, ToolStarted)]
    assert [(e.kind, e.namespace, e.name) for e in started] == [("function", "github", "search")]
    started = [e for e in upstream_call(upstream, odd, "{}") if isinstance(e, ToolStarted)]
    assert started[0].name == "my tool/№1"
    if upstream != "openai_chat":  # which has freeform tools itself
        events = upstream_call(upstream, patch, wrapped(PATCH))
        assert next(e for e in events if isinstance(e, ToolStarted)).kind == "custom"
        assert "".join(e.arguments for e in events if isinstance(e, ToolDelta)) == PATCH


@pytest.mark.parametrize("ascii", [True, False])
def test_freeform_input_unwraps_at_any_cut(ascii: bool) -> None:
    text = json.dumps({"input": PATCH}, ensure_ascii=ascii)
    for first in range(len(text)):
        for second in range(first, len(text), 7):
            unwrap = InputText()
            found = unwrap.feed(text[:first]) + unwrap.feed(text[first:second]) + unwrap.feed(text[second:])
            assert found == PATCH, (first, second)


def test_two_names_that_clean_to_the_same_stay_two() -> None:
    tools = [FunctionTool("a b"), FunctionTool("a_b"), FunctionTool("a" * 70), FunctionTool("a" * 71)]
    names = ToolNames(Chat("anthropic", "m", [], tools=list(tools)), Naming())
    wires = [names.wire(tool.name) for tool in tools]
    assert len(set(wires)) == 4 and all(len(wire) <= 64 for wire in wires)
    assert [names.back(wire)[2] for wire in wires] == [tool.name for tool in tools]


def test_ids_are_made_and_matched_by_name_and_order() -> None:
    call = [ToolCall("", "f", "{}"), ToolCall("", "g", "{}"), ToolCall("", "f", "{}")]
    results = [ToolResult("", [], "f"), ToolResult("", [], "f"), ToolResult("", [], "g")]
    found = with_ids([Message("assistant", list(call)), Message("tool", list(results))])
    assert [part.id for part in found[0].parts] == ["call_1", "call_2", "call_3"]  # type: ignore[union-attr]
    assert [part.call_id for part in found[1].parts] == ["call_1", "call_3", "call_2"]  # type: ignore[union-attr]


# ---------------------------------------------------------------- signatures


def reply(maker: str) -> list[Event]:
    signature = "c2lnbmF0dXJlLW9mLXRoZS1tYWtlcg=="
    call = ToolStarted(0, "call_1", "f")
    if maker == "gemini":
        call.signature, call.signed_by = "dG9vbC1zaWduYXR1cmU=", "gemini"
    summary = maker == "openai_responses"
    form = "reasoning_details:anthropic-claude-v1" if maker == "openai_chat" else ""
    return [
        Started("id", "m", 1, maker),
        ThinkingDelta("hmm", summary, form=form),
        Signed(signature, maker, id="rs_1" if summary else "", form=form),
        TextDelta("text"),
        call,
        ToolDelta(0, "{}"),
        Finished("tool_calls"),
    ]


def replayed(client: str, doc: Any) -> Any:
    """The next turn as a client of the dialect sends it: the reply as it was, and the result of its call."""
    if client == "openai_chat":
        message = doc["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
        return {"model": "m", "messages": [{"role": "user", "content": "hi"}, message, result]}
    if client == "openai_responses":
        call = next(item for item in doc["output"] if item["type"] == "function_call")
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}
        return {"model": "m", "input": [{"role": "user", "content": "hi"}, *doc["output"], result]}
    if client == "anthropic":
        call = next(block for block in doc["content"] if block["type"] == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "1"}
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": doc["content"]}]
        return {"model": "m", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": [result]}]}
    result = {"functionResponse": {"name": "f", "response": {"result": "1"}}}
    turns = [{"role": "user", "parts": [{"text": "hi"}]}, doc["candidates"][0]["content"]]
    return {"contents": [*turns, {"role": "user", "parts": [result]}]}


@pytest.mark.parametrize("maker", DIALECTS)
@pytest.mark.parametrize("client", DIALECTS)
def test_signatures_come_back_to_their_maker(client: str, maker: str) -> None:
    if client == maker:
        pytest.skip("the bytes go through")
    doc = json.loads(json.dumps(CLIENTS[client].write_response(reply(maker), Chat(client, "m", []))))
    chat = CLIENTS[client].read_request(replayed(client, doc), "/v1beta/models/m:generateContent")
    body, dropped = UPSTREAMS[maker].write_request(chat)
    sent = json.dumps(body)
    assert "c2lnbmF0dXJlLW9mLXRoZS1tYWtlcg==" in sent and "hmm" in sent and "gw1." not in sent, dropped
    if maker == "gemini":
        assert "dG9vbC1zaWduYXR1cmU=" in sent
    other = next(name for name in DIALECTS if name not in (client, maker))
    assert "c2lnbmF0dXJlLW9mLXRoZS1tYWtlcg==" not in json.dumps(UPSTREAMS[other].write_request(chat)[0])


# ---------------------------------------------------------------- schemas


def test_a_reference_cycle_ends() -> None:
    tree: Any = {"$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}}, "$ref": "#/$defs/T"}
    assert schemas.for_gemini(tree)["properties"]["next"]["type"] == "object"
    assert schemas.for_gemini_json(tree)["$defs"]["T"]["properties"]["next"] == {"$ref": "#/$defs/T"}


def test_schemas_are_cleaned_for_each_upstream() -> None:
    given = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "const": "x"}, "n": {"type": "integer", "minimum": 1}},
    }
    gemini = schemas.for_gemini(given)["properties"]
    assert gemini["a"] == {"type": "string", "nullable": True, "enum": ["x"]}
    anthropic = schemas.for_anthropic_output(given)
    assert anthropic["additionalProperties"] is False and "minimum" not in anthropic["properties"]["n"]
    assert "minimum: 1" in anthropic["properties"]["n"]["description"]
    assert not schemas.strict_ready(given)
    assert schemas.strict_ready({"type": "object", "properties": {}, "additionalProperties": False})
