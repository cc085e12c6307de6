"""Replies of OpenAI's two APIs, in the shapes of their documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.matrix.meaning import Told

Json = Any


def pieces(text: str) -> list[str]:
    """``text`` as a stream cuts it."""
    cut = max(1, len(text) // 3)
    return [text[at : at + cut] for at in range(0, len(text), cut)]


def _usage(told: Told) -> Json:
    assert told.tokens is not None
    given, made = told.tokens[:2]
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _calls(told: Told) -> list[Json]:
    return [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for n, (name, given) in enumerate(told.calls)
    ]


def chat(told: Told) -> Json:
    message: Json = {"role": "assistant", "content": told.text or None, "refusal": told.refusal or None}
    message |= {"tool_calls": _calls(told)} if told.calls else {}
    message |= {"reasoning_content": told.thinking} if told.thinking else {}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": told.native}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x"}
    return head | {"choices": [choice], "usage": _usage(told)}


def chat_stream(told: Told) -> list[Json]:
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces(told.thinking)]
    deltas += [{"content": piece} for piece in pieces(told.text)] + [{"refusal": p} for p in pieces(told.refusal)]
    for index, call in enumerate(_calls(told)):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {"name": name, "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces(arguments)]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": told.native})
    return [head | {"choices": [choice]} for choice in choices] + [head | {"choices": [], "usage": _usage(told)}]


def _items(told: Told) -> Iterator[Json]:
    if told.thinking:
        yield {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": told.thinking}]}
    if told.text or told.refusal:
        part = {"type": "output_text", "text": told.text, "annotations": [], "logprobs": []}
        part = part if told.text else {"type": "refusal", "refusal": told.refusal}
        status = "incomplete" if told.finish == "length" else "completed"
        yield {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part]}
    for n, (name, given) in enumerate(told.calls):
        call = {"id": f"fc_{n}", "type": "function_call", "status": "completed", "call_id": f"call_{n}"}
        yield call | {"name": name, "arguments": json.dumps(given)}


def responses(told: Told) -> Json:
    assert told.tokens is not None
    status, _, reason = told.native.partition(": ")
    given, made = told.tokens[:2]
    usage: Json = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None, "model": "gpt-x",
        "incomplete_details": {"reason": reason} if reason else None, "instructions": None, "metadata": {},
        "output": list(_items(told)), "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "usage": usage,
    }  # fmt: skip


def responses_stream(told: Told) -> list[Json]:
    whole = responses(told)
    begun = whole | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[Json] = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        events += [event | {"output_index": index} for event in _item(item)]
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def _item(item: Json) -> Iterator[Json]:
    place = {"item_id": item["id"]}
    if item["type"] == "function_call":
        yield {"type": "response.output_item.added", "item": item | {"arguments": "", "status": "in_progress"}}
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "delta": piece} | place
        told = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done"} | told | place
    else:
        member = "summary" if item["type"] == "reasoning" else "content"
        yield {"type": "response.output_item.added", "item": item | {member: []}}
        yield from (event | place for event in _part(item[member][0]))
    yield {"type": "response.output_item.done", "item": item}


def _part(part: Json) -> Iterator[Json]:
    kind = part["type"]
    name = {"refusal": "refusal", "summary_text": "reasoning_summary_text"}.get(kind, kind)
    holder = "reasoning_summary_part" if kind == "summary_text" else "content_part"
    member = "refusal" if kind == "refusal" else "text"
    place = {"summary_index" if kind == "summary_text" else "content_index": 0}
    more: Json = {"logprobs": []} if kind == "output_text" else {}
    yield {"type": f"response.{holder}.added", "part": part | {member: ""}} | place
    for piece in pieces(part[member]):
        yield {"type": f"response.{name}.delta", "delta": piece} | more | place
    yield {"type": f"response.{name}.done", member: part[member]} | more | place
    yield {"type": f"response.{holder}.done", "part": part} | place
