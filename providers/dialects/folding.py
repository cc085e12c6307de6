"""A whole reply out of its events: the parts of each choice, for the writers of whole replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from providers.chat import Audio, Opaque, Part, Refusal, Source, Text, Thinking, ToolCall
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
)
from providers.usage import Usage


@dataclass(slots=True)
class Choice:
    """One answer. ``open`` is the part that the next delta of its kind continues."""

    parts: list[Part] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)
    finished: Finished | None = None
    open: Part | None = None
    broken: bool = False
    calls: dict[int, ToolCall] = field(default_factory=dict)

    def add(self, part: Any) -> Any:
        self.parts.append(part)
        self.open = part
        self.broken = False
        return part


@dataclass(slots=True)
class Reply:
    started: Started = field(default_factory=Started)
    choices: dict[int, Choice] = field(default_factory=dict)
    usage: Usage | None = None
    failed: Failed | None = None


def fold(events: Iterable[Event]) -> Reply:
    """After a Failed nothing more is read."""
    reply = Reply()
    for event in events:
        if isinstance(event, Started):
            reply.started = event
        elif isinstance(event, Used):
            reply.usage = event.usage
        elif isinstance(event, Failed):
            reply.failed = event
            break
        else:
            choice = reply.choices.get(event.choice) or reply.choices.setdefault(event.choice, Choice())
            FOLDERS[type(event)](choice, event)
    return reply


def _text(choice: Choice, event: TextDelta) -> None:
    part = choice.open
    if not isinstance(part, Text) or choice.broken:
        part = choice.add(Text(""))
    part.text += event.text


def _thinking(choice: Choice, event: ThinkingDelta) -> None:
    part = choice.open
    if not isinstance(part, Thinking):
        part = choice.add(Thinking(form=event.form))
    told = part.summaries if event.summary else part.texts
    if choice.broken or not told:
        told.append("")
    choice.broken = False
    told[-1] += event.text


def _signed(choice: Choice, event: Signed) -> None:
    part = choice.open
    if event.redacted or not isinstance(part, Thinking):
        part = choice.add(Thinking(redacted=event.redacted))
    part.signature, part.signed_by = event.signature, event.signed_by
    part.form = event.form or part.form
    if event.id:
        part.extra = {"id": event.id}
    choice.open = None


def _tool_started(choice: Choice, event: ToolStarted) -> None:
    call = ToolCall(event.id, event.name, "", event.kind, event.namespace, event.signature, event.signed_by)
    choice.calls[event.index] = choice.add(call)
    choice.open = None


def _tool_delta(choice: Choice, event: ToolDelta) -> None:
    choice.calls[event.index].arguments += event.arguments


def _refusal(choice: Choice, event: RefusalDelta) -> None:
    part = choice.open
    if not isinstance(part, Refusal) or choice.broken:
        part = choice.add(Refusal(""))
    part.text += event.text


def _cited(choice: Choice, event: Cited) -> None:
    part = choice.open
    if not isinstance(part, Text) or choice.broken:
        part = choice.add(Text(""))
    part.citations.append(event.citation)


def _media(choice: Choice, event: MediaAdded) -> None:
    choice.add(event.part)
    choice.open = None


def _audio(choice: Choice, event: AudioDelta) -> None:
    part = choice.open
    if not isinstance(part, Audio):
        part = choice.add(Audio(Source("data", ""), extra={"transcript": ""}))
    part.source.value += event.data
    part.extra["transcript"] += event.transcript


def _logprobs(choice: Choice, event: Logprobs) -> None:
    choice.logprobs.append(event)


def _opaque(choice: Choice, event: OpaqueAdded) -> None:
    choice.add(Opaque(event.dialect, event.type, event.raw))
    choice.open = None


def _break(choice: Choice, event: Break) -> None:
    choice.broken = True


def _finished(choice: Choice, event: Finished) -> None:
    choice.finished = event


FOLDERS: dict[type, Callable[[Choice, Any], None]] = {
    TextDelta: _text,
    ThinkingDelta: _thinking,
    Signed: _signed,
    ToolStarted: _tool_started,
    ToolDelta: _tool_delta,
    RefusalDelta: _refusal,
    Cited: _cited,
    MediaAdded: _media,
    AudioDelta: _audio,
    Logprobs: _logprobs,
    OpaqueAdded: _opaque,
    Break: _break,
    Finished: _finished,
}
