"""Reads a copy of a reply for what the ledger needs: usage, ids, whether it ended as it should. Never changes a byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from providers.billed import Billed, read_billed
from providers.sse import Event
from providers.usage import Usage, of_anthropic, read_usage
from routing.objects import made, made_by_item

Doc = dict[str, Any]
TAIL_USAGE: Final = re.compile(rb'"(usage|usageMetadata)"\s*:\s*(\{(?:[^{}"]|"(?:[^"\\]|\\.)*"|\{[^{}]*\})*\})')
TEXTS: Final = frozenset({"content", "text", "arguments", "reasoning_content", "thinking", "partial_json"})


class Tap:
    """What one reply has told so far. ``complete``: it was seen to its end; ``failed``: an error event was. ``over``: its
    dialect's terminator was seen, at which SDKs hang up; Gemini has none.

    ``characters`` counts generated text, for an estimate where the upstream never tells usage; ``counted`` is how many of
    them there were when it last told. ``ended``: the upstream has said why it stopped, and only its terminator may be missing.
    """

    characters = 0
    complete = False
    counted = 0
    ended = False
    failed = False
    model = ""
    over = False
    response_id = ""
    sequence = 0
    usage: Usage | None = None
    billed: Billed | None = None

    def __init__(self, api: str) -> None:
        self.api = api
        self.objects: dict[str, str] = {}
        self._open: set[int] = set()
        self._read = EVENTS.get(api, _other)

    def feed(self, events: Iterable[Event]) -> None:
        """Read events. What cannot be read is not an error here: the client gets it as it came."""
        for event in events:
            data = event.data
            if not data:
                continue
            if data == b"[DONE]":
                self.complete = self.over = True
                continue
            try:
                doc = orjson.loads(data)
                self._read(self, doc)
            except (ValueError, TypeError, AttributeError, KeyError):
                continue

    def whole(self, doc: Any) -> None:
        """Read a whole JSON reply."""
        self.complete = True
        if isinstance(doc, list):  # Gemini without alt=sse streams a JSON array
            for item in doc:
                if isinstance(item, dict):
                    self._read(self, item)
        elif isinstance(doc, dict):
            self.use(doc)
            self.response_id = _text(doc.get("id") or doc.get("responseId"))
            self.model = _text(doc.get("model") or doc.get("modelVersion"))
            self.objects.update((found, kind) for kind, found in made(self.api, doc))
            self.failed = isinstance(doc.get("error"), dict) and "output" not in doc
            if self.usage is None:
                self.characters = _written(doc)

    def tail(self, data: bytes) -> None:
        """Read the end of a reply that was too large to parse."""
        self.complete = True
        for match in TAIL_USAGE.finditer(data):
            self.use({match[1].decode(): orjson.loads(match[2])})

    def use(self, doc: Doc) -> None:
        """Take what a whole reply, or an event of one, tells of its usage."""
        if (usage := read_usage(self.api, doc)) is not None:
            self.usage = usage
            self.mark()
        self.billed = read_billed(self.api, doc, self.billed)

    def mark(self) -> None:
        """What was generated so far is in the usage that was just told, if that tells of any output."""
        if self.usage is not None and self.usage.output_tokens:
            self.counted = self.characters


def _text(value: Any) -> str:
    return value[:255] if isinstance(value, str) else ""


def _written(doc: Doc) -> int:
    """The length of all texts in a whole reply, for an estimate."""
    count = 0
    stack: list[Any] = [doc]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            count += sum(len(value) for name, value in node.items() if name in TEXTS and isinstance(value, str))
            stack += node.values()
        elif isinstance(node, list):
            stack += node
    return count


def _head(tap: Tap, doc: Doc) -> None:
    if not tap.response_id:
        tap.response_id = _text(doc.get("id") or doc.get("responseId"))
        tap.model = _text(doc.get("model") or doc.get("modelVersion"))


def _chat(tap: Tap, doc: dict[str, Any]) -> None:
    """chat.completion.chunk and text_completion chunks."""
    if not tap.response_id:
        _head(tap, doc)
    told = doc.get("usage") or "x_groq" in doc
    if told:
        tap.use(doc)
    tap.failed = tap.failed or bool(doc.get("error"))
    for choice in doc.get("choices") or ():
        delta = choice.get("delta")
        if delta:
            text = delta.get("content")
            if len(delta) == 1 and text.__class__ is str:  # as most are
                tap.characters += len(text)
            else:
                _delta(tap, delta, doc)
        elif "text" in choice:
            tap.characters += len(choice["text"] or "")
        if choice.get("finish_reason"):
            tap._open.discard(choice.get("index", 0))
            tap.complete = not tap._open
        elif not tap.complete:
            tap._open.add(choice.get("index", 0))
    if told:
        tap.mark()


def _delta(tap: Tap, delta: Doc, doc: Doc) -> None:
    tap.characters += _characters(delta)
    if delta.get("audio"):
        tap.objects.update((found, kind) for kind, found in made("chat", doc))


def _characters(delta: Doc) -> int:
    count = len(delta.get("content") or "") + len(delta.get("reasoning_content") or delta.get("reasoning") or "")
    for call in delta.get("tool_calls") or ():
        count += len((call.get("function") or {}).get("arguments") or "")
    return count


def _anthropic(tap: Tap, doc: dict[str, Any]) -> None:
    match doc.get("type"):
        case "content_block_delta":
            delta = doc["delta"]
            tap.characters += len(delta.get("text") or delta.get("partial_json") or delta.get("thinking") or "")
        case "message_start":
            message = doc["message"]
            _head(tap, message)
            tap.usage = of_anthropic(message.get("usage") or {})
            tap.billed = read_billed("messages", message)
            tap.objects.update((found, kind) for kind, found in made("messages", message))
        case "message_delta":
            if doc.get("usage"):
                tap.usage = of_anthropic(doc["usage"], tap.usage)
                tap.mark()
                tap.billed = read_billed("messages", doc, tap.billed)
            delta = doc.get("delta") or {}
            tap.ended = bool(delta.get("stop_reason"))
            tap.objects.update((found, kind) for kind, found in made("messages", delta))
        case "message_stop":
            tap.complete = tap.over = True
        case "error":
            tap.failed = True


def _gemini(tap: Tap, doc: dict[str, Any]) -> None:
    _head(tap, doc)
    if doc.get("usageMetadata"):
        tap.use(doc)
    if doc.get("error"):
        tap.failed = True
    if (doc.get("promptFeedback") or {}).get("blockReason"):
        tap.complete = True
    for candidate in doc.get("candidates") or ():
        for part in (candidate.get("content") or {}).get("parts") or ():
            tap.characters += len(part.get("text") or "")
        if candidate.get("finishReason"):
            tap.complete = True
    if doc.get("usageMetadata"):
        tap.mark()


def _responses(tap: Tap, doc: dict[str, Any]) -> None:
    kind = doc.get("type", "")
    tap.sequence = doc.get("sequence_number") or tap.sequence
    if kind.endswith(".delta"):
        delta = doc.get("delta")
        tap.characters += len(delta) if isinstance(delta, str) else 0
    elif kind == "response.output_item.done":
        tap.objects.update((found, what) for what, found in made_by_item(doc["item"]))
    elif kind in ("response.created", "response.queued"):
        _head(tap, doc["response"])
        tap.objects.update((found, what) for what, found in made("responses", doc["response"]))
    elif kind in ("response.completed", "response.incomplete", "response.failed", "response.cancelled"):
        tap.complete = tap.over = True
        tap.failed = kind == "response.failed"
        _head(tap, doc["response"])
        tap.use(doc["response"])
        tap.objects.update((found, what) for what, found in made("responses", doc["response"]))
    elif kind == "error":
        tap.failed = True


def _other(tap: Tap, doc: dict[str, Any]) -> None:
    """Event streams of the image and audio APIs: the last event's type ends in done or completed and tells usage."""
    kind = doc.get("type") or ""
    if isinstance(doc.get("usage"), dict):
        tap.use(doc)
    tap.complete = tap.complete or kind.endswith((".done", ".completed"))
    tap.failed = tap.failed or kind == "error" or bool(doc.get("error"))


EVENTS: Final[dict[str, Callable[[Tap, dict[str, Any]], None]]] = {
    "chat": _chat,
    "completions": _chat,
    "messages": _anthropic,
    "generate": _gemini,
    "responses": _responses,
}


def is_error(event: Event) -> bool:
    """Whether this first event of a stream is an error rather than the start of a reply."""
    if event.type == "error":
        return True
    if b'"error"' not in event.data:
        return False
    try:
        doc = orjson.loads(event.data)
    except ValueError:
        return False
    return isinstance(doc, dict) and (
        doc.get("type") == "error" or (bool(doc.get("error")) and "choices" not in doc and "response" not in doc)
    )
