"""Anthropic replies for the client, whole and streamed, from events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from providers.chat import Chat, Json, Opaque, Part, Refusal, Text, Thinking, ToolCall
from providers.dialects.anthropic_read_reply import REASONS
from providers.dialects.anthropic_read_request import DIALECT
from providers.dialects.anthropic_write_request import legal_id
from providers.dialects.failures import KINDS
from providers.dialects.folding import Choice, fold
from providers.dialects.ids import made
from providers.dialects.signatures import tag
from providers.dialects.tiers import reply_tier
from providers.dialects.tool_names import as_object, wrapped
from providers.events import (
    AudioDelta,
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    Logprobs,
    MediaAdded,
    OpaqueAdded,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
    Used,
    cut_short,
)
from providers.fields import present
from providers.usage import Usage

WORDS = {word: native for native, word in REASONS.items()} | {"content_filter": "refusal"}


def write_error(error: Failed) -> tuple[int, Json]:
    """(status, body) of an error reply."""
    kind = "request_too_large" if error.status == 413 else KINDS[error.kind][2]
    told = {"type": "error", "error": {"type": kind, "message": error.message}}
    return error.status, told | present(request_id=error.request_id)


def write_usage(usage: Usage, tier: str = "") -> Json:
    """Anthropic's input leaves out what the cache read and wrote."""
    thought = {"thinking_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else None
    return {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    } | present(output_tokens_details=thought, service_tier=tier)


def _reason(event: Finished, refused: bool) -> str:
    if REASONS.get(event.native) == event.reason:
        return event.native
    return "refusal" if refused and event.reason == "stop" else WORDS.get(event.reason, "end_turn")


def _message(started: Started, chat: Chat, usage: Usage) -> Json:
    return {
        "id": started.id or made("msg_"),
        "type": "message",
        "role": "assistant",
        "model": started.model or chat.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": write_usage(usage, reply_tier(started.service_tier, started.dialect, DIALECT)),
    }


def _sse(kind: str, doc: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind} | doc))


class StreamWriter:
    """``feed`` gives the bytes for one event, ``flush`` the stop reason with the usage, and ``message_stop``.

    ``message_start`` waits for the event after Started: Anthropic tells input tokens there, where they are known.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.started = Started()
        self.waiting = False
        self.count = 0
        self.open = ""  # text or thinking: the one open block, at index count - 1
        self.signed = False
        self.between = ""  # what comes before the next thought of the open block
        self.tools: dict[int, int] = {}  # our call index -> block index, of those that are open
        self.custom: set[int] = set()
        self.usage = Usage()
        self.finished: Finished | None = None
        self.refused = self.failed = False

    def feed(self, event: Event) -> bytes:
        if self.waiting:
            return self._opening(event) + (b"" if isinstance(event, Used) else WRITERS[type(event)](self, event))
        return WRITERS[type(event)](self, event)

    def flush(self) -> bytes:
        if self.failed:
            return b""
        opening = self._opening(None) if self.waiting else b""
        if self.finished is None:
            return opening + self._failed(cut_short())
        event = self.finished
        delta = {"stop_reason": _reason(event, self.refused), "stop_sequence": event.stop_sequence or None}
        told = _sse("message_delta", {"delta": delta, "usage": write_usage(self.usage)})
        return opening + self._close() + told + _sse("message_stop", {})

    def _started(self, event: Started) -> bytes:
        self.started = event
        self.waiting = True
        return b""

    def _opening(self, event: Event | None) -> bytes:
        self.waiting = False
        if isinstance(event, Used):
            self.usage = event.usage
        return _sse("message_start", {"message": _message(self.started, self.chat, self.usage)})

    # blocks

    def _start(self, block: Json) -> bytes:
        self.count += 1
        return _sse("content_block_start", {"index": self.count - 1, "content_block": block})

    def _stop(self, index: int) -> bytes:
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index

    def _delta(self, index: int, kind: str, member: str, value: Any) -> bytes:
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
            % (index, kind.encode(), member.encode(), orjson.dumps(value))
        )

    def _close(self) -> bytes:
        """End the open text or thinking and all open tools; unsigned thinking is signed with its maker's name."""
        found = b""
        if self.open == "thinking" and not self.signed and self.started.dialect != DIALECT:
            found = self._delta(
                self.count - 1, "signature_delta", "signature", tag("", self.started.dialect, "", DIALECT)
            )
        if self.open:
            found += self._stop(self.count - 1)
        self.open = ""
        found += b"".join(self._stop(index) for index in self.tools.values())
        self.tools = {}
        return found

    def _opened(self, kind: str, block: Json) -> bytes:
        if self.open == kind:
            return b""
        closed = self._close()
        self.open, self.signed = kind, False
        return closed + self._start(block)

    def _text(self, event: TextDelta) -> bytes:
        if event.choice:
            return b""
        delta = orjson.dumps(event.text)
        opened = b"" if self.open == "text" else self._opened("text", {"type": "text", "text": ""})
        return opened + (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":%b}}\n\n' % (self.count - 1, delta)
        )

    def _thinking(self, event: ThinkingDelta) -> bytes:
        text = self.between + event.text if self.open == "thinking" else event.text
        self.between = ""
        opened = self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return opened + self._delta(self.count - 1, "thinking_delta", "thinking", text)

    def _signed(self, event: Signed) -> bytes:
        signature = tag(event.signature, event.signed_by, event.form or event.id, DIALECT)
        if event.redacted:
            return (
                self._close()
                + self._start({"type": "redacted_thinking", "data": signature})
                + self._stop(self.count - 1)
            )
        opened = self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self.signed = True
        told = self._delta(self.count - 1, "signature_delta", "signature", signature) if signature else b""
        return opened + told + self._close()

    def _break(self, event: Break) -> bytes:
        if self.open == "thinking":
            self.between = "\n\n"
            return b""
        return self._close() if self.open else b""

    def _tool_started(self, event: ToolStarted) -> bytes:
        closed = self._close() if self.open else b""
        if event.signature:  # a signature of the call itself; only thinking can carry it here
            closed += self._close() + self._signed(Signed(event.signature, event.signed_by, form="tool"))
        name = event.name
        block = {"type": "tool_use", "id": legal_id(event.id) or made("toolu_"), "name": name, "input": {}}
        started = self._start(block)
        self.tools[event.index] = self.count - 1
        if event.kind == "custom":
            self.custom.add(event.index)
        return closed + started

    def _tool_delta(self, event: ToolDelta) -> bytes:
        text = wrapped(event.arguments) if event.index in self.custom else event.arguments
        index = self.tools.get(event.index)
        return b"" if index is None else self._delta(index, "input_json_delta", "partial_json", text)

    def _refusal(self, event: RefusalDelta) -> bytes:
        self.refused = True
        return self._text(TextDelta(event.text, event.choice))

    def _cited(self, event: Cited) -> bytes:
        if event.citation.dialect != DIALECT:
            return b""  # theirs point into a search result or document that this client does not have
        opened = self._opened("text", {"type": "text", "text": "", "citations": []})
        return opened + self._delta(self.count - 1, "citations_delta", "citation", event.citation.raw)

    def _opaque(self, event: OpaqueAdded) -> bytes:
        if event.dialect != DIALECT:
            return b""
        block, given = event.raw, b""
        closed = self._close()
        if block.get("input"):
            given = self._delta(self.count, "input_json_delta", "partial_json", orjson.dumps(block["input"]).decode())
            block = block | {"input": {}}
        return closed + self._start(block) + given + self._stop(self.count - 1)

    def _nothing(self, event: MediaAdded | AudioDelta | Logprobs) -> bytes:
        return b""  # asked for by no Anthropic request

    def _used(self, event: Used) -> bytes:
        self.usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        if self.finished is None:
            self.finished = event
        return b""

    def _failed(self, event: Failed) -> bytes:
        self.failed = True
        return _sse("error", write_error(event)[1])


