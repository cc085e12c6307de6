"""Chat completions replies, whole and streamed, as events.

Compatible servers differ: OpenRouter puts an error beside ``choices``; Groq sends ``event: error``; Mistral's content
is a list and its calls have no ``type``; some send every call at index 0 with another id; Snowflake's
``finish_reason`` is empty. A stream is complete at ``[DONE]`` and only there.
"""

from __future__ import annotations

from typing import Any

from providers.chat import Chat, Image
from providers.dialects.failures import failed
from providers.dialects.openai_chat_read_request import DIALECT
from providers.dialects.openai_chat_write_tools import names_of
from providers.dialects.openai_parts import read_annotation, read_source
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, second, sound
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
    ToolStarted,
    Used,
)
from providers.usage import read_usage

REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}
LOGPROBS = ("content", "refusal", "reasoning_content")


def read_error(status: int, doc: Any) -> Failed:
    """An error reply's body, parsed if it could be. Vendors nest it, name it ``detail`` or send a list (Gemini)."""
    if isinstance(doc, list) and doc:
        doc = doc[0]
    body = doc.get("error", doc) if isinstance(doc, dict) else doc
    if not isinstance(body, dict):
        return failed(status, body if isinstance(body, str) else "")
    message = body.get("message") or body.get("detail")
    code = body.get("code")
    if status < 400 and isinstance(code, int) and 400 <= code < 600:
        status = code  # in a stream the status stands here
    return failed(status, message, "" if isinstance(code, int) else code, body.get("type"), body.get("param"))


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        if doc.get("error") and not doc.get("choices"):
            return [read_error(0, doc)]
        reader = StreamReader(chat)
        found = reader.started_by(doc)
        for choice in doc["choices"]:
            found += reader.choice(choice, choice.get("message") or choice.get("delta") or {})
        found += reader.unfinished()
        usage = read_usage("chat", doc)
        return sound(found if usage is None else [*found, Used(usage)])
    except GARBAGE:
        return [not_understood()]


class _Choice:
    """What was seen of one choice. ``calls`` maps the upstream's call index to ours, and to its id; ``thought`` is the
    form of thinking that goes on unsigned."""

    __slots__ = ("calls", "count", "detail", "finished", "thought")

    def __init__(self) -> None:
        self.calls: dict[int, tuple[int, str]] = {}
        self.count = 0
        self.finished = False
        self.detail = -1
        self.thought = ""


