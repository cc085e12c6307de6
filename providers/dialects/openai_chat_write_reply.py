"""Chat completions replies for the client, whole and streamed, from events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from providers.chat import Chat, Citation, Image, Json
from providers.dialects.failures import openai_error
from providers.dialects.ids import made
from providers.dialects.openai_chat_read_reply import REASONS
from providers.dialects.openai_chat_read_request import DIALECT
from providers.dialects.openai_chat_write_request import FORMATS
from providers.dialects.openai_parts import url_citation, usage_details, write_source
from providers.dialects.tiers import reply_tier
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

WORDS = {"length": "length", "context_window": "length", "tool_calls": "tool_calls"} | {
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


def write_error(error: Failed) -> tuple[int, Json]:
    """(status, body) of an error reply."""
    return error.status, openai_error(error)


def write_usage(usage: Usage) -> Json:
    heard, spoken = usage.input_audio_tokens, usage.output_audio_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": usage_details(usage.cache_read_tokens, usage.cache_write_tokens)
        | present(audio_tokens=heard or None),
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens}
        | present(audio_tokens=spoken or None),
    }


def _tier(event: Started) -> str:
    return reply_tier(event.service_tier, event.dialect, DIALECT)


def _reason(event: Finished, maker: str) -> str:
    # Another vendor may know the same word and mean less by it (Ollama stops where it calls tools).
    own = maker == DIALECT and event.native in REASONS
    return event.native if own or REASONS.get(event.native) == event.reason else WORDS.get(event.reason, "stop")


def _annotation(citation: Citation, length: int) -> Json | None:
    if citation.dialect == DIALECT:
        return citation.raw
    if not citation.url:
        return None
    return {"type": "url_citation", "url_citation": url_citation(citation, length)}


def _thought(text: str, form: str, summary: bool, detail: int, maker: str) -> Json:
    """The member that tells reasoning: ``reasoning_content`` is what most clients read. What another dialect's model
    signs stands in ``reasoning_details`` too, as OpenRouter has it, so that its signature can come back with it."""
    if not form and maker in FORMATS:
        signed = _thought(text, f"reasoning_details:{FORMATS[maker]}", summary, detail, "")
        return {"reasoning_content": text} | signed
    kind, _, vendor = form.partition(":")
    if kind == "reasoning_details":
        told = {"type": "reasoning.summary", "summary": text} if summary else {"type": "reasoning.text", "text": text}
        return {"reasoning_details": [told | present(format=vendor) | {"index": detail}]}
    if kind == "thinking":
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}
    return {"reasoning" if kind == "reasoning" else "reasoning_content": text}


def _signature(event: Signed, detail: int) -> Json:
    told = {"type": "reasoning.encrypted", "data": event.signature}
    if not event.redacted and event.signed_by != "openai_responses" and event.form != "text":
        told = {"type": "reasoning.text", "signature": event.signature}
    vendor = event.form.partition(":")[2] if event.signed_by == DIALECT else FORMATS.get(event.signed_by, "")
    return told | present(format=vendor, id=event.id) | {"index": detail}


def _tool_call(event: ToolStarted, arguments: str) -> Json:
    kind = "custom" if event.kind == "custom" else "function"
    call: Json = {"id": event.id or made("call_"), "type": kind}
    body = {"name": event.name, "input" if event.kind == "custom" else "arguments": arguments}
    if event.signature:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return call | {kind: body}


# ---------------------------------------------------------------- stream


class StreamWriter:
    """``feed`` gives the bytes for one event, ``flush`` the end: usage if the client asked for it, then ``[DONE]``."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.head = b""
        self.roles: set[int] = set()
        self.lengths: dict[int, int] = {}
        self.kinds: dict[tuple[int, int], str] = {}
        self.detail = 0
        self.maker = ""
        self.usage: Usage | None = None
        self.finished = self.failed = False

    def feed(self, event: Event) -> bytes:
        return WRITERS[type(event)](self, event)

    def flush(self) -> bytes:
        if self.failed:
            return b""
        if not self.finished:
            return self._failed(cut_short())
        usage = b""
        if self.usage is not None and self.chat.stream_usage:
            told = orjson.dumps(write_usage(self.usage))
            usage = self.head[: self.head.rindex(b"[")] + b'[],"usage":' + told + b"}\n\n"
        return usage + b"data: [DONE]\n\n"

    def _started(self, event: Started) -> bytes:
        self.maker = event.dialect
        doc = {
            "id": event.id or made("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": event.created or int(time.time()),
            "model": event.model or self.chat.model,
        }
        head = orjson.dumps(doc | present(service_tier=_tier(event)))
        self.head = b"data: " + head[:-1] + b',"choices":[{"index":'
        return self._chunk(0, b'{"role":"assistant","content":""}')

    def _chunk(self, choice: int, delta: bytes, more: bytes = b',"finish_reason":null}]}\n\n') -> bytes:
        if choice in self.roles:
            return b'%b%d,"delta":%b%b' % (self.head, choice, delta, more)
        if not self.head:
            self._started(Started())
        self.roles.add(choice)
        if delta.startswith(b'{"role"'):
            return self._chunk(choice, delta, more)
        return self._chunk(choice, b'{"role":"assistant","content":""}') + self._chunk(choice, delta, more)

    def _delta(self, choice: int, **delta: Any) -> bytes:
        return self._chunk(choice, orjson.dumps(delta))

    def _text(self, event: TextDelta) -> bytes:
        self.lengths[event.choice] = self.lengths.get(event.choice, 0) + len(event.text)
        return self._chunk(event.choice, b'{"content":' + orjson.dumps(event.text) + b"}")

    def _thinking(self, event: ThinkingDelta) -> bytes:
        return self._delta(event.choice, **_thought(event.text, event.form, event.summary, self.detail, self.maker))

    def _signed(self, event: Signed) -> bytes:
        if not event.signature:
            return b""
        return self._delta(event.choice, reasoning_details=[_signature(event, self.detail)])

    def _break(self, event: Break) -> bytes:
        self.detail += 1
        return b""

    def _tool_started(self, event: ToolStarted) -> bytes:
        self.kinds[event.choice, event.index] = event.kind
        return self._delta(event.choice, tool_calls=[{"index": event.index} | _tool_call(event, "")])

    def _tool_delta(self, event: ToolDelta) -> bytes:
        text = orjson.dumps(event.arguments)
        if self.kinds.get((event.choice, event.index)) == "custom":
            delta = b'{"tool_calls":[{"index":%d,"type":"custom","custom":{"input":%b}}]}' % (event.index, text)
        else:
            delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (event.index, text)
        return self._chunk(event.choice, delta)

    def _refusal(self, event: RefusalDelta) -> bytes:
        return self._delta(event.choice, refusal=event.text)

    def _cited(self, event: Cited) -> bytes:
        told = _annotation(event.citation, self.lengths.get(event.choice, 0))
        return self._delta(event.choice, annotations=[told]) if told else b""

    def _media(self, event: MediaAdded) -> bytes:
        if not isinstance(event.part, Image):
            return b""
        return self._delta(event.choice, images=[_image(event.part)])

    def _audio(self, event: AudioDelta) -> bytes:
        told = present(id=event.id, data=event.data, transcript=event.transcript, expires_at=event.expires_at or None)
        return self._delta(event.choice, audio=told)

    def _logprobs(self, event: Logprobs) -> bytes:
        more = b',"logprobs":' + orjson.dumps({event.kind: event.tokens}) + b',"finish_reason":null}]}\n\n'
        return self._chunk(event.choice, b"{}", more)

    def _opaque(self, event: OpaqueAdded) -> bytes:
        return self._delta(event.choice, content=[event.raw]) if event.dialect == DIALECT else b""

    def _used(self, event: Used) -> bytes:
        self.usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        self.finished = True
        reason = orjson.dumps(_reason(event, self.maker))
        return self._chunk(event.choice, b"{}", b',"finish_reason":' + reason + b"}]}\n\n")

    def _failed(self, event: Failed) -> bytes:
        self.failed = True
        return b"data: " + orjson.dumps(write_error(event)[1]) + b"\n\n"


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
    MediaAdded: StreamWriter._media,
    AudioDelta: StreamWriter._audio,
    Logprobs: StreamWriter._logprobs,
    OpaqueAdded: StreamWriter._opaque,
    Used: StreamWriter._used,
    Finished: StreamWriter._finished,
    Failed: StreamWriter._failed,
}


