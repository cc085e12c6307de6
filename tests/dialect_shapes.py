"""When two JSON documents of a dialect say the same: the listed normalisations, written apart from the dialects.

Each is a fact of the API's documentation, not of our code: both spellings are accepted and mean one thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

from providers.chat import Refusal, Text, Thinking, ToolCall
from providers.dialects.folding import fold
from providers.events import Event, Failed, Signed, Started, ToolStarted, Used
from providers.usage import Usage

Json = Any
#: Members whose value is the user's own JSON: nothing in it is touched.
VERBATIM = (
    "parameters", "input_schema", "schema", "arguments", "args", "responseSchema", "responseJsonSchema",
    "parametersJsonSchema", "parameters_json_schema", "metadata", "output_schema",
)  # fmt: skip


def without_null(value: Json, verbatim: tuple[str, ...] = VERBATIM) -> Json:
    """All: a null member is an absent one, and so is an empty list of tools, stops or calls."""
    if isinstance(value, list):
        return [without_null(item, verbatim) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {k: v if k in verbatim else without_null(v, verbatim) for k, v in value.items() if v is not None}
    return {k: v for k, v in kept.items() if not (k in EMPTY_IS_ABSENT and v in ([], {}))}


EMPTY_IS_ABSENT = ("tools", "stop", "tool_calls", "metadata", "modalities", "stop_sequences", "content", "annotations")


def _parts(content: Json, kind: str = "text") -> Json:
    """All: a string content is a list of one text."""
    return [{"type": kind, "text": content}] if isinstance(content, str) else content


def chat_request(doc: Json) -> Json:
    """OpenAI chat: ``stop`` may be one string; ``type`` of a tool and a tool call defaults to ``function``."""
    doc = without_null(doc)
    if isinstance(doc.get("stop"), str):
        doc["stop"] = [doc["stop"]]
    for message in doc.get("messages", []):
        if "content" in message:
            message["content"] = _parts(message["content"])
        for call in message.get("tool_calls", []):
            call.setdefault("type", "function")
    for tool in doc.get("tools", []):
        tool.setdefault("type", "function")
    return doc


def responses_request(doc: Json) -> Json:
    """Responses: an input string is one user message; ``type`` of a message may be absent; a content string is one
    text of its role's type; ``include`` is a set; a reasoning item's summary may be absent."""
    doc = without_null(doc)
    given = doc.get("input", [])
    items: Json = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        if "role" in item:
            item.setdefault("type", "message")
        if item.get("type") == "message":
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            item["content"] = _parts(item.get("content", []), kind)
        if isinstance(item.get("output"), str):
            item["output"] = _parts(item["output"], "input_text")
        if item.get("type") == "reasoning":
            item["summary"] = item.get("summary", [])
    doc["input"] = items
    if "include" in doc:
        doc["include"] = sorted(doc["include"])
    return doc


def anthropic_request(doc: Json) -> Json:
    """Anthropic: ``type`` of a client's tool defaults to ``custom``."""
    doc = without_null(doc, (*VERBATIM, "input"))
    if "system" in doc:
        doc["system"] = _parts(doc["system"])
    for message in doc.get("messages", []):
        message["content"] = _parts(message.get("content", []))
        for block in message["content"]:
            if "content" in block:
                block["content"] = _parts(block["content"])
    for tool in doc.get("tools", []):
        tool.setdefault("type", "custom")
    return doc


def _camel(value: Json) -> Json:
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {name.split("_")[0] + "".join(w.capitalize() for w in name.split("_")[1:]): v for name, v in value.items()}
    return {name: v if name in GEMINI_VERBATIM else _camel(v) for name, v in named.items()}


GEMINI_VERBATIM = (
    "parameters", "parametersJsonSchema", "args", "response", "responseSchema", "responseJsonSchema", "labels",
    "googleSearch", "fileSearch", "codeExecution", "urlContext", "modelArmorConfig", "toolCall", "toolResponse",
)  # fmt: skip


