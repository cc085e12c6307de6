"""What the upstream of the proofs answers: a chat completion or a message, whole or as events."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

PIECES = 8
"""Of a stream's text."""


class Reply(NamedTuple):
    """Either a body or events."""

    body: bytes = b""
    events: list[bytes] = []


def reply_of(path: str, doc: dict[str, Any], given: int, made: int, *, full: bool) -> Reply:
    """``given`` tokens were read and ``made`` were written; ``full``: the cap was reached."""
    messages = path.endswith("/messages")
    if not doc.get("stream"):
        return Reply(json.dumps((_message if messages else _chat)(doc, given, made, full)).encode())
    if messages:
        return Reply(events=_message_events(doc, given, made, full))
    return Reply(events=_chat_events(doc, given, made, full))


def _text(made: int) -> str:
    return "x" * made


def _pieces(made: int) -> list[str]:
    size = max(1, -(-made // PIECES))
    return [_text(min(size, made - first)) for first in range(0, made, size)]


def _usage(given: int, made: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _chat(doc: dict[str, Any], given: int, made: int, full: bool) -> dict[str, Any]:
    message = {"role": "assistant", "content": _text(made)}
    choice = {"index": 0, "message": message, "finish_reason": "length" if full else "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": doc.get("model")}
    return {**head, "choices": [choice], "usage": _usage(given, made)}


def _chat_events(doc: dict[str, Any], given: int, made: int, full: bool) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": doc.get("model")}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in _pieces(made)]
    deltas.append(({}, "length" if full else "stop"))
    found = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    if (doc.get("stream_options") or {}).get("include_usage"):
        found.append({**head, "choices": [], "usage": _usage(given, made)})
    return [*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in found), b"data: [DONE]\n\n"]


def _message(doc: dict[str, Any], given: int, made: int, full: bool) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": doc.get("model"),
        "content": [{"type": "text", "text": _text(made)}],
        "stop_reason": "max_tokens" if full else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": given, "output_tokens": made},
    }


def _message_events(doc: dict[str, Any], given: int, made: int, full: bool) -> list[bytes]:
    begun = {**_message(doc, given, 1, full), "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    ended = {"stop_reason": "max_tokens" if full else "end_turn", "stop_sequence": None}
    found: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in _pieces(made)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": made}},
        {"type": "message_stop"},
    ]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in found]
