"""A turn of the script as Gemini, Ollama, Bedrock and Cohere say it."""

from __future__ import annotations

import json
from typing import Any

from tests.agents import speech
from tests.agents.script import Turn
from tests.agents.speech import Said, Speech
from tests.matrix.fixture_openai import pieces

Json = Any


# ---------------------------------------------------------------- Gemini


def generate(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    """Only the first of parallel calls is signed, and always."""
    cut = pieces if stream else lambda text: [text] if text else []
    parts: list[Json] = [{"text": piece, "thought": True} for piece in cut(turn.thinking)]
    parts += [{"text": piece} for piece in cut(turn.text)]
    for at, call in enumerate(calls):
        signed = {} if at else {"thoughtSignature": turn.signature}
        parts.append({"functionCall": {"name": call.name, "args": call.arguments}} | signed)
    usage = {"promptTokenCount": 17, "candidatesTokenCount": 9}
    end = {"finishReason": "STOP", "index": 0}
    told = {"usageMetadata": usage, "modelVersion": "gemini-x", "responseId": f"gem-{turn.number}"}
    if not stream:
        return [{"candidates": [{"content": {"role": "model", "parts": parts}} | end]} | told]
    contents = [{"role": "model", "parts": [part]} for part in parts]
    docs: list[Json] = [
        {"candidates": [{"content": content, "index": 0}], "modelVersion": "gemini-x"} for content in contents
    ]
    return [*docs, {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}} | end]} | told]


# ---------------------------------------------------------------- Ollama


def ollama(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    head = {"model": "qwen", "created_at": "2026-01-01T00:00:00Z"}
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": 17, "eval_count": 9}
    made = [{"function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    if not stream:
        message: Json = {"role": "assistant", "content": turn.text}
        message |= {"thinking": turn.thinking} if turn.thinking else {}
        message |= {"tool_calls": made} if made else {}
        return [head | {"message": message} | end]
    deltas: list[Json] = [{"thinking": piece} for piece in pieces(turn.thinking)]
    deltas += [{"content": piece} for piece in pieces(turn.text)]
    deltas += [{"tool_calls": [call]} for call in made]
    lines = [head | {"message": {"role": "assistant", "content": ""} | delta, "done": False} for delta in deltas]
    return [*lines, head | {"message": {"role": "assistant", "content": ""}} | end]


# ---------------------------------------------------------------- Bedrock


def _blocks(turn: Turn, calls: list[Said]) -> list[Json]:
    blocks: list[Json] = []
    if turn.thinking:
        told = {"text": turn.thinking, "signature": turn.signature}
        blocks.append({"reasoningContent": {"reasoningText": told}})
    if turn.text:
        blocks.append({"text": turn.text})
    return blocks + [{"toolUse": {"toolUseId": c.id, "name": c.name, "input": c.arguments}} for c in calls]


def converse(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    blocks, stop = _blocks(turn, calls), "tool_use" if calls else "end_turn"
    usage = {"inputTokens": 17, "outputTokens": 9, "totalTokens": 26}
    if not stream:
        message = {"role": "assistant", "content": blocks}
        return [{"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}}]
    events: list[Json] = [{"messageStart": {"role": "assistant"}}]
    for index, block in enumerate(blocks):
        place = {"contentBlockIndex": index}
        if call := block.get("toolUse"):
            start = {"toolUse": {name: call[name] for name in ("toolUseId", "name")}}
            events.append({"contentBlockStart": {"start": start} | place})
        events += [{"contentBlockDelta": {"delta": delta} | place} for delta in _deltas(block)]
        events.append({"contentBlockStop": place})
    return [*events, {"messageStop": {"stopReason": stop}}, {"metadata": {"usage": usage}}]


def _deltas(block: Json) -> list[Json]:
    if "text" in block:
        return [{"text": piece} for piece in pieces(block["text"])]
    if "toolUse" in block:
        given = block["toolUse"]["input"]
        return [{"toolUse": {"input": piece}} for piece in (pieces(json.dumps(given)) if given else [""])]
    thought = block["reasoningContent"]["reasoningText"]
    deltas = [{"reasoningContent": {"text": piece}} for piece in pieces(thought["text"])]
    return [*deltas, {"reasoningContent": {"signature": thought["signature"]}}]


# ---------------------------------------------------------------- Cohere


def cohere(turn: Turn, calls: list[Said], stream: bool) -> list[Json]:
    made: list[Json] = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.text}} for c in calls
    ]
    counts = {"input_tokens": 17, "output_tokens": 9}
    end = {"finish_reason": "TOOL_CALL" if calls else "COMPLETE", "usage": {"billed_units": counts, "tokens": counts}}
    texts = [(kind, text) for kind, text in (("thinking", turn.thinking), ("text", turn.text)) if text]
    if not stream:
        message: Json = {"role": "assistant"}
        message |= {"content": [{"type": kind, kind: text} for kind, text in texts]} if texts else {}
        message |= {"tool_calls": made} if made else {}
        return [{"id": str(turn.number), "message": message} | end]
    start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    events: list[Json] = [{"type": "message-start", "id": str(turn.number), "delta": start}]
    for index, (kind, text) in enumerate(texts):
        events.append(_content("content-start", index, {"type": kind, kind: ""}))
        events += [_content("content-delta", index, {kind: piece}) for piece in pieces(text)]
        events.append({"type": "content-end", "index": index})
    for index, call in enumerate(made):
        empty = {"function": {"name": call["function"]["name"], "arguments": ""}}
        events.append(_calling("tool-call-start", index, call | empty))
        for piece in pieces(call["function"]["arguments"]):
            events.append(_calling("tool-call-delta", index, {"function": {"arguments": piece}}))
        events.append({"type": "tool-call-end", "index": index})
    return [*events, {"type": "message-end", "delta": end}]


def _content(kind: str, index: int, content: Json) -> Json:
    return {"type": kind, "index": index, "delta": {"message": {"content": content}}}


def _calling(kind: str, index: int, call: Json) -> Json:
    return {"type": kind, "index": index, "delta": {"message": {"tool_calls": call}}}


SPEECH: dict[str, Speech] = {
    "chat": speech.chat,
    "responses": speech.responses,
    "messages": speech.messages,
    "generate": generate,
    "ollama": ollama,
    "converse": converse,
    "cohere": cohere,
}
