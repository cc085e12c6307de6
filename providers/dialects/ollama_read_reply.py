"""Ollama chat replies, whole and streamed, as events. A stream is complete at the line that says ``done``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from providers.chat import Chat, Image, Source
from providers.dialects.failures import failed
from providers.dialects.ollama_write_request import DIALECT, NAMING
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Event,
    Failed,
    Finished,
    Logprobs,
    MediaAdded,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import read_usage

#: A model that was only loaded or unloaded has said nothing, and that is all.
REASONS = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
#: How base64 of an image begins, by its media type: replies do not tell it.
IMAGES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}


def read_error(status: int, doc: Any) -> Failed:
    """``{"error": text}``; one that Ollama's cloud sent on tells its status too."""
    body = doc.get("error", doc) if isinstance(doc, dict) else doc
    told = doc.get("StatusCode") if isinstance(doc, dict) else None
    if status < 400 and isinstance(told, int) and 400 <= told < 600:
        status = told
    if isinstance(body, dict):  # as the proxies before it write
        return failed(status, body.get("message"), body.get("code"), body.get("type"))
    return failed(status, body)


def created(doc: dict[str, Any]) -> int:
    """``created_at`` as a Unix time, 0 where it tells none."""
    try:
        return max(int(datetime.fromisoformat(doc["created_at"]).timestamp()), 0)
    except (KeyError, OverflowError, TypeError, ValueError):
        return 0


def read_logprobs(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        _token(token) | {"top_logprobs": [_token(rival) for rival in token.get("top_logprobs") or ()]} for token in raw
    ]


def _token(raw: dict[str, Any]) -> dict[str, Any]:
    token = raw["token"]
    told = raw.get("bytes")
    return {"token": token, "logprob": raw["logprob"], "bytes": list(token.encode()) if told is None else told}


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        reader = StreamReader(chat)
        found = sound(reader.line(doc))
        return found + reader.flush()
    except GARBAGE:
        return [not_understood()]


class StreamReader(Reader):
    """Reads lines, each a piece of the message; a tool call comes whole."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.begun = False
        self.calls = 0

    def _read(self, event: SseEvent) -> list[Event]:
        return self.line(parsed(event.data))

    def line(self, doc: dict[str, Any]) -> list[Event]:
        if doc.get("error"):
            self.over = True
            return [read_error(0, doc)]
        done = doc.get("done")
        message = doc.get("message") or {}
        if not message and not done:
            raise ValueError("neither a message nor an end")
        found: list[Event] = []
        if not self.begun:
            self.begun = True
            found.append(Started("", str(doc.get("model") or ""), created(doc), DIALECT))
        found += self._message(message)
        if logprobs := doc.get("logprobs"):
            found.append(Logprobs(read_logprobs(logprobs)))
        return found + self._end(doc) if done else found

    def _message(self, message: dict[str, Any]) -> list[Event]:
        found: list[Event] = []
        if text := message.get("thinking"):
            found.append(ThinkingDelta(text))
        if text := message.get("content"):
            found.append(TextDelta(text))
        found += [MediaAdded(Image(_image(value))) for value in message.get("images") or ()]
        for call in message.get("tool_calls") or ():
            found += self._call(call)
        return found

    def _call(self, raw: dict[str, Any]) -> list[Event]:
        body = raw["function"]
        given = body.get("arguments")
        arguments = given if isinstance(given, str) else orjson.dumps(given or {}).decode()
        number, self.calls = self.calls, self.calls + 1
        # Older servers tell no id; the client's writer makes one.
        started = self.tool_started(number, str(raw.get("id") or ""), body["name"])
        return [started, self.tool_delta(number, arguments)]

    def _end(self, doc: dict[str, Any]) -> list[Event]:
        self.over = True
        native = str(doc.get("done_reason") or "")
        reason = REASONS.get(native, "stop")
        usage = read_usage(DIALECT, doc)
        used: list[Event] = [] if usage is None else [Used(usage)]
        # Calls, too, end with "stop".
        return [*used, Finished("tool_calls" if reason == "stop" and self.calls else reason, native=native)]


def _image(value: str) -> Source:
    media = next((media for head, media in IMAGES.items() if value.startswith(head)), "image/png")
    return Source("data", value, media)
