"""The ``demo`` provider: a small in-process stand-in for a model, so that the first request needs no account.

It speaks OpenAI's chat, embeddings and models APIs through the same transport interface as every real upstream: it
repeats what it was told, calls the first tool that it is offered, and counts tokens of what it really read and wrote.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import orjson

TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s+")
PAUSE = 0.01  # seconds between two words: enough to see that it streams
MODELS = ("demo", "demo-embedding")
DIMENSIONS = 256


def tokens(text: str) -> list[str]:
    """The demo model's tokens: up to six letters or one sign, with the space before it."""
    return TOKEN.findall(text)


def text_of(content: Any) -> str:
    """The text of a message's content: a text, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


class DemoStream(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
            await asyncio.sleep(PAUSE)


class DemoTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        if path == "models":
            data = [{"id": name, "object": "model", "created": 1735689600, "owned_by": "demo"} for name in MODELS]
            return _json({"object": "list", "data": data})
        try:
            doc = orjson.loads(request.content)
            if path == "chat/completions":
                return _chat(doc)
            if path == "embeddings":
                return _json(_embeddings(doc))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _error(f"The demo model cannot read this request: {type(error).__name__}.")
        return _error(f"The demo provider has no {path}.", 404)


def _json(body: dict[str, Any], status: int = 200) -> httpx.Response:
    return httpx.Response(
        status, headers={"content-type": "application/json"}, stream=httpx.ByteStream(orjson.dumps(body))
    )


def _error(message: str, status: int = 400) -> httpx.Response:
    return _json({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}, status)


def _chat(doc: dict[str, Any]) -> httpx.Response:
    messages = doc["messages"]
    if not messages:
        return _error("messages must not be empty.")
    prompt = [token for message in messages for token in tokens(text_of(message.get("content")))]
    call = _tool_call(doc)
    words, finish = ([], "tool_calls") if call else _answer(doc)
    written = tokens(call["function"]["arguments"]) if call else words
    usage = {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(written),
        "total_tokens": len(prompt) + len(written),
    }
    head = {"id": f"chatcmpl-demo-{time.time_ns():x}", "created": int(time.time()), "model": doc["model"]}
    if not doc.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": None if call else "".join(words)}
        if call:
            message["tool_calls"] = [call]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    asked = (doc.get("stream_options") or {}).get("include_usage")
    chunks = _chunks({**head, "object": "chat.completion.chunk"}, words, call, finish, usage if asked else None)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=DemoStream(chunks))


def _answer(doc: dict[str, Any]) -> tuple[list[str], str]:
    """The reply's tokens and how it finished: stop, or length at the asked maximum."""
    last = doc["messages"][-1]
    said = text_of(last.get("content")).strip()
    opening = "The tool answered:" if last.get("role") == "tool" else "Hello from the demo model. You said:"
    text = f"{opening} {said}"
    stops = doc.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    words = tokens(text)
    limit = doc.get("max_completion_tokens") or doc.get("max_tokens")
    return (words[:limit], "length") if limit and len(words) > limit else (words, "stop")


def _tool_call(doc: dict[str, Any]) -> dict[str, Any] | None:
    """A call of the tool that must or may be called; none after a tool's result, or where tools are off."""
    tools = [tool["function"] for tool in doc.get("tools") or [] if tool.get("type") == "function"]
    choice = doc.get("tool_choice") or "auto"
    if not tools or choice == "none" or (doc["messages"][-1].get("role") == "tool" and choice == "auto"):
        return None
    name = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else tools[0]["name"]
    tool = next((tool for tool in tools if tool["name"] == name), tools[0])
    said = text_of(doc["messages"][-1].get("content"))
    arguments = orjson.dumps(_example(tool.get("parameters") or {}, said)).decode()
    call_id = hashlib.sha256(f"{name}{arguments}{time.time_ns()}".encode()).hexdigest()[:24]
    return {"id": f"call_{call_id}", "type": "function", "function": {"name": tool["name"], "arguments": arguments}}


def _example(schema: dict[str, Any], said: str) -> Any:
    """A value that the schema allows, with what the user said as its text."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        wanted = schema.get("required") or list(schema.get("properties") or {})
        return {name: _example((schema.get("properties") or {}).get(name) or {}, said) for name in wanted}
    return {"array": [], "integer": 1, "number": 1.0, "boolean": True, "null": None}.get(kind, said)


def _chunks(
    head: dict[str, Any], words: list[str], call: dict[str, Any] | None, finish: str, usage: dict[str, int] | None
) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        return _line({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]})

    yield chunk({"role": "assistant", "content": None if call else ""})
    if call:
        arguments = call["function"]["arguments"]
        yield chunk(
            {"tool_calls": [{"index": 0, **call, "function": {"name": call["function"]["name"], "arguments": ""}}]}
        )
        for piece in tokens(arguments):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    for word in words:
        yield chunk({"content": word})
    yield chunk({}, finish)
    if usage:
        yield _line({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _line(doc: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(doc) + b"\n\n"


def _embeddings(doc: dict[str, Any]) -> dict[str, Any]:
    given = doc["input"]
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = doc.get("dimensions") or DIMENSIONS
    data = []
    count = 0
    for n, text in enumerate(texts):
        pieces = [str(number) for number in text] if isinstance(text, list) else tokens(text)
        count += len(pieces)
        vector = _vector(pieces, size)
        value: Any = (
            base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
            if doc.get("encoding_format") == "base64"
            else vector
        )
        data.append({"object": "embedding", "index": n, "embedding": value})
    return {
        "object": "list",
        "data": data,
        "model": doc["model"],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def _vector(pieces: list[str], size: int) -> list[float]:
    """A bag of hashed tokens, normalised: equal texts are equal, shared words are near."""
    vector = [0.0] * size
    for piece in pieces or [""]:
        slot = int.from_bytes(hashlib.sha256(piece.strip().lower().encode()).digest()[:8], "big")
        vector[slot % size] += 1.0 if slot >> 63 else -1.0
    norm = sum(x * x for x in vector) ** 0.5 or 1.0
    return [x / norm for x in vector]
