"""What every stream reader does alike: parse, guard against garbage, and tell a stream that was cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, Protocol, get_args

import orjson

from providers.chat import Citation
from providers.dialects.tool_names import InputText, ToolNames
from providers.events import Cited, Event, Failed, Logprobs, ToolDelta, ToolStarted, cut_short

#: What reading a member of the wrong type raises. An upstream's garbage must never be an exception of ours.
GARBAGE = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)

MOST_SECONDS = 2**53

KINDS = {"str": str, "int": int, "bool": bool, "Json": dict, "Citation": Citation}
#: Class -> its members of a plain type. Upstreams write anything; what comes after a reader may rely on these.
MEMBERS: dict[type, tuple[tuple[str, type], ...]] = {
    kind: tuple((member.name, KINDS[str(member.type)]) for member in fields(kind) if member.type in KINDS)
    for kind in (*get_args(Event), Citation)
}


class SseEvent(Protocol):
    """One event of a stream; ``data`` is empty where it only keeps the connection alive."""

    @property
    def type(self) -> str: ...

    @property
    def data(self) -> bytes: ...


def not_understood() -> Failed:
    return Failed("server_error", "The upstream's reply was not understood.", 502, "upstream_garbage")


class Reader(ABC):
    """``feed`` takes one split event and gives those of the vocabulary; ``flush`` is called when the stream ends.

    After the terminator or an error nothing more comes. A dialect gives ``_read``.
    """

    def __init__(self, names: ToolNames | None = None) -> None:
        self.names = names or ToolNames()
        self.over = False
        self._inputs: dict[tuple[int, int], InputText] = {}

    def feed(self, event: SseEvent) -> list[Event]:
        if self.over or not event.data:
            return []
        try:
            return sound(self._read(event))
        except GARBAGE:
            self.over = True
            return [not_understood()]

    @abstractmethod
    def _read(self, event: SseEvent) -> list[Event]: ...

    def tool_started(self, index: int, id: str, wire: str, kind: str = "function", choice: int = 0) -> ToolStarted:
        """The call of the tool that the upstream knows as ``wire``, under the client's own name for it."""
        told, namespace, name = self.names.back(wire)
        if self.names.unwraps(wire):
            self._inputs[choice, index] = InputText()
        return ToolStarted(index, id, name, told if kind == "function" else kind, namespace, choice=choice)

    def tool_delta(self, index: int, text: str, choice: int = 0) -> ToolDelta:
        unwrap = self._inputs.get((choice, index))
        return ToolDelta(index, unwrap.feed(text) if unwrap else text, choice)

    def flush(self) -> list[Event]:
        """Failed where the terminator is missing."""
        if self.over:
            return []
        self.over = True
        return [cut_short()]


def sound(events: list[Event]) -> list[Event]:
    """``events``, or TypeError where one holds what it must not."""
    for event in events:
        _check(event)
        if type(event) is Cited:
            _check(event.citation)
        elif type(event) is Logprobs and not all(map(_is_token, event.tokens)):
            raise TypeError("logprobs")
    return events


def _is_token(value: Any) -> bool:
    """Whether ``value`` and its rivals are objects, as ``Logprobs`` has them."""
    rivals = value.get("top_logprobs") or [] if isinstance(value, dict) else None
    return isinstance(rivals, list) and all(isinstance(rival, dict) for rival in rivals)


def _check(value: Any) -> None:
    for name, kind in MEMBERS[type(value)]:
        if type(getattr(value, name)) is not kind:
            raise TypeError(name)


def parsed(data: Any) -> dict[str, Any]:
    """The JSON object in ``data``; ValueError where there is none."""
    doc = orjson.loads(data)
    if not isinstance(doc, dict):
        raise ValueError("not an object")
    return doc


def second(told: Any) -> int:
    """A Unix time as a whole number; 0 for what is none, or one that no JSON number holds."""
    return int(told) if isinstance(told, int | float) and 0 <= told < MOST_SECONDS else 0
