"""The ``demo`` provider: a small in-process stand-in for a model, so that the first request needs no account.

It speaks some of OpenAI's APIs through the transport interface of every real upstream: it repeats what it was told, names
media, calls the first tool that it may, fills in a schema, thinks if told to, and counts what it really read and wrote.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from providers.chat import Json
from providers.schemas import DEEPEST, inlined

TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s+")
PAUSE = 0.01  # seconds between two words: enough to see that it streams
MODELS = ("demo", "demo-embedding")
DIMENSIONS, MOST_DIMENSIONS, MOST_IMAGES = 256, 4096, 10
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
#: Parts of a message that are no text, and how the model tells that it got them.
MEDIA = {"image_url": ("see", "an", "image"), "input_audio": ("hear", "a", "recording"), "file": ("got", "a", "file")}
FORMATS = {"date": "2025-01-01", "date-time": "2025-01-01T00:00:00Z", "email": "demo@example.com"}
#: Type of tool -> the member of its call that holds what it is called with.
ARGUMENT = {"function": "arguments", "custom": "input"}


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
        if path not in ANSWERS:
            return _error(f"The demo provider has no {path}.", 404)
        try:
            return ANSWERS[path](orjson.loads(request.content))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            return _error(f"The demo model cannot read this request: {type(error).__name__}.")


def _json(body: Json, status: int = 200) -> httpx.Response:
    data = httpx.ByteStream(orjson.dumps(body))
    return httpx.Response(status, headers={"content-type": "application/json"}, stream=data)


def _error(message: str, status: int = 400) -> httpx.Response:
    return _json({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}, status)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, in its tokens; with a ``tool`` (its type and name) they are what the tool is called with."""

    words: list[str]
    finish: str = "stop"
    thought: list[str] = field(default_factory=list)
    tool: tuple[str, str] | None = None

    def call(self, argument: str) -> Json:
        kind, name = self.tool or ("", "")
        call_id = hashlib.sha256(f"{name}{self.words}{time.time_ns()}".encode()).hexdigest()[:24]
        return {"id": f"call_{call_id}", "type": kind, kind: {"name": name, ARGUMENT[kind]: argument}}

    def usage(self, prompt: int) -> Json:
        written = len(self.thought) + len(self.words)
        usage: Json = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        return usage | {"completion_tokens_details": {"reasoning_tokens": len(self.thought)}}


def _chat(doc: Json) -> httpx.Response:
    messages = doc["messages"]
    if not messages:
        return _error("messages must not be empty.")
    answer = _answer(doc)
    usage = answer.usage(sum(len(tokens(text_of(message.get("content")))) for message in messages))
    head = {"id": f"chatcmpl-demo-{time.time_ns():x}", "created": int(time.time()), "model": doc["model"]}
    if doc.get("stream"):
        return _stream({**head, "object": "chat.completion.chunk"}, _deltas(answer), usage, doc)
    text = "".join(answer.words)
    message: Json = {"role": "assistant", "content": None if answer.tool else text, "refusal": None}
    if answer.tool:
        message["tool_calls"] = [answer.call(text)]
    if answer.thought:
        message["reasoning_content"] = "".join(answer.thought)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


def _complete(doc: Json) -> httpx.Response:
    """The legacy API: one prompt, a text or tokens."""
    prompt = doc["prompt"]
    prompt = prompt if isinstance(prompt, str) else " ".join(str(piece) for piece in prompt)
    answer = _answer({**doc, "messages": [{"role": "user", "content": prompt}], "tools": None})
    usage = answer.usage(len(tokens(prompt)))
    head = {"id": f"cmpl-demo-{time.time_ns():x}", "created": int(time.time()), "model": doc["model"]}
    head["object"] = "text_completion"

    def choice(text: str, reason: str | None) -> Json:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    if doc.get("stream"):
        return _stream(head, [*(choice(word, None) for word in answer.words), choice("", answer.finish)], usage, doc)
    return _json({**head, "choices": [choice("".join(answer.words), answer.finish)], "usage": usage})


def _answer(doc: Json) -> Answer:
    """What there is to say, cut at the asked maximum; a call that does not fit into it is not made."""
    turn = _turn(doc["messages"])
    said = " ".join(text_of(message.get("content")) for message in turn).strip()
    answered = turn[0].get("role") == "tool"
    text = _text(doc, turn, said, answered)
    stops = doc.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    limit = max(doc.get("max_completion_tokens") or doc.get("max_tokens") or 1_000_000, 1)
    thinks = doc.get("reasoning_effort") not in (None, "none")
    thought = tokens(f"Word count: {len(said.split())}. I will repeat them.")[:limit] if thinks else []
    limit -= len(thought)
    tool = _tool(doc, answered)
    if tool and len(argument := tokens(_argument(tool, said))) <= limit:
        return Answer(argument, "tool_calls", thought, (tool["type"], tool[tool["type"]]["name"]))
    words = tokens(text)
    return Answer(words[:limit], "length" if tool or len(words) > limit else "stop", thought)


