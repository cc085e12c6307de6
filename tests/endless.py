"""Upstreams of every API that write on for ever, whatever cap they were given, and what a client asks of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx

from tests.inprocess import KEY, route, table, upstream
from tests.money import MODEL
from tests.recordings import Json
from tests.translated_upstream import Chat, Generate, Messages

WORD = "word " * 20
KINDS = {
    "chat": "openai",
    "completions": "openai",
    "responses": "openai",
    "messages": "anthropic",
    "generate": "gemini",
}
USER = [{"role": "user", "content": "hi"}]
#: A client's dialect -> path, body with a cap of ten tokens.
ASKED: dict[str, tuple[str, Json]] = {
    "chat": ("/v1/chat/completions", {"messages": USER, "max_tokens": 10}),
    "completions": ("/v1/completions", {"prompt": "hi", "max_tokens": 10}),
    "responses": ("/v1/responses", {"input": "hi", "max_output_tokens": 10, "store": False}),
    "messages": ("/v1/messages", {"messages": USER, "max_tokens": 10}),
    "generate": (
        f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 10}},
    ),
}
HEADERS = {"messages": {"anthropic-version": "2023-06-01", "x-api-key": KEY}, "generate": {"x-goog-api-key": KEY}}


def asked(client: str, **more: Any) -> tuple[str, Json, dict[str, str]]:
    """Path, body and headers of a request for a stream."""
    path, body = ASKED[client]
    stream = {} if client == "generate" else {"model": MODEL, "stream": True}
    return path, {**stream, **body, **more}, HEADERS.get(client, {"authorization": f"Bearer {KEY}"})


def event(doc: Json, named: bool = False) -> bytes:
    head = f"event: {doc['type']}\n" if named else ""
    return f"{head}data: {json.dumps(doc)}\n\n".encode()


class Completions:
    def start(self) -> bytes:
        return b""

    def word(self, text: str) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None}
        return event({"id": "c", "object": "text_completion", "created": 1, "model": MODEL, "choices": [choice]})


class Responses:
    """The Responses API, with numbers that rise."""

    def __init__(self) -> None:
        self.number = -1

    def _event(self, kind: str, **members: Any) -> bytes:
        self.number += 1
        return event({"type": f"response.{kind}", "sequence_number": self.number, **members}, True)

    def start(self) -> bytes:
        response = {"id": "resp_1", "object": "response", "created_at": 1, "model": MODEL, "status": "in_progress"}
        more: Json = {"output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "usage": None}
        thought: Json = {"id": "rs_1", "type": "reasoning", "summary": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        part: Json = {"type": "output_text", "text": "", "annotations": []}
        place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
        return b"".join(
            (
                self._event("created", response={**response, **more}),
                self._event("output_item.added", output_index=0, item=thought),
                self._event("output_item.done", output_index=0, item=thought),
                self._event("output_item.added", output_index=1, item=item),
                self._event("content_part.added", **place, part=part),
            )
        )

    def word(self, text: str) -> bytes:
        place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
        return self._event("output_text.delta", **place, delta=text, logprobs=[])


def api(name: str) -> Any:
    return {
        "chat": Chat,
        "completions": Completions,
        "messages": Messages,
        "generate": Generate,
        "responses": Responses,
    }[name]()


class Endless(httpx.AsyncByteStream):
    """A stream that only its reader ends; ``pieces`` come first. ``words`` were read, ``closed`` when it was left.

    With ``last`` it breaks off after so many words."""

    def __init__(self, name: str, pieces: Iterable[bytes] = (), last: int = 10_000) -> None:
        self.api = api(name)
        self.last = last
        self.pieces = pieces
        self.words = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if begun := self.api.start():
            yield begun
        for piece in self.pieces:
            yield piece
        while self.words < self.last:
            self.words += 1
            yield self.api.word(WORD)

    async def aclose(self) -> None:
        self.closed = True

    def answer(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self)


def made(upstream_api: str, **changes: Any) -> Any:
    """A table whose one upstream speaks only ``upstream_api``."""
    up = upstream(kind=KINDS[upstream_api], apis=frozenset({upstream_api}), **changes)
    return table(route(MODEL, up))


def events(body: bytes) -> list[Json]:
    """The documents of a stream, without its [DONE]."""
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