class StreamReader(Reader):
    """``needs_done``: whether a stream without ``[DONE]`` was cut; a server without it is complete at its finish."""

    def __init__(self, chat: Chat | None = None, needs_done: bool = True) -> None:
        super().__init__(names_of(chat))
        self.needs_done = needs_done
        self.begun = False
        self.choices: dict[int, _Choice] = {}

    def _read(self, event: SseEvent) -> list[Event]:
        data = event.data
        if data in (b"[DONE]", "[DONE]"):
            return self._done()
        doc = parsed(data)
        choices = doc.get("choices")
        found = [] if self.begun else self.started_by(doc)
        if choices:
            for choice in choices:
                found += self.choice(choice, choice.get("delta") or choice.get("message") or {})
        if doc.get("usage") or "x_groq" in doc:
            usage = read_usage("chat", doc)
            if usage is not None:
                found.append(Used(usage))
        if doc.get("error") or event.type == "error":
            self.over = True
            found.append(read_error(0, doc))
        return found

    def _done(self) -> list[Event]:
        self.over = True
        if not self.begun:
            return [not_understood()]
        return self.unfinished()

    def unfinished(self) -> list[Event]:
        at = [index for index, choice in self.choices.items() if not choice.finished]
        return [self._finish(index, self.choices[index], "stop") for index in at]

    def flush(self) -> list[Event]:
        if not self.needs_done and self.choices and all(choice.finished for choice in self.choices.values()):
            self.over = True
        return super().flush()

    def started_by(self, doc: dict[str, Any]) -> list[Event]:
        if not doc.get("choices") and not doc.get("id"):  # an error alone, or Azure's note on the prompt
            return []
        self.begun = True
        return [
            Started(
                str(doc.get("id") or ""),
                str(doc.get("model") or ""),
                second(doc.get("created")),
                DIALECT,
                str(doc.get("service_tier") or ""),
            )
        ]

    def choice(self, raw: dict[str, Any], delta: dict[str, Any]) -> list[Event]:
        index = raw.get("index") or 0
        seen = self.choices.get(index)
        if seen is None:
            seen = self.choices[index] = _Choice()
        found: list[Event] = []
        for name, read in MEMBERS.items():
            if value := delta.get(name):
                read(self, value, index, seen, delta, found)
        if logprobs := raw.get("logprobs"):
            found += [Logprobs(logprobs[kind], kind, index) for kind in LOGPROBS if logprobs.get(kind)]
        if (reason := raw.get("finish_reason")) and not seen.finished:
            found.append(self._finish(index, seen, reason))
        return _sealed(found, index, seen)

    def _finish(self, index: int, seen: _Choice, native: str) -> Finished:
        seen.finished = True
        reason = REASONS.get(native, "stop")
        if reason == "stop" and seen.count:
            reason = "tool_calls"  # some servers say stop after calls
        return Finished(reason, index, native=native)

    # each reads one member of a message or delta

    def _content(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        if isinstance(value, str):
            found.append(TextDelta(value, at))
            return
        for part in value:
            if part.get("type") == "thinking":
                found += [ThinkingDelta(piece["text"], False, at, "thinking") for piece in part["thinking"]]
            elif part.get("type") == "text":
                found.append(TextDelta(part["text"], at))
            else:
                found.append(OpaqueAdded(DIALECT, str(part.get("type")), part, at))

    def _reasoning(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        # OpenRouter tells the same twice, once without its signature; others under both names.
        if isinstance(value, str) and not _told(delta.get("reasoning_details")):
            found.append(ThinkingDelta(value, False, at, "reasoning"))

    def _reasoning_content(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        if isinstance(value, str) and not delta.get("reasoning") and not _told(delta.get("reasoning_details")):
            found.append(ThinkingDelta(value, False, at, "reasoning_content"))

    def _details(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        for detail in value:
            form = f"reasoning_details:{detail.get('format') or ''}"
            place = detail.get("id") or ""
            number = detail.get("index") or 0
            if seen.detail not in (-1, number):
                found.append(Break(at))
            seen.detail = number
            if text := detail.get("text"):
                found.append(ThinkingDelta(text, False, at, form))
            if summary := detail.get("summary"):
                found.append(ThinkingDelta(summary, True, at, form))
            if signature := detail.get("signature"):
                found.append(Signed(signature, DIALECT, False, at, place, form))
            if data := detail.get("data"):
                found.append(Signed(data, DIALECT, True, at, place, form))

    def _refusal(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        found.append(RefusalDelta(value, at))

    def _annotations(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        found += [Cited(read_annotation(raw, DIALECT), at) for raw in value]

    def _audio(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        data, transcript = value.get("data") or "", value.get("transcript") or ""
        if data or transcript or value.get("id"):
            found.append(AudioDelta(data, transcript, value.get("id") or "", value.get("expires_at") or 0, at))

    def _images(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        found += [MediaAdded(Image(read_source(raw["image_url"]["url"])), at) for raw in value]

    def _function_call(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        if value.get("name") or seen.count:
            self._call({"index": 0, "function": value}, at, seen, found)

    def _tool_calls(self, value: Any, at: int, seen: _Choice, delta: dict[str, Any], found: list[Event]) -> None:
        for position, raw in enumerate(value):
            self._call(raw if raw.get("index") is not None else raw | {"index": position}, at, seen, found)

    def _call(self, raw: dict[str, Any], at: int, seen: _Choice, found: list[Event]) -> None:
        custom = raw.get("type") == "custom" or (raw.get("custom") and not raw.get("function"))
        body = raw.get("custom" if custom else "function") or {}
        name, call_id = body.get("name") or "", raw.get("id") or ""
        known = seen.calls.get(raw["index"])
        if known is None or (call_id and name and call_id != known[1]):
            known = seen.calls[raw["index"]] = (seen.count, call_id)
            seen.count += 1
            found.append(self._started(raw, known[0], name, "custom" if custom else "function", at))
        if text := body.get("input" if custom else "arguments") or "":
            if not isinstance(text, str):
                raise TypeError("arguments")
            found.append(self.tool_delta(known[0], text, at))

    def _started(self, raw: dict[str, Any], index: int, wire: str, kind: str, at: int) -> ToolStarted:
        started = self.tool_started(index, raw.get("id") or "", wire, kind, at)
        google = (raw.get("extra_content") or {}).get("google") or {}
        if signature := google.get("thought_signature"):
            started.signature, started.signed_by = signature, "gemini"
        return started


def _sealed(found: list[Event], at: int, seen: _Choice) -> list[Event]:
    """``found`` with the end of unsigned thinking: it tells whose that is and in which form, for who hands it back."""
    for place, event in enumerate(found):
        if isinstance(event, ThinkingDelta):
            seen.thought = event.form
        elif isinstance(event, Signed):
            seen.thought = ""
        elif seen.thought and not isinstance(event, Break):
            form, seen.thought = seen.thought, ""
            return [*found[:place], Signed("", DIALECT, False, at, "", form), *found[place:]]
    return found


def _told(details: Any) -> bool:
    """Whether reasoning details hold words, not only ciphertext."""
    return isinstance(details, list) and any(detail.get("text") or detail.get("summary") for detail in details)


MEMBERS = {
    "reasoning": StreamReader._reasoning,
    "reasoning_content": StreamReader._reasoning_content,
    "reasoning_details": StreamReader._details,
    "content": StreamReader._content,
    "refusal": StreamReader._refusal,
    "annotations": StreamReader._annotations,
    "audio": StreamReader._audio,
    "images": StreamReader._images,
    "function_call": StreamReader._function_call,
    "tool_calls": StreamReader._tool_calls,
}
