"""OpenAI Responses replies, whole and streamed, as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.chat import Chat
from providers.dialects.failures import failed
from providers.dialects.openai_parts import read_annotation
from providers.dialects.openai_responses_read_request import DIALECT
from providers.dialects.openai_responses_write_request import NAMING
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, second, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    Logprobs,
    OpaqueAdded,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import of_openai

INCOMPLETE = {"max_output_tokens": "length", "max_tokens": "length", "content_filter": "content_filter"}
PENDING = ("queued", "in_progress", "cancelled")
CALLS = ("function_call", "custom_tool_call")


def read_error(status: int, doc: Any) -> Failed:
    body = doc.get("error", doc) if isinstance(doc, dict) else doc
    if not isinstance(body, dict):
        return failed(status, body if isinstance(body, str) else "")
    code, message = body.get("code"), body.get("message") or body.get("detail")
    kind = body.get("type") if body.get("type") != "error" else ""
    return failed(status, message, code, kind, body.get("param"))


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        if "output" not in doc:
            return [read_error(0, doc)]
        reader = StreamReader(chat)
        found = reader.started(doc)
        for index, item in enumerate(doc["output"]):
            found += reader.item_added({"output_index": index, "item": item})
            found += reader.item_done({"output_index": index, "item": item})
        return sound(found + reader.ended({"response": doc}))
    except GARBAGE:
        return [not_understood()]


class _Item:
    """What was streamed of one output item, so that its end tells only what is missing."""

    __slots__ = ("call", "ended", "kind", "parts", "told")

    def __init__(self, kind: str, call: int = -1) -> None:
        self.kind = kind
        self.call = call
        self.told = self.ended = False
        self.parts = 0


class StreamReader(Reader):
    """Reads the semantic events up to ``response.completed``, ``.incomplete``, ``.failed`` or ``error``."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.begun = False
        self.calls = 0
        self.last = ""  # kind of the last item
        self.items: dict[Any, _Item] = {}
        self.newest: _Item | None = None

    def _read(self, event: SseEvent) -> list[Event]:
        if event.data in (b"[DONE]", "[DONE]"):
            return []
        doc = parsed(event.data)
        kind = doc.get("type") or event.type
        read = EVENTS.get(kind)
        if read is None:
            return []
        return read(self, doc)

    def created(self, doc: dict[str, Any]) -> list[Event]:
        return [] if self.begun else self.started(doc["response"])

    def started(self, response: dict[str, Any]) -> list[Event]:
        self.begun = True
        return [
            Started(
                str(response.get("id") or ""),
                str(response.get("model") or ""),
                second(response.get("created_at")),
                DIALECT,
                str(response.get("service_tier") or ""),
            )
        ]

    def item_added(self, doc: dict[str, Any]) -> list[Event]:
        item = doc["item"]
        kind = item["type"]
        found: list[Event] = [Break()] if kind == "message" == self.last else []
        if self.newest and self.newest.kind == "reasoning" and not self.newest.ended:
            self.newest.ended = True
            found.append(Signed("", DIALECT))  # OpenRouter ends it after the message that follows
        self.last = kind
        seen = self.newest = self.items[doc["output_index"]] = _Item(kind)
        if kind in CALLS:
            seen.call = self.calls
            self.calls += 1
            word = "custom" if kind == "custom_tool_call" else "function"
            started = self.tool_started(seen.call, str(item.get("call_id") or ""), item["name"], word)
            started.namespace = started.namespace or item.get("namespace") or ""
            found.append(started)
        return found

    def part_added(self, doc: dict[str, Any]) -> list[Event]:
        seen = self.items[doc["output_index"]]
        seen.parts += 1
        return [Break()] if seen.parts > 1 else []

    def text(self, doc: dict[str, Any]) -> list[Event]:
        self.items[doc["output_index"]].told = True
        found: list[Event] = [TextDelta(doc["delta"])] if doc["delta"] else []
        if logprobs := doc.get("logprobs"):
            found.append(Logprobs(logprobs))
        return found

    def refusal(self, doc: dict[str, Any]) -> list[Event]:
        self.items[doc["output_index"]].told = True
        return [RefusalDelta(doc["delta"])] if doc["delta"] else []

    def summary(self, doc: dict[str, Any]) -> list[Event]:
        self.items[doc["output_index"]].told = True
        return [ThinkingDelta(doc["delta"], True)] if doc["delta"] else []

    def reasoning(self, doc: dict[str, Any]) -> list[Event]:
        self.items[doc["output_index"]].told = True
        return [ThinkingDelta(doc["delta"])] if doc["delta"] else []

    def arguments(self, doc: dict[str, Any]) -> list[Event]:
        seen = self.items[doc["output_index"]]
        if seen.call < 0 or not doc["delta"]:
            return []  # of a tool that the upstream runs
        seen.told = True
        return [self.tool_delta(seen.call, doc["delta"])]

    def annotation(self, doc: dict[str, Any]) -> list[Event]:
        return [Cited(read_annotation(doc["annotation"], DIALECT))]

    def item_done(self, doc: dict[str, Any]) -> list[Event]:
        item = doc["item"]
        seen = self.items.get(doc["output_index"])
        found = [] if seen and seen.kind == item["type"] else self.item_added(doc)
        seen = self.items[doc["output_index"]]
        kind = item["type"]
        if kind in CALLS:
            text = item.get("arguments") or item.get("input") or ""
            return found + ([] if seen.told or not text else [self.tool_delta(seen.call, text)])
        if kind == "message":
            return found + ([] if seen.told else _message(item.get("content") or ()))
        if kind == "reasoning":
            found += [] if seen.told else _reasoning(item)
            if seen.ended and not item.get("encrypted_content"):
                return found
            seen.ended = True
            return [*found, Signed(item.get("encrypted_content") or "", DIALECT, id=item.get("id") or "")]
        return [*found, OpaqueAdded(DIALECT, kind, item)]

    def ended(self, doc: dict[str, Any]) -> list[Event]:
        response = doc["response"]
        self.over = True
        found: list[Event] = [] if self.begun else self.started(response)
        if response.get("usage"):
            found.append(Used(of_openai(response["usage"])))
        status = response.get("status") or "completed"
        if status == "failed" or (response.get("error") and status != "completed"):
            return [*found, read_error(0, response.get("error") or {})]
        if status == "incomplete":
            native = (response.get("incomplete_details") or {}).get("reason") or "max_output_tokens"
            return [*found, Finished(INCOMPLETE.get(native, "length"), native=native)]
        if status in PENDING:
            return [*found, Finished("pause", native=status)]
        return [*found, Finished("tool_calls" if self.calls else "stop", native="completed")]

    def error(self, doc: dict[str, Any]) -> list[Event]:
        self.over = True
        return [read_error(0, doc.get("error") or doc)]


