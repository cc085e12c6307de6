"""Gemini replies, whole and streamed, as events.

A stream's chunks have the shape of whole replies and no terminator: one that has told ``finishReason`` is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from providers.chat import Chat, Citation
from providers.dialects.failures import failed
from providers.dialects.gemini_read_request import BESIDE, DIALECT, Camel, _inline
from providers.dialects.gemini_write_request import NAMING
from providers.dialects.partial_args import PartialArgs
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    Logprobs,
    MediaAdded,
    OpaqueAdded,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import of_gemini

FILTERED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION",
)  # fmt: skip
BROKEN = (
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE", "OTHER", "IMAGE_OTHER", "NO_IMAGE",
)  # fmt: skip
REASONS = (
    {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop"}
    | dict.fromkeys(FILTERED, "content_filter")
    | dict.fromkeys(BROKEN, "error")
)
#: Marks the native word of a prompt that was refused before any candidate.
BLOCKED = "promptFeedback:"
CARRIED = ("groundingMetadata", "urlContextMetadata", "citationMetadata")


def read_error(status: int, doc: Any) -> Failed:
    """A streamed request's error may come in a list."""
    if isinstance(doc, list) and doc:
        doc = doc[0]
    body = doc.get("error", doc) if isinstance(doc, dict) else doc
    if not isinstance(body, dict):
        return failed(status, body if isinstance(body, str) else "")
    code = body.get("code")
    if status < 400 and isinstance(code, int):
        status = code
    return failed(status, body.get("message"), "", body.get("status"))


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        reader = StreamReader(chat)
        found = reader.chunk(doc, whole=True)
        for candidate in reader.candidates.values():
            candidate.finished = candidate.finished or "STOP"
        return sound(found + reader.flush())
    except GARBAGE:
        return [not_understood()]


class _Candidate:
    """``partial`` is the call whose arguments are still coming."""

    __slots__ = ("calls", "finished", "last", "partial", "text")

    def __init__(self) -> None:
        self.calls = 0
        self.partial: PartialArgs | None = None
        self.finished = ""
        self.last = ""
        self.text: list[str] = []


