"""Anthropic replies, whole and streamed, as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from providers.chat import Chat
from providers.dialects.anthropic_read_request import DIALECT, read_citation
from providers.dialects.anthropic_write_request import NAMING
from providers.dialects.failures import failed
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    OpaqueAdded,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import Usage, of_anthropic

REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}


def read_error(status: int, doc: Any) -> Failed:
    body = doc.get("error", doc) if isinstance(doc, dict) else doc
    if not isinstance(body, dict):
        return failed(status, body if isinstance(body, str) else "")
    return failed(status, body.get("message"), "", body.get("type"))


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        if doc.get("type") == "error":
            return [read_error(0, doc)]
        reader = StreamReader(chat)
        found = reader.message_start({"message": doc})
        for index, block in enumerate(doc["content"]):
            found += reader.block_start({"index": index, "content_block": block})
            found += reader.block_stop({"index": index})
        return sound(found + reader.message_delta({"delta": doc}))
    except GARBAGE:
        return [not_understood()]


class StreamReader(Reader):
    """Reads the events from ``message_start`` to ``message_stop``."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.usage: Usage | None = None
        self.last = ""  # kind of the last block that was read
        self.signed = False
        self.calls: dict[int, int] = {}  # the upstream's block index -> our call index
        self.bare: set[int] = set()  # blocks of calls without arguments so far
        self.opaque: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def _read(self, event: SseEvent) -> list[Event]:
        doc = parsed(event.data)
        read = EVENTS.get(doc.get("type", ""))
        return read(self, doc) if read else []

    def message_start(self, doc: dict[str, Any]) -> list[Event]:
        message = doc["message"]
        usage = message.get("usage") or {}
        tier = usage.get("service_tier") or ""
        started = Started(str(message.get("id") or ""), str(message.get("model") or ""), 0, DIALECT, tier)
        return [started, *self._used(usage)]

    def _used(self, usage: Any) -> list[Event]:
        if not usage:
            return []
        self.usage = of_anthropic(usage, self.usage)
        return [Used(self.usage)]

    def block_start(self, doc: dict[str, Any]) -> list[Event]:
        index, block = doc["index"], doc["content_block"]
        kind = block["type"]
        found: list[Event] = [Break()] if kind == "text" == self.last else []
        self.last = kind
        if kind == "text":
            found += [Cited(read_citation(raw)) for raw in block.get("citations") or ()]
            return [*found, TextDelta(block["text"])] if block["text"] else found
        if kind == "thinking":
            self.signed = False
            found += [ThinkingDelta(block["thinking"])] if block["thinking"] else []
            return found + (self._signature(block["signature"]) if block.get("signature") else [])
        if kind == "redacted_thinking":
            return [*found, Signed(block["data"], DIALECT, True)]
        if kind == "tool_use":
            return found + self._call(index, block)
        self.opaque[index] = (block, [])
        return found

    def _call(self, index: int, block: dict[str, Any]) -> list[Event]:
        number = self.calls[index] = len(self.calls)
        found: list[Event] = [self.tool_started(number, block["id"], block["name"])]
        if block.get("input"):
            found.append(self.tool_delta(number, orjson.dumps(block["input"]).decode()))
        else:
            self.bare.add(index)
        return found

    def _signature(self, signature: str) -> list[Event]:
        self.signed = True
        return [Signed(signature, DIALECT)]

    def block_delta(self, doc: dict[str, Any]) -> list[Event]:
        delta = doc["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return [TextDelta(delta["text"])] if delta["text"] else []
        if kind == "input_json_delta":
            return self._input(doc["index"], delta["partial_json"])
        if kind == "thinking_delta":
            return [ThinkingDelta(delta["thinking"])] if delta["thinking"] else []
        if kind == "signature_delta":
            return self._signature(delta["signature"])
        if kind == "citations_delta":
            return [Cited(read_citation(delta["citation"]))]
        if doc["index"] in self.opaque:  # compaction_delta and what is yet to come
            block = self.opaque[doc["index"]][0]
            block.update({name: value for name, value in delta.items() if name != "type"})
        return []

    def _input(self, index: int, piece: str) -> list[Event]:
        if not isinstance(piece, str):
            raise TypeError("partial_json")
        if index in self.opaque:
            self.opaque[index][1].append(piece)
            return []
        if not piece:
            return []
        self.bare.discard(index)
        return [self.tool_delta(self.calls[index], piece)]

    def block_stop(self, doc: dict[str, Any]) -> list[Event]:
        if doc["index"] in self.bare:  # other APIs have arguments as JSON, which "" is not
            return [self.tool_delta(self.calls[doc["index"]], "{}")]
        if self.last == "thinking" and not self.signed:
            self.signed = True
            return [Signed("", DIALECT)]  # so that two in a row stay two
        held = self.opaque.pop(doc["index"], None)
        if held is None:
            return []
        block, pieces = held
        if text := "".join(pieces):
            block = block | {"input": orjson.loads(text)}
        return [OpaqueAdded(DIALECT, block["type"], block)]

    def message_delta(self, doc: dict[str, Any]) -> list[Event]:
        delta = doc["delta"]
        found = self._used(doc.get("usage"))
        if native := delta.get("stop_reason"):
            stop = delta.get("stop_sequence") or ""
            found.append(Finished(REASONS.get(native, "stop"), 0, stop, native))
        return found

    def message_stop(self, doc: dict[str, Any]) -> list[Event]:
        self.over = True
        return []

    def error(self, doc: dict[str, Any]) -> list[Event]:
        self.over = True
        return [read_error(0, doc)]


EVENTS: dict[str, Callable[[StreamReader, dict[str, Any]], list[Event]]] = {
    "content_block_delta": StreamReader.block_delta,
    "content_block_start": StreamReader.block_start,
    "content_block_stop": StreamReader.block_stop,
    "message_start": StreamReader.message_start,
    "message_delta": StreamReader.message_delta,
    "message_stop": StreamReader.message_stop,
    "error": StreamReader.error,
}
