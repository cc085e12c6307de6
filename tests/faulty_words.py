"""What the faulty upstream says in each of its APIs, and how: good replies, void ones, errors, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tests import translated_upstream as scripted
from tests.recordings import Json
from tests.translated_upstream import TEXT
from tests.upstreams import Send, framed, head_of

NONE: Mapping[str, str] = {}
WHY = "something is wrong here"


class Api(Protocol):
    """``start``, ``word`` and ``end`` are pieces of a stream."""

    def start(self) -> bytes: ...
    def word(self, text: str) -> bytes: ...
    def end(self) -> bytes: ...
    def whole(self, text: str) -> Json: ...
    def error(self, status: int) -> Json: ...
    def error_event(self, number: int) -> Json: ...
    def void(self) -> Json: ...


class Spoken:
    """What most of them do alike."""

    def error_event(self: Api, number: int) -> Json:
        return self.error(500)


def sse(doc: Json) -> bytes:
    head = f"event: {doc['type']}\n" if "type" in doc else ""
    return f"{head}data: {json.dumps(doc)}\n\n".encode()


class Messages(scripted.Messages, Spoken):
    def error(self, status: int) -> Json:
        types = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}
        return {"type": "error", "error": {"type": types.get(status, "api_error"), "message": WHY}}

    def void(self) -> Json:
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude"}


class Chat(scripted.Chat, Spoken):
    def error(self, status: int) -> Json:
        types = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        return {"error": {"message": WHY, "type": types.get(status, "server_error"), "param": None, "code": None}}

    def void(self) -> Json:
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt", "choices": []}


class Generate(scripted.Generate, Spoken):
    def error(self, status: int) -> Json:
        words = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        return {"error": {"code": status, "message": WHY, "status": words.get(status, "INTERNAL")}}

    def void(self) -> Json:
        return {"modelVersion": "gemini", "responseId": "r"}


class Responses(Chat):
    """OpenAI's newer API; its errors are as those of the older one, but for the event."""

    part: Json = {"type": "output_text", "text": "", "annotations": []}
    response: Json = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt", "error": None}

    def __init__(self) -> None:
        self.number = 0
        self.text = ""

    def _events(self, *docs: Json) -> bytes:
        found = b""
        for doc in docs:
            found += sse({**doc, "sequence_number": self.number})
            self.number += 1
        return found

    def _item(self, text: str, status: str) -> Json:
        content = [{**self.part, "text": text}] if text else []
        return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}

    def start(self) -> bytes:
        response = {**self.response, "status": "in_progress", "output": []}
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        return self._events(
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": self._item("", "in_progress")},
            {"type": "response.content_part.added", **place, "part": self.part},
        )

    def word(self, text: str) -> bytes:
        self.text += text
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        return self._events({"type": "response.output_text.delta", **place, "delta": text})

    def end(self) -> bytes:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        return self._events(
            {"type": "response.output_text.done", **place, "text": self.text},
            {"type": "response.content_part.done", **place, "part": {**self.part, "text": self.text}},
            {"type": "response.output_item.done", "output_index": 0, "item": self._item(self.text, "completed")},
            {"type": "response.completed", "response": self.whole(self.text)},
        )

    def whole(self, text: str) -> Json:
        usage = {"input_tokens": scripted.INPUT_TOKENS, "output_tokens": scripted.OUTPUT_TOKENS, "total_tokens": 10}
        return {**self.response, "status": "completed", "output": [self._item(text, "completed")], "usage": usage}

    def error_event(self, number: int) -> Json:
        return {"type": "error", "code": "server_error", "message": WHY, "param": None, "sequence_number": number}

    def void(self) -> Json:
        return {**self.response, "status": "completed"}


#: What the path of a request holds -> the API that it is of; each reply has its own.
APIS: dict[str, type[Api]] = {
    "/v1/messages": Messages,
    "/chat/completions": Chat,
    "enerateContent": Generate,
    "/responses": Responses,
}


def good_events(api: Api) -> list[bytes]:
    """A stream, in pieces of which the first ends an event with something in it; the third is in the midst of its text."""
    first, *words = TEXT
    return [api.start() + api.word(first), *map(api.word, words), api.end()]


@dataclass(frozen=True, slots=True)
class Asked:
    """``number`` counts the requests that this fault has had for this model."""

    kind: type[Api]
    stream: bool
    number: int
    send: Send

    async def head(self, length: int | None = None, status: int = 200, headers: Mapping[str, str] = NONE) -> None:
        kind = "text/event-stream" if self.stream and status == 200 else "application/json"
        await self.send(head_of(status, {"content-type": kind, **headers}, length))

    async def body(self, *pieces: bytes, end: bool = True) -> None:
        for piece in pieces:
            await self.send(framed(piece))
        if end:
            await self.send(framed(b""))

    @property
    def api(self) -> Api:
        return self.kind()

    def pieces(self) -> list[bytes]:
        """The good reply: a stream's events, or the whole in two halves."""
        if self.stream:
            return good_events(self.api)
        body = json.dumps(self.api.whole("".join(TEXT))).encode()
        return [body[: len(body) // 2], body[len(body) // 2 :]]

    async def text(self, body: bytes, status: int = 200, headers: Mapping[str, str] = NONE) -> None:
        """``body``, with its length."""
        await self.head(len(body), status, headers)
        await self.send(body)

    def begun(self) -> bytes:
        """Too little of the reply to be anything."""
        return self.pieces()[0][:40]

    def early(self) -> bytes:
        """As much as a client may have seen: two words, or half of the whole."""
        return b"".join(self.pieces()[:2]) if self.stream else self.pieces()[0]
