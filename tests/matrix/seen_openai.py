"""What a request to an API in the manner of OpenAI's asks: the tests' own reading of it, and what it shares with others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.matrix.meaning import Asked, Function, Item, sorted_json

Json = Any
#: Schema members that some APIs have no word for; leaving them out lets the model say more, not less.
LOOSE = ("additionalProperties", "strict")


def schema(value: Json) -> Json:
    """In lower-case types, as Gemini's older form writes them in capitals."""
    if isinstance(value, list):
        return [schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: schema(each) for name, each in value.items() if name not in LOOSE}
    return kept | ({"type": kept["type"].lower()} if isinstance(kept.get("type"), str) else {})


def words(content: Json) -> str:
    """A string, or a list of text parts."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or ())


def result(text: str) -> str:
    """Words that stand alone in an object are the words."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(next(iter(found.values()))) if isinstance(found, dict) and len(found) == 1 else text


class Calls:
    """The calls so far: a result names one by its id or, where there is none, is the next one's."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Item]] = []
        self.answered = 0

    def call(self, id: str, name: str, arguments: Json) -> Item:
        told = json.loads(arguments) if isinstance(arguments, str) else arguments
        item = ("assistant", "call", name, sorted_json(told))
        self.made.append((id, item))
        return item

    def result(self, id: str, text: str) -> Item:
        found = next((item for known, item in self.made if id and known == id), None)
        item = found or self.made[self.answered][1]
        self.answered += 1
        return ("tool", "result", item[2], item[3], result(text))


def function(tool: Json, parameters: str = "parameters") -> Function:
    return Function(tool["name"], tool.get("description", ""), schema(tool[parameters]))


def data_url(url: str) -> tuple[str, str]:
    head, _, data = url.partition(";base64,")
    return {"data:image/png": "image", "data:application/pdf": "pdf"}[head], data


def _said(role: str, part: Json) -> Item:
    """A part of OpenAI's two APIs and Cohere's."""
    if part["type"] in ("image_url", "input_image"):
        url = part["image_url"]
        return (role, *data_url(url if isinstance(url, str) else url["url"]))
    if part["type"] in ("file", "input_file"):
        return (role, *data_url(part.get("file", part)["file_data"]))
    return (role, "text", part["text"])


def _parts(role: str, content: Json) -> Iterator[Item]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    yield from (_said(role, part) for part in parts if part.get("text") != "")


def _chat_items(messages: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for message in messages:
        if message["role"] == "tool":
            yield calls.result(message["tool_call_id"], words(message["content"]))
            continue
        if message["role"] not in ("system", "developer"):
            yield from _parts(message["role"], message.get("content"))
        for call in message.get("tool_calls") or ():
            yield calls.call(call["id"], call["function"]["name"], call["function"]["arguments"])


def _system(messages: list[Json]) -> str:
    return "".join(words(each["content"]) for each in messages if each["role"] in ("system", "developer"))


def strings(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def chat(doc: Json, path: str) -> Asked:
    form = doc.get("response_format") or {}
    return Asked(
        tuple(_chat_items(doc["messages"])),
        _system(doc["messages"]),
        tuple(function(tool["function"]) for tool in doc.get("tools", ())),
        strings(doc.get("stop")),
        schema(form["json_schema"]["schema"]) if form else None,
        doc.get("max_completion_tokens", doc.get("max_tokens")),
        doc.get("reasoning_effort", "none") != "none",
        doc.get("stream", False),
    )


def _response_items(items: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            yield calls.call(item["call_id"], item["name"], item["arguments"])
        elif kind == "function_call_output":
            yield calls.result(item["call_id"], words(item["output"]))
        elif item["role"] not in ("system", "developer"):
            yield from _parts(item["role"], item["content"])


def responses(doc: Json, path: str) -> Asked:
    given = doc["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    roles = [each for each in items if "role" in each]
    form = (doc.get("text") or {}).get("format") or {}
    return Asked(
        tuple(_response_items(items)),
        (doc.get("instructions") or "") + _system(roles),
        tuple(function(tool) for tool in doc.get("tools", ())),
        (),
        schema(form["schema"]) if form else None,
        doc.get("max_output_tokens"),
        (doc.get("reasoning") or {}).get("effort", "none") != "none",
        doc.get("stream", False),
    )


def _ollama_items(messages: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for message in messages:
        role = message["role"]
        if role == "tool":
            yield calls.result(message.get("tool_call_id", ""), message["content"])
            continue
        if role != "system" and message["content"]:
            yield (role, "text", message["content"])
        yield from ((role, "image", image) for image in message.get("images", ()))
        for call in message.get("tool_calls", ()):
            yield calls.call(call.get("id", ""), call["function"]["name"], call["function"]["arguments"])


def ollama(doc: Json, path: str) -> Asked:
    options = doc.get("options") or {}
    return Asked(
        tuple(_ollama_items(doc["messages"])),
        _system(doc["messages"]),
        tuple(function(tool["function"]) for tool in doc.get("tools", ())),
        strings(options.get("stop")),
        schema(doc.get("format")),
        options.get("num_predict"),
        bool(doc.get("think")),
        doc["stream"],
    )


def cohere(doc: Json, path: str) -> Asked:
    form = doc.get("response_format") or {}
    return Asked(
        tuple(_chat_items(doc["messages"])),
        _system(doc["messages"]),
        tuple(function(tool["function"]) for tool in doc.get("tools", ())),
        strings(doc.get("stop_sequences")),
        schema(form.get("json_schema")),
        doc.get("max_tokens"),
        (doc.get("thinking") or {}).get("type") == "enabled",
        doc.get("stream", False),
    )
