"""Gemini replies for the client, whole and streamed, from events."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from providers.chat import Audio, Chat, File, Image, Json, Opaque, Part, Refusal, Text, Thinking, ToolCall, Video
from providers.dialects.failures import KINDS
from providers.dialects.folding import Choice, fold
from providers.dialects.gemini_read_reply import BLOCKED, CARRIED, REASONS
from providers.dialects.gemini_read_request import DIALECT
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

WORDS = {"length": "MAX_TOKENS", "context_window": "MAX_TOKENS", "content_filter": "SAFETY", "refusal": "SAFETY"} | {
    "error": "OTHER"
}


def write_error(error: Failed) -> tuple[int, Json]:
    """(status, body) of an error reply."""
    body = {"code": error.status, "message": error.message, "status": KINDS[error.kind][3]}
    return error.status, {"error": body | present(request_id=error.request_id)}


def _audio(tokens: int) -> list[Json]:
    return [{"modality": "AUDIO", "tokenCount": tokens}] if tokens else []


def write_usage(usage: Usage, tier: str = "") -> Json:
    """Thoughts are told apart from the candidates' tokens."""
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    } | present(
        cachedContentTokenCount=usage.cache_read_tokens or None,
        thoughtsTokenCount=usage.reasoning_tokens or None,
        promptTokensDetails=_audio(usage.input_audio_tokens),
        candidatesTokensDetails=_audio(usage.output_audio_tokens),
        serviceTier=tier,
    )


def _reason(event: Finished) -> str:
    return event.native if REASONS.get(event.native) == event.reason else WORDS.get(event.reason, "STOP")


def _signature(signature: str, signed_by: str, form: str) -> str:
    """The SDKs decode signatures as base64, so another maker's is wrapped once more."""
    if signed_by == DIALECT:
        return signature
    return base64.b64encode(tag(signature, signed_by, form, DIALECT).encode()).decode()


def _call(call: ToolCall) -> Json:
    text = wrapped(call.arguments) if call.kind == "custom" else call.arguments
    given = as_object(text)
    signature = _signature(call.signature, call.signed_by, "tool") if call.signature else ""
    told = present(id=call.id) | {"name": call.name, "args": given}
    return {"functionCall": told} | present(thoughtSignature=signature)


def _blob(part: Image | Audio | Video | File) -> Json:
    source = part.source
    if source.kind == "data":
        return {"inlineData": {"mimeType": source.media_type, "data": source.value}}
    return {"fileData": present(mimeType=source.media_type) | {"fileUri": source.value}}


