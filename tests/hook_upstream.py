"""Upstreams that answer each API, whole and streamed, with the word "said"."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from tests.inprocess import sse

Doc = dict[str, Any]

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
PART = {"type": "output_text", "text": "said", "annotations": []}
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [PART]}
AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "x",
    "status": "completed",
    "output": [ITEM],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "said"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CANDIDATE = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "said"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}
HEAD = {"id": "c", "created": 1, "model": "x"}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "said"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}
OLLAMA = {"model": "x", "created_at": "2026-01-01T00:00:00Z", "response": "said", "done": True, "done_reason": "stop"}
WHOLE: dict[str, Doc] = {
    "chat/completions": HEAD
    | {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "said"}, "finish_reason": "stop"}],
        "usage": USAGE,
    },
    "completions": HEAD | {"choices": [{"index": 0, "text": "said", "finish_reason": "stop"}], "usage": USAGE},
    "responses": RESPONSE,
    "responses/compact": {"id": "resp_1", "object": "response.compaction", "output": [], "note": "said"},
    "responses/input_tokens": {"object": "response.input_tokens", "input_tokens": 1, "note": "said"},
    "responses/resp_1": RESPONSE,
    "responses/resp_1/cancel": RESPONSE,
    "responses/resp_1/input_items": {
        "object": "list",
        "data": [{"type": "message", "role": "user", "content": "said"}],
    },
    "messages": MESSAGE,
    "messages/count_tokens": {"input_tokens": 1, "note": "said"},
    "generateContent": CANDIDATE,
    "countTokens": {"totalTokens": 1, "note": "said"},
    "embedContent": {"embedding": {"values": [0.5]}, "note": "said"},
    "converse": CONVERSED,
    "embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "model": "said",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
    "moderations": {"id": "said", "model": "x", "results": []},
    "rerank": {"id": "said", "results": []},
    "images/generations": {"created": 1, "data": [{"b64_json": "QQ==", "revised_prompt": "said"}]},
    "images/edits": {"created": 1, "data": [{"b64_json": "QQ==", "revised_prompt": "said"}]},
    "images/variations": {"created": 1, "data": [{"b64_json": "QQ==", "revised_prompt": "said"}]},
    "audio/transcriptions": {"text": "said"},
    "audio/translations": {"text": "said"},
    "generate": OLLAMA | {"prompt_eval_count": 1, "eval_count": 1},
    "embed": {"model": "said", "embeddings": [[0.5]], "prompt_eval_count": 1},
}
PIECES: dict[str, list[Doc | str]] = {
    "chat/completions": [
        HEAD | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        HEAD | {"choices": [{"index": 0, "delta": {"content": "said"}, "finish_reason": None}]},
        HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        "[DONE]",
    ],
    "completions": [HEAD | {"choices": [{"index": 0, "text": "said", "finish_reason": "stop"}]}, "[DONE]"],
    "responses": [
        {"type": "response.created", "response": RESPONSE | {"output": [], "status": "in_progress"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": ITEM | {"content": [], "status": "in_progress"},
        },
        {"type": "response.content_part.added", **AT, "part": PART | {"text": ""}},
        {"type": "response.output_text.delta", **AT, "delta": "said"},
        {"type": "response.output_text.done", **AT, "text": "said"},
        {"type": "response.content_part.done", **AT, "part": PART},
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
        {"type": "response.completed", "response": RESPONSE},
    ],
    "messages": [
        {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "said"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
    "streamGenerateContent": [CANDIDATE],
    "images/generations": [{"type": "image_generation.completed", "b64_json": "QQ==", "note": "said"}],
    "images/edits": [{"type": "image_edit.completed", "b64_json": "QQ==", "note": "said"}],
    "audio/speech": [{"type": "speech.audio.delta", "audio": "QQ==", "note": "said"}, {"type": "speech.audio.done"}],
    "audio/transcriptions": [
        {"type": "transcript.text.delta", "delta": "said"},
        {"type": "transcript.text.done", "text": "said"},
    ],
}
PIECES["responses/resp_1"] = PIECES["responses"]


def place(request: httpx.Request) -> str:
    """What is called, without versions and models."""
    path = request.url.path
    if ":" in path:
        return path.rpartition(":")[2]
    return path.removeprefix("/v1/") if path.startswith("/v1/") else path.rpartition("/")[2]


def answer(request: httpx.Request) -> httpx.Response:
    where, asked = place(request), request.content
    streams = (
        b'"stream":true' in asked.replace(b" ", b"")
        or b'"stream_format"' in asked
        or b'name="stream"' in asked
        or b"stream=true" in request.url.query
        or where in ("streamGenerateContent", "converse-stream")
    )
    if where == "audio/speech" and not streams:
        return httpx.Response(200, headers={"content-type": "audio/mpeg"}, content=b"said")
    if where == "generate" and streams:
        lines = [{**OLLAMA, "done": False}, {**OLLAMA, "response": "", "prompt_eval_count": 1, "eval_count": 1}]
        content = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        return httpx.Response(200, headers={"content-type": "application/x-ndjson"}, content=content)
    if where in PIECES and streams:
        return sse(*(each if isinstance(each, str) else orjson.dumps(each).decode() for each in PIECES[where]))
    return httpx.Response(200, json=WHOLE[where])


def failing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, json={"error": {"message": "secret words of the provider"}})
