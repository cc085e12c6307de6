"""What a request to Anthropic's, Google's and Amazon's API asks: the tests' own reading of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.matrix.meaning import Asked, Item
from tests.matrix.seen_openai import Calls, data_url, function, schema, strings, words

Json = Any


def _blocks(messages: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for message in messages:
        content = message["content"]
        found: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in found:
            if block["type"] == "tool_use":
                yield calls.call(block["id"], block["name"], block["input"])
            elif block["type"] == "tool_result":
                yield calls.result(block["tool_use_id"], words(block["content"]))
            elif block["type"] == "text":
                yield (message["role"], "text", block["text"])
            else:
                source = block["source"]
                yield (message["role"], *data_url(f"data:{source['media_type']};base64,{source['data']}"))


def messages(doc: Json, path: str) -> Asked:
    form = (doc.get("output_config") or {}).get("format") or {}
    return Asked(
        tuple(_blocks(doc["messages"])),
        words(doc.get("system")),
        tuple(function(tool, "input_schema") for tool in doc.get("tools", ())),
        strings(doc.get("stop_sequences")),
        schema(form["schema"]) if form else None,
        doc["max_tokens"],
        (doc.get("thinking") or {}).get("type", "disabled") != "disabled",
        doc.get("stream", False),
    )


#: Members whose names are the client's own.
OWN = ("parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "args", "response")


def camel(value: Json) -> Json:
    """Google's SDK writes some names in snake case, which the API takes as well."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {name: name[:1] + "".join(map(str.title, name.split("_")))[1:] if "_" in name else name for name in value}
    return {names[name]: each if names[name] in OWN else camel(each) for name, each in value.items()}


def _contents(contents: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for content in contents:
        role = {"model": "assistant"}.get(content.get("role", "user"), "user")
        for part in content["parts"]:
            if call := part.get("functionCall"):
                yield calls.call(call.get("id", ""), call["name"], call.get("args") or {})
            elif made := part.get("functionResponse"):
                told = calls.result(made.get("id", ""), json.dumps(made["response"]))
                assert told[2] == made["name"], "the result of another function"
                yield told
            elif blob := part.get("inlineData"):
                data = blob["data"].replace("-", "+").replace("_", "/")  # the API takes both alphabets
                yield (role, *data_url(f"data:{blob['mimeType']};base64,{data}"))
            else:
                yield (role, "text", part["text"])


def generate(doc: Json, path: str) -> Asked:
    doc = camel(doc)
    config = doc.get("generationConfig") or {}
    declared = [each for tool in doc.get("tools", ()) for each in tool["functionDeclarations"]]
    thinking = config.get("thinkingConfig") or {}
    form = config.get("responseJsonSchema") or config.get("responseSchema")
    assert not form or config["responseMimeType"] == "application/json"
    return Asked(
        tuple(_contents(doc["contents"])),
        words((doc.get("systemInstruction") or {}).get("parts")),
        tuple(
            function(each, "parametersJsonSchema" if "parametersJsonSchema" in each else "parameters")
            for each in declared
        ),
        strings(config.get("stopSequences")),
        schema(form) if form else None,
        config.get("maxOutputTokens"),
        thinking.get("thinkingBudget", 0) != 0 or "thinkingLevel" in thinking,
        "streamGenerateContent" in path,
    )


def _converse_items(messages: list[Json]) -> Iterator[Item]:
    calls = Calls()
    for message in messages:
        for block in message["content"]:
            kind, value = next(iter(block.items()))
            if kind == "toolUse":
                yield calls.call(value["toolUseId"], value["name"], value["input"])
            elif kind == "toolResult":
                text = "".join(each.get("text") or json.dumps(each["json"]) for each in value["content"])
                yield calls.result(value["toolUseId"], text)
            elif kind == "text":
                yield (message["role"], "text", value)
            else:
                yield (
                    message["role"],
                    {"png": "image"}.get(value["format"], value["format"]),
                    value["source"]["bytes"],
                )


def converse(doc: Json, path: str) -> Asked:
    config, form = doc.get("inferenceConfig") or {}, (doc.get("outputConfig") or {}).get("textFormat")
    specs = [tool["toolSpec"] for tool in (doc.get("toolConfig") or {}).get("tools", ())]
    thinking = (doc.get("additionalModelRequestFields") or {}).get("thinking") or {}
    return Asked(
        tuple(_converse_items(doc["messages"])),
        words(doc.get("system")),
        tuple(function({**spec, "schema": spec["inputSchema"]["json"]}, "schema") for spec in specs),
        strings(config.get("stopSequences")),
        schema(json.loads(form["structure"]["jsonSchema"]["schema"])) if form else None,
        config.get("maxTokens"),
        thinking.get("type", "disabled") != "disabled",
        path.endswith("/converse-stream"),
    )