EVENTS: dict[str, Callable[[StreamReader, dict[str, Any]], list[Event]]] = {
    "response.output_text.delta": StreamReader.text,
    "response.function_call_arguments.delta": StreamReader.arguments,
    "response.custom_tool_call_input.delta": StreamReader.arguments,
    "response.reasoning_summary_text.delta": StreamReader.summary,
    "response.reasoning_text.delta": StreamReader.reasoning,
    "response.reasoning.delta": StreamReader.reasoning,
    "response.refusal.delta": StreamReader.refusal,
    "response.created": StreamReader.created,
    "response.queued": StreamReader.created,
    "response.in_progress": StreamReader.created,
    "response.output_item.added": StreamReader.item_added,
    "response.output_item.done": StreamReader.item_done,
    "response.content_part.added": StreamReader.part_added,
    "response.reasoning_summary_part.added": StreamReader.part_added,
    "response.output_text.annotation.added": StreamReader.annotation,
    "response.completed": StreamReader.ended,
    "response.incomplete": StreamReader.ended,
    "response.failed": StreamReader.ended,
    "error": StreamReader.error,
}


def _message(content: Any) -> list[Event]:
    found: list[Event] = []
    for number, part in enumerate(content):
        found += [Break()] if number else []
        if part["type"] == "refusal":
            found += [RefusalDelta(part["refusal"])] if part["refusal"] else []
        elif part["type"] == "output_text":
            found += [TextDelta(part["text"])] if part["text"] else []
            found += [Logprobs(part["logprobs"])] if part.get("logprobs") else []
            found += [Cited(read_annotation(raw, DIALECT)) for raw in part.get("annotations") or ()]
    return found


def _reasoning(item: dict[str, Any]) -> list[Event]:
    told = [(piece["text"], True) for piece in item.get("summary") or ()]
    told += [(piece["text"], False) for piece in item.get("content") or ()]
    found: list[Event] = []
    for number, (text, summary) in enumerate(told):
        found += [Break()] if number else []
        found += [ThinkingDelta(text, summary)] if text else []
    return found
