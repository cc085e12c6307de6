"""An upstream that speaks several APIs by script, for clients of other dialects: one process, real sockets.

A request's model is ``API-BEHAVIOUR-ANYTHING``: what it does is one of BEHAVIOURS, in the words of the API that its path is
of. What ``tests.upstreams`` tells of itself (``/_seen``, ``/_closed``, ``/_open``) is told here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator

from tests import upstreams
from tests.live import Upstream, started
from tests.recordings import Json
from tests.upstreams import Request, Send, framed, head_of, send_json

TEXT = ("one ", "two ", "three")
INPUT_TOKENS, OUTPUT_TOKENS = 7, 3
FLOOD = "x" * 16_000


def _sse(doc: Json, named: bool = False) -> bytes:
    head = f"event: {doc['type']}\n" if named else ""
    return f"{head}data: {json.dumps(doc)}\n\n".encode()


def _line(doc: Json) -> bytes:
    return json.dumps(doc).encode() + b"\n"


class Messages:
    """Anthropic's API."""

    type = "text/event-stream"
    busy = (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    usage: Json = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}

    def start(self) -> bytes:
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
        message = {**self.message, "content": [], "stop_reason": None, "usage": usage}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return _sse({"type": "message_start", "message": message}, True) + _sse(block, True)

    def word(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return _sse({"type": "content_block_delta", "index": 0, "delta": delta}, True)

    def end(self) -> bytes:
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        docs: list[Json] = [{"type": "content_block_stop", "index": 0}]
        docs += [{"type": "message_delta", "delta": delta, "usage": self.usage}, {"type": "message_stop"}]
        return b"".join(_sse(doc, True) for doc in docs)

    def whole(self, text: str) -> Json:
        content = [{"type": "text", "text": text}]
        return {**self.message, "content": content, "stop_reason": "end_turn", "usage": self.usage}


class Chat:
    type = "text/event-stream"
    busy = (503, {"error": {"message": "busy", "type": "server_error"}})
    usage: Json = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 10}

    def _chunk(self, delta: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
        return _sse({**chunk, "choices": [choice]})

    def start(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def word(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self) -> bytes:
        return self._chunk({}, "stop") + _sse({"id": "c", "choices": [], "usage": self.usage}) + b"data: [DONE]\n\n"

    def whole(self, text: str) -> Json:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        found = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt"}
        return {**found, "choices": [choice], "usage": self.usage}


class Generate:
    """Gemini's API."""

    type = "text/event-stream"
    busy = (503, {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})
    usage: Json = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS, "totalTokenCount": 10}

    def _chunk(self, text: str, **more: str) -> Json:
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "gemini", "responseId": "r"}

    def start(self) -> bytes:
        return b""

    def word(self, text: str) -> bytes:
        return _sse(self._chunk(text))

    def end(self) -> bytes:
        return _sse({**self._chunk("", finishReason="STOP"), "usageMetadata": self.usage})

    def whole(self, text: str) -> Json:
        return {**self._chunk(text, finishReason="STOP"), "usageMetadata": self.usage}


class Ollama:
    type = "application/x-ndjson"
    busy = (503, {"error": "server busy, please try again"})
    base: Json = {"model": "llama", "created_at": "2026-01-01T00:00:00Z"}
    last: Json = {"done": True, "done_reason": "stop", "prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS}

    def start(self) -> bytes:
        return b""

    def word(self, text: str) -> bytes:
        return _line({**self.base, "message": {"role": "assistant", "content": text}, "done": False})

    def end(self) -> bytes:
        return _line({**self.base, "message": {"role": "assistant", "content": ""}, **self.last})

    def whole(self, text: str) -> Json:
        return {**self.base, "message": {"role": "assistant", "content": text}, **self.last}


Api = Messages | Chat | Generate | Ollama
#: What the path of a request holds -> the API that it is of.
APIS: dict[str, Api] = {
    "/v1/messages": Messages(),
    "/chat/completions": Chat(),
    "enerateContent": Generate(),
    "/api/chat": Ollama(),
}
Behaviour = Callable[[Api, bool, Send], Awaitable[None]]


async def _begin(api: Api, send: Send) -> None:
    await send(head_of(200, {"content-type": api.type}, None))
    if begun := api.start():
        await send(framed(begun))


async def _plain(api: Api, stream: bool, send: Send) -> None:
    """The text, with its usage."""
    if not stream:
        await send_json(200, json.dumps(api.whole("".join(TEXT))).encode(), send)
        return
    await _begin(api, send)
    for word in TEXT:
        await send(framed(api.word(word)))
        await asyncio.sleep(0)
    await send(framed(api.end()) + framed(b""))


async def _endless(api: Api, stream: bool, send: Send) -> None:
    """A stream that only its reader can end."""
    await _begin(api, send)
    while True:
        await send(framed(api.word("word ")))
        await asyncio.sleep(0.02)


async def _flood(api: Api, stream: bool, send: Send) -> None:
    """As endless, and as fast as the reader takes it."""
    await _begin(api, send)
    while True:
        await send(framed(api.word(FLOOD)))


async def _silent(api: Api, stream: bool, send: Send) -> None:
    """Takes the request and never answers."""
    await asyncio.Event().wait()


async def _stall(api: Api, stream: bool, send: Send) -> None:
    """Two words, and then nothing more."""
    await _begin(api, send)
    await send(framed(api.word("one ")) + framed(api.word("two ")))
    await asyncio.Event().wait()


async def _broken(api: Api, stream: bool, send: Send) -> None:
    """Two words, and the connection breaks off."""
    await _begin(api, send)
    await send(framed(api.word("one ")) + framed(api.word("two ")))
    raise ConnectionAbortedError


async def _busy(api: Api, stream: bool, send: Send) -> None:
    status, doc = api.busy
    await send_json(status, json.dumps(doc).encode(), send)


async def _dead(api: Api, stream: bool, send: Send) -> None:
    """Hangs up without an answer."""
    raise ConnectionAbortedError


BEHAVIOURS: dict[str, Behaviour] = {
    "plain": _plain,
    "endless": _endless,
    "flood": _flood,
    "silent": _silent,
    "stall": _stall,
    "broken": _broken,
    "busy": _busy,
    "dead": _dead,
}


def _streams(request: Request) -> bool:
    return ":streamGenerateContent" in request.target or bool(json.loads(request.body).get("stream"))


async def answer(request: Request, send: Send) -> None:
    if request.target.startswith("/_"):
        return await send_json(200, upstreams.about(request.target), send)
    api = next((found for part, found in APIS.items() if part in request.target and request.body), None)
    if api is None:  # a list of models
        return await send_json(404, b"{}", send)
    upstreams.seen[request.model] = request
    return await BEHAVIOURS[request.model.split("-")[1]](api, _streams(request), send)


@contextlib.contextmanager
def scripted_upstream() -> Iterator[tuple[Upstream, subprocess.Popen[bytes]]]:
    with started("tests.translated_upstream") as (line, process):
        yield Upstream(int(line)), process


if __name__ == "__main__":
    upstreams.answer = answer
    asyncio.run(upstreams.main())
