"""A request in the words of each client's official SDK: the arguments of its method."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from google.genai import types

from tests.matrix.meaning import Asked, Function, Item

Json = dict[str, Any]
MODEL = "m"
BUDGET = 2048


def numbered(items: tuple[Item, ...]) -> Iterator[tuple[str, Item]]:
    """Each item with the id of its call: results answer the calls in their order."""
    calls = results = 0
    for item in items:
        calls += item[1] == "call"
        results += item[1] == "result"
        yield f"call_{calls if item[1] == 'call' else results}", item


def turns(items: tuple[Item, ...]) -> list[tuple[str, list[tuple[str, Item]]]]:
    return [(role, list(group)) for role, group in groupby(numbered(items), key=lambda pair: pair[1][0])]


def schema_of(tool: Function) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": tool.schema}


def chat(asked: Asked) -> Json:
    given: Json = {"model": MODEL, "max_completion_tokens": asked.max_tokens, "messages": list(_chat_messages(asked))}
    if asked.tools:
        given["tools"] = [{"type": "function", "function": schema_of(tool)} for tool in asked.tools]
    if asked.stop:
        given["stop"] = list(asked.stop)
    if asked.schema:
        form = {"name": "place", "schema": asked.schema, "strict": True}
        given["response_format"] = {"type": "json_schema", "json_schema": form}
    if asked.thinks:
        given["reasoning_effort"] = "medium"
    if asked.stream:
        given |= {"stream": True, "stream_options": {"include_usage": True}}
    return given


def _chat_messages(asked: Asked) -> Iterator[Json]:
    if asked.system:
        yield {"role": "system", "content": asked.system}
    for role, group in turns(asked.items):
        calls = [(call_id, item) for call_id, item in group if item[1] == "call"]
        if role == "tool":
            yield from ({"role": "tool", "tool_call_id": call_id, "content": item[4]} for call_id, item in group)
        elif calls:
            made = [
                {"id": call_id, "type": "function", "function": {"name": i[2], "arguments": i[3]}}
                for call_id, i in calls
            ]
            yield {"role": "assistant", "content": None, "tool_calls": made}
        else:
            yield {"role": role, "content": [_chat_part(item) for _, item in group]}


def _chat_part(item: Item) -> Json:
    if item[1] == "image":
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{item[2]}"}}
    if item[1] == "pdf":
        data = f"data:application/pdf;base64,{item[2]}"
        return {"type": "file", "file": {"filename": "paper.pdf", "file_data": data}}
    return {"type": "text", "text": item[2]}


def responses(asked: Asked) -> Json:
    given: Json = {"model": MODEL, "max_output_tokens": asked.max_tokens, "input": list(_items(asked))}
    if asked.system:
        given["instructions"] = asked.system
    if asked.tools:
        given["tools"] = [{"type": "function", "strict": False} | schema_of(tool) for tool in asked.tools]
    if asked.schema:
        form = {"type": "json_schema", "name": "place", "schema": asked.schema, "strict": True}
        given["text"] = {"format": form}
    if asked.thinks:
        given["reasoning"] = {"effort": "medium", "summary": "auto"}
    return given | ({"stream": True} if asked.stream else {})


def _items(asked: Asked) -> Iterator[Json]:
    for role, group in turns(asked.items):
        if role == "user":
            yield {"role": "user", "content": [_input_part(item) for _, item in group]}
            continue
        for call_id, item in group:
            if item[1] == "call":
                yield {"type": "function_call", "call_id": call_id, "name": item[2], "arguments": item[3]}
            elif item[1] == "result":
                yield {"type": "function_call_output", "call_id": call_id, "output": item[4]}
            else:
                yield {"role": "assistant", "content": item[2]}


def _input_part(item: Item) -> Json:
    if item[1] == "image":
        return {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{item[2]}"}
    if item[1] == "pdf":
        data = f"data:application/pdf;base64,{item[2]}"
        return {"type": "input_file", "filename": "paper.pdf", "file_data": data}
    return {"type": "input_text", "text": item[2]}


def messages(asked: Asked) -> Json:
    """``stream`` is a method of its own."""
    turned = [
        {
            "role": "assistant" if role == "assistant" else "user",
            "content": [_block(call_id, item) for call_id, item in group],
        }
        for role, group in turns(asked.items)
    ]
    given: Json = {"model": MODEL, "max_tokens": asked.max_tokens, "messages": turned}
    if asked.system:
        given["system"] = asked.system
    if asked.tools:
        given["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in asked.tools
        ]
    if asked.stop:
        given["stop_sequences"] = list(asked.stop)
    if asked.schema:
        given["output_config"] = {"format": {"type": "json_schema", "schema": asked.schema}}
    if asked.thinks:
        given["thinking"] = {"type": "enabled", "budget_tokens": BUDGET}
    return given


def _block(call_id: str, item: Item) -> Json:
    if item[1] == "call":
        return {"type": "tool_use", "id": call_id, "name": item[2], "input": json.loads(item[3])}
    if item[1] == "result":
        return {"type": "tool_result", "tool_use_id": call_id, "content": item[4]}
    if item[1] == "text":
        return {"type": "text", "text": item[2]}
    kind, media = {"image": ("image", "image/png"), "pdf": ("document", "application/pdf")}[item[1]]
    return {"type": kind, "source": {"type": "base64", "media_type": media, "data": item[2]}}


def generate(asked: Asked) -> Json:
    """Its calls and results bear no ids, as Gemini's own do not; ``stream`` is a method of its own."""
    contents = [
        types.Content(role="model" if role == "assistant" else "user", parts=[_part(item) for _, item in group])
        for role, group in turns(asked.items)
    ]
    config: Json = {"max_output_tokens": asked.max_tokens}
    if asked.system:
        config["system_instruction"] = asked.system
    if asked.tools:
        made = [
            {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.schema}
            for tool in asked.tools
        ]
        config["tools"] = [{"function_declarations": made}]
    if asked.stop:
        config["stop_sequences"] = list(asked.stop)
    if asked.schema:
        config |= {"response_mime_type": "application/json", "response_json_schema": asked.schema}
    if asked.thinks:
        config["thinking_config"] = {"thinking_budget": BUDGET, "include_thoughts": True}
    return {"model": MODEL, "contents": contents, "config": types.GenerateContentConfig(**config)}


def _part(item: Item) -> types.Part:
    if item[1] == "call":
        return types.Part(function_call=types.FunctionCall(name=item[2], args=json.loads(item[3])))
    if item[1] == "result":
        return types.Part(function_response=types.FunctionResponse(name=item[2], response={"result": item[4]}))
    if item[1] == "text":
        return types.Part(text=item[2])
    media = {"image": "image/png", "pdf": "application/pdf"}[item[1]]
    return types.Part.from_bytes(data=base64.b64decode(item[2]), mime_type=media)