WRITERS: dict[type, Callable[[StreamWriter, Any], bytes]] = {
    TextDelta: StreamWriter._text,
    ToolDelta: StreamWriter._tool_delta,
    ThinkingDelta: StreamWriter._thinking,
    Started: StreamWriter._started,
    Signed: StreamWriter._signed,
    Break: StreamWriter._break,
    ToolStarted: StreamWriter._tool_started,
    RefusalDelta: StreamWriter._refusal,
    Cited: StreamWriter._cited,
    MediaAdded: StreamWriter._nothing,
    AudioDelta: StreamWriter._nothing,
    Logprobs: StreamWriter._nothing,
    OpaqueAdded: StreamWriter._opaque,
    Used: StreamWriter._used,
    Finished: StreamWriter._finished,
    Failed: StreamWriter._failed,
}


# ---------------------------------------------------------------- whole


def write_response(events: Iterable[Event], chat: Chat) -> Json:
    """The whole reply; an error's body where the events end in Failed."""
    reply = fold(events)
    if reply.failed is not None:
        return write_error(reply.failed)[1]
    choice = reply.choices.get(0) or Choice()
    doc = _message(reply.started, chat, reply.usage or Usage())
    doc["content"] = [block for part in choice.parts for block in _blocks(part, reply.started.dialect)]
    finished = choice.finished or Finished("stop")
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    doc["stop_reason"] = _reason(finished, refused)
    doc["stop_sequence"] = finished.stop_sequence or None
    return doc


def _blocks(part: Part, maker: str) -> list[Json]:
    if isinstance(part, Text):
        own = [citation.raw for citation in part.citations if citation.dialect == DIALECT]
        return [{"type": "text", "text": part.text} | present(citations=own)] if part.text or own else []
    if isinstance(part, Refusal):
        return [{"type": "text", "text": part.text}]
    if isinstance(part, Thinking):
        return [_thought(part, maker)]
    if isinstance(part, ToolCall):
        return _call(part)
    return [part.raw] if isinstance(part, Opaque) and part.dialect == DIALECT else []


def _thought(part: Thinking, maker: str) -> Json:
    form = part.form or str(part.extra.get("id", ""))
    signature = tag(part.signature, part.signed_by or maker, form, DIALECT)
    if part.redacted:
        return {"type": "redacted_thinking", "data": signature}
    return {"type": "thinking", "thinking": "\n\n".join([*part.texts, *part.summaries]), "signature": signature}


def _call(call: ToolCall) -> list[Json]:
    text = wrapped(call.arguments) if call.kind == "custom" else call.arguments
    given = as_object(text)
    block = {"type": "tool_use", "id": legal_id(call.id) or made("toolu_"), "name": call.name, "input": given}
    if not call.signature:
        return [block]
    return [
        {"type": "thinking", "thinking": "", "signature": tag(call.signature, call.signed_by, "tool", DIALECT)},
        block,
    ]
