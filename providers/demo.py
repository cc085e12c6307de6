"""The ``demo`` provider: a small in-process stand-in for a model, so that the first request needs no account.

It speaks some of OpenAI's APIs through the same transport interface as every real upstream: it repeats what it was
told, names the media that it was given, calls the first tool that it may, fills in the schema that it is asked for,
thinks if told to, draws one colour, and counts tokens of what it really read and wrote.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s+")
PAUSE = 0.01  # seconds between two words: enough to see that it streams
MODELS = ("demo", "demo-embedding")
DIMENSIONS, MOST_DIMENSIONS = 256, 4096
MOST_TOKENS = 100_000
MOST_IMAGES = 10
SIDE = 64  # of an image, in pixels
DEEPEST = 12  # of an example's nesting: schemas may go round in circles
#: Parts of a message that are no text: how the model tells that it got them.
MEDIA = {
    "image_url": ("I see {}.", "an", "image"),
    "input_audio": ("I hear {}.", "a", "recording"),
    "file": ("I got {}.", "a", "file"),
}
FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


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
        answer = ANSWERS.get(path)
        if answer is None:
            return _error(f"The demo provider has no {path}.", 404)
        try:
            return answer(orjson.loads(request.content))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            return _error(f"The demo model cannot read this request: {type(error).__name__}.")


def _json(body: dict[str, Any], status: int = 200) -> httpx.Response:
    return httpx.Response(
        status, headers={"content-type": "application/json"}, stream=httpx.ByteStream(orjson.dumps(body))
    )


def _error(message: str, status: int = 400) -> httpx.Response:
    return _json({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}, status)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, in its tokens. With a ``call`` the words are the call's arguments."""

    words: list[str]
    finish: str = "stop"
    thought: list[str] = field(default_factory=list)
    call: dict[str, Any] | None = None

    def usage(self, prompt: int) -> dict[str, Any]:
        written = len(self.thought) + len(self.words)
        thinking = {"completion_tokens_details": {"reasoning_tokens": len(self.thought)}} if self.thought else {}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            **thinking,
        }


def _chat(doc: dict[str, Any]) -> httpx.Response:
    messages = doc["messages"]
    if not messages:
        return _error("messages must not be empty.")
    answer = _answer(doc)
    usage = answer.usage(sum(len(tokens(text_of(message.get("content")))) for message in messages))
    head = {"id": f"chatcmpl-demo-{time.time_ns():x}", "created": int(time.time()), "model": doc["model"]}
    if doc.get("stream"):
        return _stream({**head, "object": "chat.completion.chunk"}, _deltas(answer), usage, doc)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.words), "refusal": None}
    if answer.call:
        message |= {"content": None, "tool_calls": [answer.call]}
    if answer.thought:
        message["reasoning_content"] = "".join(answer.thought)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