def gemini_request(doc: Json) -> Json:
    """Gemini: names in snake_case are those in camelCase; one object is a list of one; ``thought: false`` is the
    default; a role on the system instruction and none on a content are ignored; tools are a set of declarations and
    hosted tools, however they are grouped; enums are read in any case; a part with only a signature is an empty text
    with one; a call without arguments has none."""
    doc = _camel(without_null(doc))
    doc.get("systemInstruction", {}).pop("role", None)
    for content in [*doc.get("contents", []), doc.get("systemInstruction", {})]:
        for part in content.get("parts", []):
            if part.get("thought") is False:
                del part["thought"]
            if part.keys() - {"thought"} == {"thoughtSignature"}:
                part["text"] = ""
            if "functionCall" in part:
                part["functionCall"].setdefault("args", {})
    tools = doc.get("tools", [])
    doc["tools"] = _gemini_tools([tools] if isinstance(tools, dict) else tools)
    config = doc.get("generationConfig", {}).get("thinkingConfig", {})
    if "thinkingLevel" in config:
        config["thinkingLevel"] = config["thinkingLevel"].lower()
    return {name: value for name, value in doc.items() if value not in ({}, [])}


def _gemini_tools(tools: Json) -> Json:
    functions = [function for tool in tools for function in tool.get("functionDeclarations", [])]
    hosted = [{name: v} for tool in tools for name, v in tool.items() if name != "functionDeclarations"]
    return [{"functionDeclarations": functions}] * bool(functions) + hosted


NORMALISE: dict[str, Callable[[Json], Json]] = {
    "openai_chat": chat_request,
    "openai_responses": responses_request,
    "anthropic": anthropic_request,
    "gemini": gemini_request,
}


# ---------------------------------------------------------------- events


def settled(events: list[Event], model: Started | None = None, stream: bool = False) -> list[Event]:
    """Events as they compare: the last usage counts and stands last; what the upstream did not tell (``model``'s id,
    time and tier; ids of tool calls) is made by the writer and not compared; an error has the client's words for its
    type and code; in a stream a reasoning item's id is made before its own is known."""
    told = model or next((event for event in events if isinstance(event, Started)), Started())
    used = [event for event in events if isinstance(event, Used)]
    failed = any(isinstance(event, Failed) for event in events)
    found = [_settled(event, told, stream) for event in events if not isinstance(event, Used)]
    return found if failed else [*found, *used[-1:]]


def _settled(event: Event, told: Started, stream: bool) -> Event:
    if isinstance(event, Started):
        tier = "" if event.service_tier == "default" else event.service_tier
        return Started(
            event.id if told.id else "",
            event.model if told.model else "",
            event.created if told.created else 0,
            event.dialect,
            tier,
        )
    if isinstance(event, Failed):
        return replace(event, type="", code="", param="")
    if isinstance(event, Signed) and stream:
        return replace(event, id="")
    return event


def alike(first: list[Event], second: list[Event], stream: bool) -> str:
    """Empty, or where the two differ."""
    told = next((event for event in first if isinstance(event, Started)), Started())
    one, two = settled(first, told, stream), settled(second, told, stream)
    for left, right in zip_longest(one, two):
        if isinstance(left, ToolStarted) and isinstance(right, ToolStarted) and not left.id:
            right = replace(right, id="")
        if left != right:
            return f"{str(left)[:300]} != {str(right)[:300]}"
    return ""


def said(events: list[Event]) -> Said:
    """What a reply says, however it is cut into events."""
    reply = fold(events)
    choices = []
    for _, choice in sorted(reply.choices.items()):
        texts = "".join(p.text for p in choice.parts if isinstance(p, Text | Refusal))
        thoughts = "".join("".join([*p.texts, *p.summaries]) for p in choice.parts if isinstance(p, Thinking))
        calls = [(p.kind, p.namespace, p.name, _json(p.arguments)) for p in choice.parts if isinstance(p, ToolCall)]
        choices.append((texts, thoughts, calls, choice.finished.reason if choice.finished else ""))
    return Said(choices, reply.usage, reply.failed is not None)


def _json(text: str) -> Json:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


class Said(NamedTuple):
    choices: list[tuple[str, str, list[Any], str]]
    usage: Usage | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Sse:
    type: str
    data: bytes


def split(reply: bytes) -> list[Sse]:
    """Events of a whole stream, by the tests' own reading of the format."""
    found = []
    for block in reply.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n")]
        data = [value.removeprefix(" ") for name, _, value in lines if name == "data"]
        kind = next((value.strip() for name, _, value in lines if name == "event"), "")
        if data:
            found.append(Sse(kind, "\n".join(data).encode()))
    return found