def _turn(messages: list[Json]) -> list[Json]:
    """The last message, or all since the model's own where these hold tool results, which come first."""
    start = 1 + max((n for n, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    found = messages[start:]
    return found if found and found[0].get("role") == "tool" else messages[-1:]


def _text(doc: Json, turn: list[Json], said: str, answered: bool) -> str:
    wanted = doc.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return _json_of(wanted["json_schema"].get("schema"), said)
    if wanted.get("type") == "json_object":
        return orjson.dumps({"answer": said}).decode()
    contents = [message.get("content") for message in turn]
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    kinds = Counter(part.get("type") for part in parts)
    noticed = [_notice(kind, count) for kind, count in kinds.items() if kind in MEDIA]
    if answered:
        return " ".join([*noticed, f"The tool answered: {said}"])
    return " ".join(["Hello from the demo model.", *noticed, f"You said: {said}"])


def _notice(kind: str, count: int) -> str:
    verb, article, noun = MEDIA[kind]
    return f"I {verb} {article} {noun}." if count == 1 else f"I {verb} {count} {noun}s."


def _tool(doc: Json, answered: bool) -> Json | None:
    """The first tool that must or may be called; none after a tool's result, or where tools are off."""
    tools = [tool for tool in doc.get("tools") or [] if tool.get("type") in ARGUMENT]
    mode = doc.get("tool_choice") or "auto"
    if isinstance(mode, dict):
        allowed = mode.get("allowed_tools") or {"mode": "required", "tools": [mode]}
        names = {tool[tool["type"]]["name"] for tool in allowed["tools"]}
        mode, tools = allowed["mode"], [tool for tool in tools if tool[tool["type"]]["name"] in names]
    return None if mode == "none" or (mode == "auto" and answered) else next(iter(tools), None)


def _argument(tool: Json, said: str) -> str:
    """What the tool is called with: an example of its parameters, or what was said."""
    return said if tool["type"] == "custom" else _json_of(tool["function"].get("parameters"), said)


def _json_of(schema: Any, said: str) -> str:
    return orjson.dumps(_example({"type": "object"} | inlined(schema or {}), said)).decode()


def _example(schema: Any, said: str, depth: int = 0) -> Any:
    """A value that the schema allows, with what the user said as its text."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return said
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if several:
        return _example(several[0], said, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        wanted = schema.get("required") or list(properties)
        return {name: _example(properties.get(name), said, depth + 1) for name in wanted}
    if kind == "array":
        count = min(schema.get("minItems", 1), 9) if depth < 3 else 1  # more would fill any memory
        return [_example(schema.get("items"), said, depth + 1)] * count
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    text = FORMATS.get(schema.get("format", ""), said)
    return {"boolean": True, "null": None}.get(kind, text[: schema.get("maxLength")])


def _deltas(answer: Answer) -> Iterator[Json]:
    """The choices of a chat stream, one a chunk."""

    def choice(delta: Json, reason: str | None = None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}

    yield choice({"role": "assistant", "content": None if answer.tool else ""})
    for word in answer.thought:
        yield choice({"reasoning_content": word})
    if answer.tool:
        yield choice({"tool_calls": [{"index": 0, **answer.call("")}]})
    kind = answer.tool[0] if answer.tool else ""
    for word in answer.words:
        yield choice({"tool_calls": [{"index": 0, kind: {ARGUMENT[kind]: word}}]} if kind else {"content": word})
    yield choice({}, answer.finish)


def _stream(head: Json, choices: Iterable[Json], usage: Json, doc: Json) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        docs: list[Json] = [{"choices": [choice]} for choice in choices]
        if (doc.get("stream_options") or {}).get("include_usage"):
            docs.append({"choices": [], "usage": usage})
        for each in docs:
            yield b"data: " + orjson.dumps({**head, **each}) + b"\n\n"
        yield b"data: [DONE]\n\n"

    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=DemoStream(chunks()))


def _embeddings(doc: Json) -> httpx.Response:
    given = doc["input"]
    texts = [given] if isinstance(given, str) or isinstance(given[0], int) else given
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


def _images(doc: Json) -> httpx.Response:
    """One grey dot for every prompt."""
    image = {"b64_json": DOT} if doc.get("response_format") == "b64_json" else {"url": "data:image/png;base64," + DOT}
    return _json({"created": int(time.time()), "data": [image] * min(max(doc.get("n") or 1, 1), MOST_IMAGES)})


ANSWERS: dict[str, Callable[[Json], httpx.Response]] = {
    "chat/completions": _chat,
    "completions": _complete,
    "embeddings": _embeddings,
    "images/generations": _images,
}