def _complete(doc: dict[str, Any]) -> httpx.Response:
    """The legacy API: one prompt, a text or tokens."""
    prompt = doc["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if not isinstance(prompt, str):
        prompt = " ".join(str(number + 0) for number in prompt)
    answer = _answer({**doc, "messages": [{"role": "user", "content": prompt}], "tools": None})
    usage = answer.usage(len(tokens(prompt)))
    head = {"id": f"cmpl-demo-{time.time_ns():x}", "object": "text_completion", "created": int(time.time())}
    head["model"] = doc["model"]
    choices = [
        *({"text": word, "finish_reason": None} for word in answer.words),
        {"text": "", "finish_reason": answer.finish},
    ]
    if doc.get("stream"):
        return _stream(head, ({"index": 0, "logprobs": None, **choice} for choice in choices), usage, doc)
    choice = {"index": 0, "text": "".join(answer.words), "logprobs": None, "finish_reason": answer.finish}
    return _json({**head, "choices": [choice], "usage": usage})


def _answer(doc: dict[str, Any]) -> Answer:
    """What there is to say, cut at the asked maximum; a call that does not fit into it is not made."""
    said, results = _said(doc["messages"])
    text = _text(doc, said, results)
    stops = doc.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    thinks = doc.get("reasoning_effort") not in (None, "none")
    thought = tokens(f"They said {len(said.split())} words. I will repeat them.") if thinks else []
    limit = doc.get("max_completion_tokens") or doc.get("max_tokens") or MOST_TOKENS
    call = _tool_call(doc, said, results)
    if call is not None:
        arguments = tokens(_argument(call))
        if len(thought) + len(arguments) <= limit:
            return Answer(arguments, "tool_calls", thought, call)
    words = tokens(text)
    fits = call is None and len(thought) + len(words) <= limit
    thought = thought[:limit]
    return Answer(words[: limit - len(thought)], "stop" if fits else "length", thought)


def _said(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """The text of the last message, or of the tool results that come last, and how many of these there are."""
    results = 0
    while results < len(messages) and messages[-1 - results].get("role") == "tool":
        results += 1
    last = messages[-max(results, 1) :]
    return " ".join(text_of(message.get("content")) for message in last).strip(), results


def _text(doc: dict[str, Any], said: str, results: int) -> str:
    form = doc.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"].get("schema") or {}
        return orjson.dumps(_example(schema, said, schema)).decode()
    if form.get("type") == "json_object":
        return orjson.dumps({"answer": said}).decode()
    if results:
        return f"The tool answered: {said}"
    content = doc["messages"][-1].get("content")
    given = Counter(part.get("type") for part in content if isinstance(part, dict)) if isinstance(content, list) else {}
    seen = [
        form.format(f"{given[kind]} {noun}s" if given[kind] > 1 else f"{article} {noun}")
        for kind, (form, article, noun) in MEDIA.items()
        if given.get(kind)
    ]
    return " ".join(["Hello from the demo model.", *seen, f"You said: {said}"])


def _tool_call(doc: dict[str, Any], said: str, results: int) -> dict[str, Any] | None:
    """A call of the tool that must or may be called; none after a tool's result, or where tools are off."""
    mode, tools = _tools(doc)
    if not tools or mode == "none" or (results and mode == "auto"):
        return None
    kind = tools[0]["type"]
    tool = tools[0][kind]
    schema = tool.get("parameters") or {"type": "object"}
    given = (
        {"input": said} if kind == "custom" else {"arguments": orjson.dumps(_example(schema, said, schema)).decode()}
    )
    call_id = hashlib.sha256(f"{tool['name']}{given}{time.time_ns()}".encode()).hexdigest()[:24]
    return {"id": f"call_{call_id}", "type": kind, kind: {"name": tool["name"], **given}}


def _tools(doc: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Whether a tool is called (none, auto, required), and those that may be."""
    tools = [tool for tool in doc.get("tools") or [] if tool.get("type") in ("function", "custom")]
    choice = doc.get("tool_choice") or "auto"
    if isinstance(choice, str):
        return choice, tools
    allowed = choice.get("allowed_tools") or {"mode": "required", "tools": [choice]}
    names = {tool[tool["type"]]["name"] for tool in allowed["tools"]}
    return allowed["mode"], [tool for tool in tools if tool[tool["type"]]["name"] in names]


def _argument(call: dict[str, Any]) -> str:
    """What the tool gets."""
    return str(call["function"]["arguments"] if call["type"] == "function" else call["custom"]["input"])


def _example(schema: Any, said: str, root: dict[str, Any], depth: int = 0) -> Any:
    """A value that the schema allows, with what the user said as its text."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return said if depth <= DEEPEST else None
    if "$ref" in schema:
        found: Any = root
        for name in schema["$ref"].split("/")[1:]:
            found = found[name]
        return _example(found, said, root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _example(schema[several][0], said, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        wanted = schema.get("required") or list(properties)
        return {name: _example(properties.get(name), said, root, depth + 1) for name in wanted}
    if kind == "array":
        return [_example(schema.get("items"), said, root, depth + 1)] * min(schema.get("minItems", 1), 100)
    if kind in ("integer", "number"):
        least = schema.get("minimum", 1)
        return least if kind == "integer" else float(least)
    text = FORMATS.get(schema.get("format", ""), said)[: schema.get("maxLength")]
    return {"boolean": True, "null": None}.get(kind, text)


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    """The choices of a chat stream, one a chunk."""

    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}

    yield choice({"role": "assistant", "content": None if answer.call else ""})
    for word in answer.thought:
        yield choice({"reasoning_content": word})
    if answer.call:
        kind, member = answer.call["type"], "arguments" if answer.call["type"] == "function" else "input"
        begun = {**answer.call, kind: {"name": answer.call[kind]["name"], member: ""}}
        yield choice({"tool_calls": [{"index": 0, **begun}]})
    for word in answer.words:
        yield choice({"tool_calls": [{"index": 0, kind: {member: word}}]} if answer.call else {"content": word})
    yield choice({}, answer.finish)


def _stream(
    head: dict[str, Any], choices: Iterable[dict[str, Any]], usage: dict[str, Any], doc: dict[str, Any]
) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        for choice in choices:
            yield _line({**head, "choices": [choice]})
        if (doc.get("stream_options") or {}).get("include_usage"):
            yield _line({**head, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=DemoStream(chunks()))


def _line(doc: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(doc) + b"\n\n"


def _embeddings(doc: dict[str, Any]) -> httpx.Response:
    given = doc["input"]
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = doc.get("dimensions") or DIMENSIONS
    if not 1 <= size <= MOST_DIMENSIONS:
        return _error(f"dimensions must be from 1 to {MOST_DIMENSIONS}.")
    data, count = [], 0
    for n, text in enumerate(texts):
        pieces = [str(number) for number in text] if isinstance(text, list) else tokens(text)
        count += len(pieces)
        vector = _vector(pieces, size)
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        value: Any = packed if doc.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": n, "embedding": value})
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _json({"object": "list", "data": data, "model": doc["model"], "usage": usage})


def _vector(pieces: list[str], size: int) -> list[float]:
    """A bag of hashed tokens, normalised: equal texts are equal, shared words are near."""
    vector = [0.0] * size
    for piece in pieces or [""]:
        slot = int.from_bytes(hashlib.sha256(piece.strip().lower().encode()).digest()[:8], "big")
        vector[slot % size] += 1.0 if slot >> 63 else -1.0
    norm = sum(x * x for x in vector) ** 0.5 or 1.0
    return [x / norm for x in vector]


def _images(doc: dict[str, Any]) -> httpx.Response:
    """Squares of a colour that is the prompt's own."""
    colour = hashlib.sha256(doc["prompt"].encode()).digest()[:3]
    packed = base64.b64encode(_png(colour)).decode()
    image = (
        {"b64_json": packed} if doc.get("response_format") == "b64_json" else {"url": f"data:image/png;base64,{packed}"}
    )
    count = min(max(doc.get("n") or 1, 1), MOST_IMAGES)
    return _json({"created": int(time.time()), "data": [image] * count})


def _png(colour: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", SIDE, SIDE, 8, 2, 0, 0, 0))
    pixels = zlib.compress((b"\0" + colour * SIDE) * SIDE)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


ANSWERS: dict[str, Callable[[dict[str, Any]], httpx.Response]] = {
    "chat/completions": _chat,
    "completions": _complete,
    "embeddings": _embeddings,
    "images/generations": _images,
}