def _logprobs(tokens: list[Json]) -> Json:
    def told(token: Json) -> Json:
        return {"token": token.get("token"), "logProbability": token.get("logprob")}

    def rivals(token: Json) -> list[Json]:
        found = token.get("top_logprobs")
        return [told(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    top = [{"candidates": rivals(token)} for token in tokens]
    return {"chosenCandidates": [told(token) for token in tokens], "topCandidates": top}


# ---------------------------------------------------------------- stream


class StreamWriter:
    """``feed`` gives the bytes for one event, ``flush`` the last chunk. A function call is held until it is whole.

    ``array``: without ``alt=sse`` the chunks are the items of one JSON list.
    """

    def __init__(self, chat: Chat, array: bool = False) -> None:
        self.chat = chat
        self.array = array
        self.written = 0
        self.tail = self.rest = b""  # what ends the next chunk, and each after it
        self.tier = ""
        self.calls: dict[tuple[int, int], ToolCall] = {}
        self.usage: Usage | None = None
        self.finished: dict[int, Finished] = {}
        self.failed = False

    def feed(self, event: Event) -> bytes:
        return WRITERS[type(event)](self, event)

    def flush(self) -> bytes:
        end = b"]" if self.array else b""
        if self.failed:
            return end
        if not self.finished:
            return self._failed(cut_short()) + end
        held = self._held()
        self.tail = self.rest
        doc: Json = {"candidates": [self._ending(at, event) for at, event in sorted(self.finished.items())]}
        first = self.finished.get(0)
        if first is not None and first.native.startswith(BLOCKED):
            doc = {"promptFeedback": {"blockReason": first.native.removeprefix(BLOCKED)}}
        if self.usage is not None:
            doc["usageMetadata"] = write_usage(self.usage, self.tier)
        return held + self._chunk(doc) + end

    def _ending(self, at: int, event: Finished) -> Json:
        return {"content": {"role": "model", "parts": []}, "finishReason": _reason(event), "index": at}

    def _started(self, event: Started) -> bytes:
        told = {"modelVersion": event.model or self.chat.model, "responseId": event.id or made("")}
        self.tier = reply_tier(event.service_tier, event.dialect, DIALECT)
        first = present(usageMetadata=present(serviceTier=self.tier))
        self.rest = b"," + orjson.dumps(told)[1:]
        self.tail = b"," + orjson.dumps(first | told)[1:]
        return b""

    def _chunk(self, doc: Json) -> bytes:
        return self._framed(orjson.dumps(doc)[:-1] + (self.tail or b"}"))

    def _framed(self, body: bytes) -> bytes:
        self.written += 1
        self.tail = self.rest
        if not self.array:
            return b"data: " + body + b"\r\n\r\n"
        return (b"[" if self.written == 1 else b",\r\n") + body

    def _part(self, choice: int, part: bytes) -> bytes:
        held = self._held() if self.calls else b""
        head = b'{"candidates":[{"content":{"role":"model","parts":[' + part
        return held + self._framed(head + b']},"index":%d}]' % choice + (self.tail or b"}"))

    def _held(self) -> bytes:
        calls, self.calls = self.calls, {}
        return b"".join(self._part(at, orjson.dumps(_call(call))) for (at, _), call in sorted(calls.items()))

    def _text(self, event: TextDelta | RefusalDelta) -> bytes:
        return self._part(event.choice, b'{"text":' + orjson.dumps(event.text) + b"}")

    def _thinking(self, event: ThinkingDelta) -> bytes:
        return self._part(event.choice, orjson.dumps({"text": event.text, "thought": True}))

    def _signed(self, event: Signed) -> bytes:
        if not event.signature and event.signed_by == DIALECT:
            return b""
        signature = _signature(event.signature, event.signed_by, event.form or event.id)
        thought = {} if event.form == "text" else {"thought": True}
        return self._part(event.choice, orjson.dumps({"text": ""} | thought | {"thoughtSignature": signature}))

    def _tool_started(self, event: ToolStarted) -> bytes:
        call = ToolCall(event.id, event.name, "", event.kind, event.namespace, event.signature, event.signed_by)
        self.calls[event.choice, event.index] = call
        return b""

    def _tool_delta(self, event: ToolDelta) -> bytes:
        call = self.calls.get((event.choice, event.index))
        if call is not None:
            call.arguments += event.arguments
        return b""

    def _cited(self, event: Cited) -> bytes:
        citation = event.citation
        if citation.dialect == DIALECT or not citation.url:
            return b""  # its own come with groundingMetadata
        chunk = {"web": {"uri": citation.url, "title": citation.title}}
        candidate = {"index": event.choice, "groundingMetadata": {"groundingChunks": [chunk]}}
        return self._chunk({"candidates": [candidate]})

    def _media(self, event: MediaAdded) -> bytes:
        return self._part(event.choice, orjson.dumps(_blob(event.part)))

    def _opaque(self, event: OpaqueAdded) -> bytes:
        if event.dialect != DIALECT:
            return b""
        if event.type in CARRIED:
            return self._held() + self._chunk({"candidates": [{"index": event.choice, event.type: event.raw}]})
        return self._part(event.choice, orjson.dumps(event.raw))

    def _told(self, event: Logprobs) -> bytes:
        candidate = {"index": event.choice, "logprobsResult": _logprobs(event.tokens)}
        return self._chunk({"candidates": [candidate]})

    def _nothing(self, event: Break | AudioDelta) -> bytes:
        return b""

    def _used(self, event: Used) -> bytes:
        self.usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        self.finished.setdefault(event.choice, event)
        return b""

    def _failed(self, event: Failed) -> bytes:
        self.failed = True
        return self._framed(orjson.dumps(write_error(event)[1]))


WRITERS: dict[type, Callable[[StreamWriter, Any], bytes]] = {
    TextDelta: StreamWriter._text,
    ToolDelta: StreamWriter._tool_delta,
    ThinkingDelta: StreamWriter._thinking,
    Started: StreamWriter._started,
    Signed: StreamWriter._signed,
    Break: StreamWriter._nothing,
    ToolStarted: StreamWriter._tool_started,
    RefusalDelta: StreamWriter._text,
    Cited: StreamWriter._cited,
    MediaAdded: StreamWriter._media,
    AudioDelta: StreamWriter._nothing,
    Logprobs: StreamWriter._told,
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
    doc: Json = {"candidates": [_candidate(at, choice) for at, choice in sorted(reply.choices.items())]}
    first = reply.choices.get(0)
    if first and first.finished and first.finished.native.startswith(BLOCKED):
        doc = {"promptFeedback": {"blockReason": first.finished.native.removeprefix(BLOCKED)}}
    if reply.usage is not None:
        tier = reply_tier(reply.started.service_tier, reply.started.dialect, DIALECT)
        doc["usageMetadata"] = write_usage(reply.usage, tier)
    return doc | {"modelVersion": reply.started.model or chat.model, "responseId": reply.started.id or made("")}


def _candidate(at: int, choice: Choice) -> Json:
    parts: list[Json] = []
    for part in choice.parts:
        wires = _parts(part)
        bare = parts and len(wires) == 1 and wires[0].keys() == {"text", "thoughtSignature"} and not wires[0]["text"]
        if bare and not parts[-1].keys() & {"thought", "thoughtSignature", "functionCall"}:
            parts[-1]["thoughtSignature"] = wires[0]["thoughtSignature"]
        else:
            parts += wires
    doc: Json = {"content": {"role": "model", "parts": parts}, "index": at}
    doc["finishReason"] = _reason(choice.finished or Finished("stop"))
    for part in choice.parts:
        if isinstance(part, Opaque) and part.dialect == DIALECT and part.type in CARRIED:
            doc[part.type] = part.raw
    if choice.logprobs:
        doc["logprobsResult"] = _logprobs([token for event in choice.logprobs for token in event.tokens])
    urls = [
        c for part in choice.parts if isinstance(part, Text) for c in part.citations if c.url and c.dialect != DIALECT
    ]
    if urls:
        doc["groundingMetadata"] = {"groundingChunks": [{"web": {"uri": c.url, "title": c.title}} for c in urls]}
    return doc


def _parts(part: Part) -> list[Json]:
    if isinstance(part, Text | Refusal):
        return [{"text": part.text}] if part.text else []
    if isinstance(part, Thinking):
        return _thoughts(part)
    if isinstance(part, ToolCall):
        return [_call(part)]
    if isinstance(part, Opaque):
        return [part.raw] if part.dialect == DIALECT and part.type not in CARRIED else []
    return [_blob(part)] if isinstance(part, Image | Audio | Video | File) and part.source.value else []


def _thoughts(part: Thinking) -> list[Json]:
    told = [{"text": text, "thought": True} for text in [*part.texts, *part.summaries]]
    signed = part.signature or part.signed_by not in ("", DIALECT)
    if not signed:
        return told
    form = part.form or str(part.extra.get("id", ""))
    signature = _signature(part.signature, part.signed_by, form)
    if part.form == "text" and part.signed_by == DIALECT:
        return [{"text": "", "thoughtSignature": signature}]
    last = told.pop() if told else {"text": "", "thought": True}
    return [*told, last | {"thoughtSignature": signature}]
