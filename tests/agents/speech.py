"""A turn of the script as each upstream's API says it, whole or as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.agents.script import Turn
from tests.matrix.fixture_openai import pieces

Json = Any


@dataclass(frozen=True, slots=True)
class Said:
    """One call as its upstream says it; ``custom``: ``arguments`` is plain text."""

    id: str
    name: str
    arguments: Json
    custom: bool = False

    @property
    def text(self) -> str:
        return self.arguments if self.custom else json.dumps(self.arguments)


#: Upstreams of whose calls none has an id.
NAMELESS = ("generate", "ollama")
IDS = {"chat": "call_", "responses": "call_", "messages": "toolu_01", "converse": "tooluse_", "cohere": "get_"}


def said(upstream: str, turn: Turn, names: dict[str, str]) -> list[Said]:
    """``names`` has the upstream's name of each tool."""
    prefix = IDS.get(upstream, "")
    return [
        Said(f"{prefix}{turn.number}x{at}" if prefix else "", names[call.name], call.arguments)
        for at, call in enumerate(turn.calls)
    ]


# ---------------------------------------------------------------- chat completions


def _chat_call(call: Said) -> Json:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}


def chat(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    finish = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 17, "completion_tokens": 9, "total_tokens": 26}
    head = {"id": f"chatcmpl-{turn.number}", "created": 1, "model": "gpt-x"}
    if not stream:
        message: Json = {"role": "assistant", "content": turn.text or None, "refusal": None}
        message |= {"reasoning_content": turn.thinking} if turn.thinking else {}
        message |= {"tool_calls": [_chat_call(call) for call in calls]} if calls else {}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return [head | {"object": "chat.completion", "choices": [choice], "usage": usage}]
    head["object"] = "chat.completion.chunk"
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in pieces(turn.thinking)]
    deltas += [{"content": piece} for piece in pieces(turn.text)]
    for index, call in enumerate(calls):
        whole = _chat_call(call)
        kind = whole["type"]
        member = "input" if call.custom else "arguments"
        deltas.append({"tool_calls": [{**whole, "index": index, kind: {"name": call.name, member: ""}}]})
        deltas += [{"tool_calls": [{"index": index, kind: {member: piece}}]} for piece in pieces(call.text)]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    return [head | {"choices": [choice]} for choice in choices] + [head | {"choices": [], "usage": usage}]


# ---------------------------------------------------------------- responses


def _items(turn: Turn, calls: list[Said]) -> Iterator[Json]:
    number = turn.number
    if turn.thinking:
        told = {"type": "reasoning", "summary": [{"type": "summary_text", "text": turn.thinking}]}
        yield {"id": f"rs_{number}", **told, "encrypted_content": turn.signature}
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
        yield {"id": f"msg_{number}"} | message
    for at, call in enumerate(calls):
        item = {"type": "custom_tool_call" if call.custom else "function_call", "status": "completed"}
        item |= {"call_id": call.id, "name": call.name, "input" if call.custom else "arguments": call.text}
        yield {"id": f"{'ctc' if call.custom else 'fc'}_{number}x{at}"} | item


def responses(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    usage: Json = {"input_tokens": 17, "output_tokens": 9, "total_tokens": 26}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    whole: Json = {
        "id": f"resp_{turn.number}", "object": "response", "created_at": 1, "status": "completed", "error": None,
        "model": "gpt-x", "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1.0,
        "output": list(_items(turn, calls)), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "usage": usage,
    }  # fmt: skip
    if not stream:
        return [whole]
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        events += [event | {"output_index": index} for event in _item(item)]
    events.append({"type": "response.completed", "response": whole})
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


#: Kind of item -> its member that streams, and the events' name for that.
STREAMED = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
}


def _item(item: Json) -> Iterator[Json]:
    place = {"item_id": item["id"]}
    if item["type"] in STREAMED:
        member, name = STREAMED[item["type"]]
        yield {"type": "response.output_item.added", "item": item | {member: "", "status": "in_progress"}}
        yield from ({"type": f"response.{name}.delta", "delta": piece} | place for piece in pieces(item[member]))
        yield {"type": f"response.{name}.done", member: item[member]} | place
    else:
        member = "summary" if item["type"] == "reasoning" else "content"
        yield {"type": "response.output_item.added", "item": item | {member: []}}
        yield from (event | place for event in _part(item[member][0]))
    yield {"type": "response.output_item.done", "item": item}


def _part(part: Json) -> Iterator[Json]:
    summary = part["type"] == "summary_text"
    name, holder = ("reasoning_summary_text", "reasoning_summary_part") if summary else ("output_text", "content_part")
    place = {"summary_index" if summary else "content_index": 0}
    more: Json = {} if summary else {"logprobs": []}
    yield {"type": f"response.{holder}.added", "part": part | {"text": ""}} | place
    yield from ({"type": f"response.{name}.delta", "delta": piece} | more | place for piece in pieces(part["text"]))
    yield {"type": f"response.{name}.done", "text": part["text"]} | more | place
    yield {"type": f"response.{holder}.done", "part": part} | place


# ---------------------------------------------------------------- Anthropic


def _blocks(turn: Turn, calls: list[Said]) -> list[Json]:
    blocks: list[Json] = []
    if turn.thinking:
        blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": turn.signature})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    return blocks + [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in calls]


def messages(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    ending = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    head = {"id": f"msg_{turn.number}", "type": "message", "role": "assistant", "model": "claude-x"}
    usage = {"input_tokens": 17, "output_tokens": 9}
    blocks = _blocks(turn, calls)
    if not stream:
        return [head | {"content": blocks, **ending, "usage": usage}]
    begun: Json = head | {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": 1},
    }
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(blocks):
        empty: Json = {name: "" for name in ("thinking", "signature", "text") if name in block}
        empty |= {"input": {}} if "input" in block else {}
        events.append({"type": "content_block_start", "index": index, "content_block": block | empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in _deltas(block)]
        events.append({"type": "content_block_stop", "index": index})
    return [
        *events,
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


def _deltas(block: Json) -> list[Json]:
    if block["type"] == "text":
        return [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    if block["type"] == "tool_use":
        told = pieces(json.dumps(block["input"])) if block["input"] else [""]  # no arguments are no JSON at all
        return [{"type": "input_json_delta", "partial_json": piece} for piece in told]
    thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
    return [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]


Speech = Callable[[Turn, list[Said], bool], list[Json]]
