"""Replies of the documented shapes, for the cases that no recording shows."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from tests.matrix.fixture_openai import chat, chat_stream, responses, responses_stream
from tests.matrix.fixture_vendors import (
    cohere,
    cohere_stream,
    converse,
    converse_stream,
    generate,
    generate_stream,
    messages,
    messages_stream,
    ollama,
    ollama_stream,
)
from tests.matrix.meaning import Told
from tests.matrix.recorded import Reply
from tests.recorded_usage import Tokens

Json = Any
WHOLE = {
    "chat": chat, "responses": responses, "messages": messages, "generate": generate, "ollama": ollama,
    "converse": converse, "cohere": cohere,
}  # fmt: skip
STREAM = {
    "chat": chat_stream, "responses": responses_stream, "messages": messages_stream, "generate": generate_stream,
    "ollama": ollama_stream, "converse": converse_stream, "cohere": cohere_stream,
}  # fmt: skip
#: How each API tells an error after the first byte of a stream.
ERRORS: dict[str, Json] = {
    "chat": {"error": {"message": "It broke.", "type": "server_error", "param": None, "code": None}},
    "responses": {
        "type": "error",
        "code": "server_error",
        "message": "It broke.",
        "param": None,
        "sequence_number": 99,
    },
    "messages": {"type": "error", "error": {"type": "overloaded_error", "message": "It broke."}},
    "generate": {"error": {"code": 503, "message": "It broke.", "status": "UNAVAILABLE"}},
    "ollama": {"error": "It broke."},
    "converse": {"modelStreamErrorException": {"message": "It broke.", "originalStatusCode": 500}},
    "cohere": {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "It broke."}},
}
#: The body of an error reply, for who has none recorded.
REFUSALS: dict[str, Json] = {
    "chat": {"error": {"message": "No such model.", "type": "invalid_request_error", "param": None, "code": None}},
    "responses": {"error": {"message": "No such model.", "type": "invalid_request_error", "param": None, "code": None}},
    "messages": {"type": "error", "error": {"type": "not_found_error", "message": "No such model."}},
    "generate": {"error": {"code": 404, "message": "No such model.", "status": "NOT_FOUND"}},
    "ollama": {"error": "model 'm' not found"},
    "converse": {"message": "No such model."},
    "cohere": {"id": "1", "message": "No such model."},
}
TYPES = {"ollama": "application/x-ndjson", "converse": "application/vnd.amazon.eventstream"}
#: The words with which each tells that a reply ended.
NATIVE: dict[str, dict[str, str]] = {
    "chat": {"stop": "stop", "tool_calls": "tool_calls", "length": "length", "refused": "stop"},
    "responses": {"stop": "completed", "tool_calls": "completed", "refused": "completed"}
    | {"length": "incomplete: max_output_tokens"},
    "messages": {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
    | {"stop_sequence": "stop_sequence", "refusal": "refusal"},
    "generate": {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"},
    "ollama": {"stop": "stop", "tool_calls": "stop", "length": "length"},
    "converse": {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
    | {"stop_sequence": "stop_sequence", "content_filter": "content_filtered"},
    "cohere": {"stop": "COMPLETE", "tool_calls": "TOOL_CALL", "length": "MAX_TOKENS", "stop_sequence": "STOP_SEQUENCE"},
}
CALLS: tuple[tuple[str, Json], ...] = (
    ("get_weather", {"city": "Paris", "days": 1}),
    ("get_time", {"city": "Rome", "days": 2}),
)


def told(upstream: str, case: str) -> Told:
    """What the fixture of ``case`` says."""
    text, calls, finish, thinking, refusal = "Hello wörld, how are you?", CALLS[:0], "stop", "", ""
    if case in ("one tool", "parallel tools"):
        text, calls, finish = "", CALLS[: 1 if case == "one tool" else 2], "tool_calls"
    elif case == "json schema":
        text = '{"city": "Paris", "days": 3}'
    elif case == "reasoning":
        thinking = "Let me think about it."
    elif case == "truncation":
        finish = "length"
    elif case == "stop sequence" and "stop_sequence" in NATIVE[upstream]:
        finish = "stop_sequence"
    elif case == "refusal":
        finish = next(word for word in ("refused", "refusal", "content_filter") if word in NATIVE[upstream])
        text, refusal = ("", "I cannot do that.") if finish == "refused" else (text, "")
    return Told(text, calls, finish, NATIVE[upstream][finish], Tokens(17, 9), thinking, refusal)


def reply(upstream: str, case: str, stream: bool) -> Reply:
    said = told(upstream, case)
    docs = STREAM[upstream](said) if stream else [WHOLE[upstream](said)]
    return made(upstream, docs, stream)


def made(upstream: str, docs: list[Json], stream: bool, status: int = 200) -> Reply:
    kind = TYPES.get(upstream, "text/event-stream") if stream else "application/json"
    body = wire(upstream, docs) if stream else json.dumps(docs[0]).encode()
    return Reply("fixture", status, stream, kind, body, tuple(docs), fixture=True)


def wire(upstream: str, docs: list[Json], end: bool = True) -> bytes:
    """``docs`` as the API streams them."""
    if upstream == "converse":
        return b"".join(frame(*next(iter(doc.items()))) for doc in docs)
    if upstream == "ollama":
        return b"".join(json.dumps(doc).encode() + b"\n" for doc in docs)
    named = upstream not in ("chat", "generate")
    events = [(f"event: {doc['type']}\n" if named else "") + f"data: {json.dumps(doc)}\n\n" for doc in docs]
    return "".join(events).encode() + (b"data: [DONE]\n\n" if upstream == "chat" and end else b"")


def frame(kind: str, payload: Json) -> bytes:
    """One message of AWS's event stream: lengths, headers of strings, payload, and a checksum of each half."""
    exception = kind.endswith("Exception")
    names = {":exception-type" if exception else ":event-type": kind, ":content-type": "application/json"}
    names[":message-type"] = "exception" if exception else "event"
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in names.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def broken(upstream: str, whole: Reply) -> Reply:
    """The first half of a streamed reply, and then the API's own word for an error."""
    half = list(whole.docs[: max(2, len(whole.docs) // 2)])
    docs = [*half, ERRORS[upstream]]
    body = wire(upstream, docs, end=False)
    return Reply(whole.id, 200, True, whole.content_type, body, tuple(docs), fixture=True)
