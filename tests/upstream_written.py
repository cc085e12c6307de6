"""A reply of some text and perhaps one call, as each upstream writes it, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from providers.chat import Chat
from providers.dialects import CLIENTS
from providers.events import Event, Finished, Started, TextDelta, ToolDelta, ToolStarted, Used
from providers.usage import Usage
from tests.dialect_shapes import Sse, split

Doc = dict[str, Any]


def _events(upstream: str, texts: list[str], call: str) -> list[Event]:
    found: list[Event] = [Started("id", "m", 1, upstream), *(TextDelta(text) for text in texts)]
    if call:
        found += [ToolStarted(0, "c1", call), ToolDelta(0, "{}")]
    return [*found, Finished("tool_calls" if call else "stop"), Used(Usage(10, len(texts)))]


def whole(upstream: str, texts: list[str], call: str = "") -> Doc:
    text = "".join(texts)
    if upstream == "ollama":
        calls: list[Doc] = [{"id": "c1", "function": {"name": call, "arguments": {}}}] if call else []
        message = {"role": "assistant", "content": text, "tool_calls": calls}
        return {"model": "m", "message": message, "done": True, "prompt_eval_count": 10, "eval_count": len(texts)}
    if upstream == "cohere":
        calls = [{"id": "c1", "type": "function", "function": {"name": call, "arguments": "{}"}}] if call else []
        content = [{"type": "text", "text": text}] if text else []
        end = "TOOL_CALL" if call else "COMPLETE"
        return {"id": "id", "finish_reason": end, "message": {"content": content, "tool_calls": calls}}
    if upstream == "bedrock":
        blocks: list[Doc] = ([{"text": text}] if text else []) + (
            [{"toolUse": {"toolUseId": "c1", "name": call, "input": {}}}] if call else []
        )
        end = "tool_use" if call else "end_turn"
        return {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": end}
    return CLIENTS[upstream].write_response(_events(upstream, texts, call), Chat(upstream, "m", []))


def streamed(upstream: str, texts: list[str], call: str = "") -> list[Sse]:
    """The events of a stream, a piece of text in each."""
    if upstream == "ollama":
        pieces = [{"model": "m", "message": {"role": "assistant", "content": text}, "done": False} for text in texts]
        return [Sse("", json.dumps(doc).encode()) for doc in [*pieces, whole("ollama", [], call)]]
    if upstream == "cohere":
        return [Sse(doc["type"], json.dumps(doc).encode()) for doc in _of_cohere(texts, call)]
    if upstream == "bedrock":
        return [Sse(kind, json.dumps(doc).encode()) for kind, doc in _of_bedrock(texts, call)]
    writer = CLIENTS[upstream].StreamWriter(Chat(upstream, "m", [], stream_usage=True))
    written = b"".join(writer.feed(event) for event in _events(upstream, texts, call)) + writer.flush()
    return split(written)


def _of_cohere(texts: list[str], call: str) -> list[Doc]:
    def delta(kind: str, **message: Any) -> Doc:
        return {"type": kind, "index": 0, "delta": {"message": message}}

    found: list[Doc] = [{"type": "message-start", "id": "id", "delta": {"message": {"role": "assistant"}}}]
    found.append(delta("content-start", content={"type": "text", "text": ""}))
    found += [delta("content-delta", content={"text": text}) for text in texts]
    found.append({"type": "content-end", "index": 0})
    if call:
        function = {"name": call, "arguments": "{}"}
        found.append(delta("tool-call-start", tool_calls={"id": "c1", "type": "function", "function": function}))
    usage = {"billed_units": {"input_tokens": 10, "output_tokens": len(texts)}}
    end: Doc = {"finish_reason": "TOOL_CALL" if call else "COMPLETE", "usage": usage}
    return [*found, {"type": "message-end", "delta": end}]


def _of_bedrock(texts: list[str], call: str) -> list[tuple[str, Doc]]:
    found: list[tuple[str, Doc]] = [("messageStart", {"role": "assistant"})]
    found += [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}) for text in texts]
    found.append(("contentBlockStop", {"contentBlockIndex": 0}))
    if call:
        start = {"toolUse": {"toolUseId": "c1", "name": call}}
        found.append(("contentBlockStart", {"contentBlockIndex": 1, "start": start}))
        found.append(("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}))
    usage = {"inputTokens": 10, "outputTokens": len(texts), "totalTokens": 10 + len(texts)}
    end = {"stopReason": "tool_use" if call else "end_turn"}
    return [*found, ("messageStop", end), ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})]