def _image(part: Image) -> Json:
    return {"type": "image_url", "image_url": {"url": write_source(part.source)}}


# ---------------------------------------------------------------- whole


class _Choice:
    """One choice's message as it grows."""

    def __init__(self, maker: str) -> None:
        self.maker = maker
        self.message: Json = {"role": "assistant", "content": None, "refusal": None}
        self.logprobs: Json | None = None
        self.reason = "stop"
        self.detail = 0
        self.last: tuple[str, int] = ("", 0)

    def text(self, event: TextDelta) -> None:
        content = self.message["content"]
        if isinstance(content, list):
            content.append({"type": "text", "text": event.text})
        else:
            self.message["content"] = (content or "") + event.text

    def thinking(self, event: ThinkingDelta) -> None:
        for name, value in _thought(event.text, event.form, event.summary, self.detail, self.maker).items():
            if isinstance(value, str):
                self.message[name] = self.message.get(name, "") + value
            else:
                self._pieces(name, value, event)

    def _pieces(self, name: str, value: list[Json], event: ThinkingDelta) -> None:
        if name == "content":
            held = self.message["content"]
            self.message["content"] = [*(held if isinstance(held, list) else []), *value]
            return
        told = "summary" if event.summary else "text"
        held = self.message.setdefault(name, [])
        if held and self.last == (told, self.detail):
            held[-1][told] += event.text
        else:
            held += value
        self.last = (told, self.detail)

    def signed(self, event: Signed) -> None:
        if not event.signature:
            return
        details = self.message.setdefault("reasoning_details", [])
        if "signature" in _signature(event, self.detail) and self.last == ("text", self.detail):
            details[-1]["signature"] = event.signature
            details[-1] |= present(id=event.id)
        else:
            details.append(_signature(event, self.detail))
        self.last = ("", 0)

    def broken(self, event: Break) -> None:
        self.detail += 1

    def tool_started(self, event: ToolStarted) -> None:
        self.message.setdefault("tool_calls", []).append(_tool_call(event, ""))

    def tool_delta(self, event: ToolDelta) -> None:
        call = self.message["tool_calls"][event.index]
        if call["type"] == "custom":
            call["custom"]["input"] += event.arguments
        else:
            call["function"]["arguments"] += event.arguments

    def refusal(self, event: RefusalDelta) -> None:
        self.message["refusal"] = (self.message["refusal"] or "") + event.text

    def cited(self, event: Cited) -> None:
        content = self.message["content"]
        told = _annotation(event.citation, len(content) if isinstance(content, str) else 0)
        if told:
            self.message.setdefault("annotations", []).append(told)

    def media(self, event: MediaAdded) -> None:
        if isinstance(event.part, Image):
            self.message.setdefault("images", []).append(_image(event.part))

    def audio(self, event: AudioDelta) -> None:
        held = self.message.setdefault("audio", {"id": "", "data": "", "transcript": "", "expires_at": 0})
        held["id"] = held["id"] or event.id
        held["data"] += event.data
        held["transcript"] += event.transcript
        held["expires_at"] = event.expires_at or held["expires_at"]

    def told(self, event: Logprobs) -> None:
        self.logprobs = self.logprobs or {"content": None, "refusal": None}
        self.logprobs[event.kind] = [*(self.logprobs.get(event.kind) or []), *event.tokens]

    def opaque(self, event: OpaqueAdded) -> None:
        if event.dialect == DIALECT:
            held = self.message["content"]
            self.message["content"] = [*(held if isinstance(held, list) else []), event.raw]

    def finished(self, event: Finished) -> None:
        self.reason = _reason(event, self.maker)


