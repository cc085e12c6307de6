"""Cohere chat replies (API v2), whole and streamed, as events.

The plan that precedes tool calls comes as thinking of the form ``tool_plan``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.chat import Chat, Citation
from providers.dialects.cohere_write_request import DIALECT, NAMING
from providers.dialects.failures import failed
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    Logprobs,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import read_usage

PLAN = "tool_plan"
REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "context_window",
}
#: Ends that are no answer: the word -> the status that stands for it.
FAILURES = {"ERROR": 502, "TIMEOUT": 504}


def read_error(status: int, doc: Any) -> Failed:
    message = doc.get("message") if isinstance(doc, dict) else doc
    return failed(status, message)


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        message = doc["message"]
        if isinstance(message, str):
            return [read_error(0, doc)]
        reader = StreamReader(chat)
        found = reader.message_start(doc)
        if plan := message.get("tool_plan"):
            found += reader.plan({"delta": {"message": {"tool_plan": plan}}})
        for block in message.get("content") or ():
            found += reader.content_start({"delta": {"message": {"content": block}}}) + reader.content_end({})
        for citation in message.get("citations") or ():
            found += reader.citation({"delta": {"message": {"citations": citation}}})
        for index, call in enumerate(message.get("tool_calls") or ()):
            found += reader.call_start({"index": index, "delta": {"message": {"tool_calls": call}}})
        for item in doc.get("logprobs") or ():
            found.append(_logprobs(item))
        return sound(found + reader.message_end({"delta": doc}))
    except GARBAGE:
        return [not_understood()]


class StreamReader(Reader):
    """Reads the events from ``message-start`` to ``message-end``; a ``[DONE]`` after it says nothing more."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.last = ""  # kind of the last content block
        self.kind = ""  # of the open one
        self.planned = False
        self.calls: dict[int, int] = {}  # the upstream's index -> our call index

    def _read(self, event: SseEvent) -> list[Event]:
        if event.data.strip() == b"[DONE]":
            return []
        doc = parsed(event.data)
        kind = doc.get("type") or event.type
        if kind not in EVENTS and isinstance(doc.get("message"), str):
            self.over = True
            return [read_error(0, doc)]
        read = EVENTS.get(kind)
        return read(self, doc) if read else []

    def message_start(self, doc: dict[str, Any]) -> list[Event]:
        return [Started(str(doc.get("id") or ""), "", 0, DIALECT)]

    def plan(self, doc: dict[str, Any]) -> list[Event]:
        text = doc["delta"]["message"]["tool_plan"]
        if not text:
            return []
        self.planned = True
        return [ThinkingDelta(text, form=PLAN)]

    def _plan_end(self) -> list[Event]:
        """So that the plan comes back as one, apart from thinking."""
        planned, self.planned = self.planned, False
        return [Signed("", DIALECT, form=PLAN)] if planned else []

    def content_start(self, doc: dict[str, Any]) -> list[Event]:
        block = doc["delta"]["message"]["content"]
        self.kind = block["type"]
        found = self._plan_end() + ([Break()] if self.kind == "text" == self.last else [])
        self.last = self.kind
        return found + self._piece(block)

    def content_delta(self, doc: dict[str, Any]) -> list[Event]:
        found = self._piece(doc["delta"]["message"]["content"])
        return found + ([_logprobs(doc["logprobs"])] if doc.get("logprobs") else [])

    def _piece(self, content: dict[str, Any]) -> list[Event]:
        found: list[Event] = []
        if content.get("thinking"):
            found.append(ThinkingDelta(content["thinking"]))
        if content.get("text"):
            found.append(TextDelta(content["text"]))
        return found

    def content_end(self, doc: dict[str, Any]) -> list[Event]:
        kind, self.kind = self.kind, ""
        return [Signed("", DIALECT)] if kind == "thinking" else []

    def call_start(self, doc: dict[str, Any]) -> list[Event]:
        call = doc["delta"]["message"]["tool_calls"]
        function = call["function"]
        number = self.calls[doc["index"]] = len(self.calls)
        found = [*self._plan_end(), self.tool_started(number, call["id"], function["name"])]
        if function.get("arguments"):
            found.append(self.tool_delta(number, _text(function["arguments"])))
        return found

    def call_delta(self, doc: dict[str, Any]) -> list[Event]:
        piece = _text(doc["delta"]["message"]["tool_calls"]["function"]["arguments"])
        return [self.tool_delta(self.calls[doc["index"]], piece)] if piece else []

    def citation(self, doc: dict[str, Any]) -> list[Event]:
        """One for each source. Those of plans and thinking count places in a text that is not the answer."""
        raw = doc["delta"]["message"]["citations"]
        if raw.get("type") not in (None, "TEXT_CONTENT"):
            return []
        return [Cited(_citation(raw, source)) for source in raw.get("sources") or [{}]]

    def message_end(self, doc: dict[str, Any]) -> list[Event]:
        delta = doc["delta"]
        native = delta["finish_reason"]
        usage = read_usage(DIALECT, delta)
        found = [*self._plan_end(), *([] if usage is None else [Used(usage)])]
        self.over = True
        if native in FAILURES:
            return [*found, failed(FAILURES[native], delta.get("error"), type=native)]
        return [*found, Finished(REASONS.get(native, "stop"), native=native)]


EVENTS: dict[str, Callable[[StreamReader, dict[str, Any]], list[Event]]] = {
    "message-start": StreamReader.message_start,
    "content-start": StreamReader.content_start,
    "content-delta": StreamReader.content_delta,
    "content-end": StreamReader.content_end,
    "tool-plan-delta": StreamReader.plan,
    "tool-call-start": StreamReader.call_start,
    "tool-call-delta": StreamReader.call_delta,
    "citation-start": StreamReader.citation,
    "message-end": StreamReader.message_end,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("arguments")
    return value


def _citation(raw: dict[str, Any], source: dict[str, Any]) -> Citation:
    told = source.get("document")
    told = told if isinstance(told, dict) else {}
    url, title = (str(told.get(name) or "") for name in ("url", "title"))
    start, end = (raw[name] if type(raw.get(name)) is int else -1 for name in ("start", "end"))
    return Citation("url" if url else "document", url, title, "", start, end, DIALECT, raw)


def _logprobs(item: dict[str, Any]) -> Logprobs:
    """A chunk of text may be several tokens, whose probabilities are told together: it counts as one."""
    text = str(item.get("text") or "")
    total = float(sum(item.get("logprobs") or ()))
    return Logprobs([{"token": text, "logprob": total, "bytes": list(text.encode()), "top_logprobs": []}])