class StreamReader(Reader):
    """Reads chunks, each a GenerateContentResponse."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.begun = False
        self.blocked = ""
        self.candidates: dict[int, _Candidate] = {}

    def _read(self, event: SseEvent) -> list[Event]:
        doc = orjson.loads(event.data)
        return self.chunk(doc[0] if isinstance(doc, list) else doc)

    def flush(self) -> list[Event]:
        """How each candidate finished: only the end tells, since parts may follow the first ``finishReason``."""
        found: list[Event] = []
        if self.over or not all(seen.finished for seen in self.candidates.values()):
            return super().flush()
        for at, seen in self.candidates.items():
            reason = REASONS.get(seen.finished, "stop")
            found.append(Finished("tool_calls" if reason == "stop" and seen.calls else reason, at, "", seen.finished))
        if self.blocked and not found:
            found.append(Finished("content_filter", native=f"{BLOCKED}{self.blocked}"))
        self.over = bool(found)
        return found + super().flush()

    def chunk(self, doc: dict[str, Any], whole: bool = False) -> list[Event]:
        if doc.get("error"):
            self.over = True
            return [read_error(0, doc)]
        usage = doc.get("usageMetadata") or {}
        found: list[Event] = []
        if not self.begun:
            self.begun = True
            model = str(doc.get("modelVersion") or "")
            tier = str(usage.get("serviceTier") or "")
            found.append(Started(str(doc.get("responseId") or ""), model, 0, DIALECT, tier))
        for candidate in doc.get("candidates") or ():
            self._candidate(candidate, found, whole)
        if blocked := (doc.get("promptFeedback") or {}).get("blockReason"):
            self.blocked = str(blocked)
        if usage:
            found.append(Used(of_gemini(usage)))
        return found

    def _candidate(self, raw: dict[str, Any], found: list[Event], whole: bool) -> None:
        at = raw.get("index") or 0
        seen = self.candidates.setdefault(at, _Candidate())
        for part in (raw.get("content") or {}).get("parts") or ():
            self._part(part, at, seen, found, whole)
        for name in CARRIED:
            if held := raw.get(name):
                found += _cited(held, seen, at) if name == "groundingMetadata" else []
                found.append(OpaqueAdded(DIALECT, name, held, at))
        if logprobs := raw.get("logprobsResult"):
            found.append(Logprobs(read_logprobs(logprobs), "content", at))
        if native := raw.get("finishReason"):
            seen.finished = str(native)

    def _part(self, raw: dict[str, Any], at: int, seen: _Candidate, found: list[Event], whole: bool) -> None:
        names = [name for name in raw if name not in BESIDE]
        kind = names[0] if names else "text"
        kind = "thought" if raw.get("thought") and kind == "text" else kind
        if whole and kind == seen.last and kind in ("text", "thought") and raw.get("text"):
            found.append(Break(at))  # in a stream a part is only a piece
        seen.last = kind
        if kind in PARTS:
            PARTS[kind](self, raw, at, seen, found)
        elif raw:
            found.append(OpaqueAdded(DIALECT, kind, raw, at))

    def _text(self, raw: dict[str, Any], at: int, seen: _Candidate, found: list[Event]) -> None:
        if text := raw.get("text"):
            seen.text.append(text)
            found.append(TextDelta(text, at))
        if signature := raw.get("thoughtSignature"):
            found.append(Signed(signature, DIALECT, False, at, "", "text"))

    def _thought(self, raw: dict[str, Any], at: int, seen: _Candidate, found: list[Event]) -> None:
        if text := raw.get("text"):
            found.append(ThinkingDelta(text, False, at))
        if signature := raw.get("thoughtSignature"):
            found.append(Signed(signature, DIALECT, False, at))

    def _call(self, raw: dict[str, Any], at: int, seen: _Candidate, found: list[Event]) -> None:
        call = raw["functionCall"]
        if seen.partial is None or call.get("name"):
            self._end_call(at, seen, found)
            started = self.tool_started(seen.calls, str(call.get("id") or ""), call["name"], choice=at)
            if signature := raw.get("thoughtSignature"):
                started.signature, started.signed_by = signature, DIALECT
            seen.calls += 1
            seen.partial = PartialArgs()
            found.append(started)
        if call.get("args"):
            seen.partial.whole(call["args"])
        text = "".join(seen.partial.feed(Camel(piece).left) for piece in call.get("partialArgs") or ())
        self._told(text, at, seen, found)
        if not call.get("willContinue"):
            self._end_call(at, seen, found)

    def _told(self, text: str, at: int, seen: _Candidate, found: list[Event]) -> None:
        if text:
            found.append(self.tool_delta(seen.calls - 1, text, at))

    def _end_call(self, at: int, seen: _Candidate, found: list[Event]) -> None:
        held, seen.partial = seen.partial, None
        if held is not None:
            self._told(held.end(), at, seen, found)

    def _blob(self, raw: dict[str, Any], at: int, seen: _Candidate, found: list[Event]) -> None:
        part = _inline(Camel({"inlineData": raw["inlineData"]}), False, "")
        found.append(MediaAdded(part, at))  # type: ignore[arg-type]
        if signature := raw.get("thoughtSignature"):
            found.append(Signed(signature, DIALECT, False, at, "", "text"))


PARTS: dict[str, Callable[[StreamReader, dict[str, Any], int, _Candidate, list[Event]], None]] = {
    "text": StreamReader._text,
    "functionCall": StreamReader._call,
    "inlineData": StreamReader._blob,
    "thought": StreamReader._thought,
}


def _cited(grounding: dict[str, Any], seen: _Candidate, at: int) -> list[Event]:
    """Each passage with each of its sources. Google counts a segment's place in bytes."""
    chunks = grounding.get("groundingChunks") or []
    whole = "".join(seen.text).encode()
    found: list[Event] = []
    for support in grounding.get("groundingSupports") or ():
        segment = support.get("segment") or {}
        start = len(whole[: segment.get("startIndex") or 0].decode("utf-8", "ignore"))
        end = len(whole[: segment.get("endIndex") or 0].decode("utf-8", "ignore"))
        for number in support.get("groundingChunkIndices") or ():
            web = chunks[number].get("web") or chunks[number].get("retrievedContext") or {}
            url, title = web.get("uri") or "", web.get("title") or ""
            kind = "url" if url else "document"
            quote = segment.get("text") or ""
            found.append(Cited(Citation(kind, url, title, quote, start, end, DIALECT), at))
    return found


def read_logprobs(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """OpenAI's shape: the chosen token of each step with its rivals."""
    top = raw.get("topCandidates") or []
    found = []
    for number, chosen in enumerate(raw.get("chosenCandidates") or ()):
        rivals = (top[number].get("candidates") or []) if number < len(top) else []
        found.append(_token(chosen) | {"top_logprobs": [_token(rival) for rival in rivals]})
    return found


def _token(raw: dict[str, Any]) -> dict[str, Any]:
    token = raw.get("token") or ""
    return {"token": token, "logprob": raw.get("logProbability"), "bytes": list(token.encode())}