CHOICE_WRITERS: dict[type, Callable[[_Choice, Any], None]] = {
    TextDelta: _Choice.text,
    ThinkingDelta: _Choice.thinking,
    Signed: _Choice.signed,
    Break: _Choice.broken,
    ToolStarted: _Choice.tool_started,
    ToolDelta: _Choice.tool_delta,
    RefusalDelta: _Choice.refusal,
    Cited: _Choice.cited,
    MediaAdded: _Choice.media,
    AudioDelta: _Choice.audio,
    Logprobs: _Choice.told,
    OpaqueAdded: _Choice.opaque,
    Finished: _Choice.finished,
}


def write_response(events: Iterable[Event], chat: Chat) -> Json:
    """The whole reply; an error's body where the events end in Failed."""
    started, usage, choices = Started(), None, dict[int, _Choice]()
    for event in events:
        if isinstance(event, Failed):
            return write_error(event)[1]
        if isinstance(event, Started):
            started = event
        elif isinstance(event, Used):
            usage = event.usage
        else:
            choice = choices.setdefault(event.choice, _Choice(started.dialect))
            CHOICE_WRITERS[type(event)](choice, event)
    doc: Json = {
        "id": started.id or made("chatcmpl-"),
        "object": "chat.completion",
        "created": started.created or int(time.time()),
        "model": started.model or chat.model,
        "choices": [
            {"index": at, "message": choice.message, "logprobs": choice.logprobs, "finish_reason": choice.reason}
            for at, choice in sorted(choices.items())
        ],
    }
    if usage is not None:
        doc["usage"] = write_usage(usage)
    return doc | present(service_tier=_tier(started))
