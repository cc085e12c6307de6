"""Replies of the other vendors' APIs, in the shapes that they document."""

from __future__ import annotations

import json
from typing import Any

from tests.matrix.fixture_openai import pieces
from tests.matrix.meaning import Told

Json = Any


def used(told: Told, given: str, made: str) -> Json:
    assert told.tokens is not None
    return {given: told.tokens.input_tokens, made: told.tokens.output_tokens}


# ---------------------------------------------------------------- Anthropic


def messages(told: Told) -> Json:
    blocks: list[Json] = []
    if told.thinking:
        blocks.append({"type": "thinking", "thinking": told.thinking, "signature": "EqQB"})
    if told.text:
        blocks.append({"type": "text", "text": told.text})
    for n, (name, given) in enumerate(told.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": given})
    stop = "six" if told.native == "stop_sequence" else None
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": blocks}
    usage = used(told, "input_tokens", "output_tokens")
    return head | {"stop_reason": told.native, "stop_sequence": stop, "usage": usage}


def messages_stream(told: Told) -> list[Json]:
    whole = messages(told)
    ending = {name: whole[name] for name in ("stop_reason", "stop_sequence")}
    begun = whole | {"content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = whole["usage"] | {"output_tokens": 1}
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(whole["content"]):
        empty = block | {name: {} if name == "input" else "" for name in block if name not in ("type", "id", "name")}
        deltas = _deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    return [*events, {"type": "message_delta", "delta": ending, "usage": usage}, {"type": "message_stop"}]


def _deltas(block: Json) -> list[Json]:
    if block["type"] == "text":
        return [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    if block["type"] == "tool_use":
        return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(json.dumps(block["input"]))]
    thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
    return [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]


# ---------------------------------------------------------------- Gemini


def _candidate(parts: list[Json], finish: str = "") -> Json:
    told = {"finishReason": finish} if finish else {}
    return {"content": {"role": "model", "parts": parts}, "index": 0} | told


def generate(told: Told) -> Json:
    parts: list[Json] = [{"text": told.thinking, "thought": True}] if told.thinking else []
    parts += [{"text": told.text}] if told.text else []
    parts += [{"functionCall": {"name": name, "args": given}} for name, given in told.calls]
    usage = used(told, "promptTokenCount", "candidatesTokenCount")
    return {"candidates": [_candidate(parts, told.native)], "usageMetadata": usage, "modelVersion": "gemini-x"}


def generate_stream(told: Told) -> list[Json]:
    parts: list[Json] = [{"text": piece, "thought": True} for piece in pieces(told.thinking)]
    parts += [{"text": piece} for piece in pieces(told.text)]
    parts += [{"functionCall": {"name": name, "args": given}} for name, given in told.calls]
    usage = used(told, "promptTokenCount", "candidatesTokenCount")
    chunks = [{"candidates": [_candidate([part])], "modelVersion": "gemini-x"} for part in parts]
    return [*chunks, {"candidates": [_candidate([{"text": ""}], told.native)], "usageMetadata": usage}]


# ---------------------------------------------------------------- Ollama


def _line(message: Json, **more: Any) -> Json:
    head = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
    return head | {"message": {"role": "assistant", "content": "", **message}, "done": False, **more}


def _done(told: Told) -> Json:
    return {"done": True, "done_reason": told.native} | used(told, "prompt_eval_count", "eval_count")


def _functions(told: Told) -> list[Json]:
    return [{"function": {"name": name, "arguments": given}} for name, given in told.calls]


def ollama(told: Told) -> Json:
    message: Json = {"content": told.text}
    message |= {"thinking": told.thinking} if told.thinking else {}
    message |= {"tool_calls": _functions(told)} if told.calls else {}
    return _line(message, **_done(told))


def ollama_stream(told: Told) -> list[Json]:
    lines = [_line({"thinking": piece}) for piece in pieces(told.thinking)]
    lines += [_line({"content": piece}) for piece in pieces(told.text)]
    lines += [_line({"tool_calls": [call]}) for call in _functions(told)]
    return [*lines, _line({}, **_done(told))]


# ---------------------------------------------------------------- Bedrock


def converse(told: Told) -> Json:
    blocks: list[Json] = []
    if told.thinking:
        blocks.append({"reasoningContent": {"reasoningText": {"text": told.thinking, "signature": "EqQB"}}})
    if told.text:
        blocks.append({"text": told.text})
    for n, (name, given) in enumerate(told.calls):
        blocks.append({"toolUse": {"toolUseId": f"tooluse_{n}", "name": name, "input": given}})
    usage = used(told, "inputTokens", "outputTokens")
    return {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": told.native, "usage": usage}


def converse_stream(told: Told) -> list[Json]:
    whole = converse(told)
    events: list[Json] = [{"messageStart": {"role": "assistant"}}]
    for index, block in enumerate(whole["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if call := block.get("toolUse"):
            start = {"toolUse": {name: call[name] for name in ("toolUseId", "name")}}
            events.append({"contentBlockStart": {"start": start} | place})
        events += [{"contentBlockDelta": {"delta": delta} | place} for delta in _block_deltas(block)]
        events.append({"contentBlockStop": place})
    return [*events, {"messageStop": {"stopReason": told.native}}, {"metadata": {"usage": whole["usage"]}}]


def _block_deltas(block: Json) -> list[Json]:
    if "text" in block:
        return [{"text": piece} for piece in pieces(block["text"])]
    if "toolUse" in block:
        return [{"toolUse": {"input": piece}} for piece in pieces(json.dumps(block["toolUse"]["input"]))]
    thought = block["reasoningContent"]["reasoningText"]
    deltas = [{"reasoningContent": {"text": piece}} for piece in pieces(thought["text"])]
    return [*deltas, {"reasoningContent": {"signature": thought["signature"]}}]


# ---------------------------------------------------------------- Cohere


def _cohere_calls(told: Told) -> list[Json]:
    return [
        {"id": f"{name}_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for n, (name, given) in enumerate(told.calls)
    ]


def _cohere_end(told: Told) -> Json:
    counts = used(told, "input_tokens", "output_tokens")
    return {"finish_reason": told.native, "usage": {"billed_units": counts, "tokens": counts}}


def cohere(told: Told) -> Json:
    parts: list[Json] = [{"type": "thinking", "thinking": told.thinking}] if told.thinking else []
    parts += [{"type": "text", "text": told.text}] if told.text else []
    message: Json = {"role": "assistant"} | ({"content": parts} if parts else {})
    message |= {"tool_calls": _cohere_calls(told)} if told.calls else {}
    return {"id": "1", "message": message} | _cohere_end(told)


def cohere_stream(told: Told) -> list[Json]:
    events: list[Json] = [{"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}]
    for kind, text in (("thinking", told.thinking), ("text", told.text)):
        if text:
            events.append(_content("content-start", {"type": kind, kind: ""}))
            events += [_content("content-delta", {kind: piece}) for piece in pieces(text)]
            events.append({"type": "content-end", "index": 0})
    for index, call in enumerate(_cohere_calls(told)):
        function = call["function"]
        start = call | {"function": {"name": function["name"], "arguments": ""}}
        events.append(_calling("tool-call-start", index, start))
        for piece in pieces(function["arguments"]):
            events.append(_calling("tool-call-delta", index, {"function": {"arguments": piece}}))
        events.append({"type": "tool-call-end", "index": index})
    return [*events, {"type": "message-end", "delta": _cohere_end(told)}]


def _content(kind: str, content: Json) -> Json:
    return {"type": kind, "index": 0, "delta": {"message": {"content": content}}}


def _calling(kind: str, index: int, call: Json) -> Json:
    return {"type": kind, "index": index, "delta": {"message": {"tool_calls": call}}}
