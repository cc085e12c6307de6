"""Where the pieces of running texts stand in the events of a stream, raw or of the vocabulary, and which events end one.

A running text is known by its lane (a choice, a block, an item), its kind, and a number where a lane has several of a
kind. A piece of another kind in the same lane ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from providers.events import AudioDelta, Event, Finished, RefusalDelta, TextDelta, ThinkingDelta, ToolDelta, ToolStarted
from routing.shipped.texts import slots

Json = dict[Any, Any]
#: Ends every running text.
ALL = object()


class Key(NamedTuple):
    lane: Any
    kind: str
    number: int | str = 0


class Piece(NamedTuple):
    key: Key
    holder: Any
    name: Any

    @property
    def text(self) -> str:
        found: str = self.holder[self.name]
        return found


class Found(NamedTuple):
    """What an event holds: pieces of running texts, and the lanes that end with it. Its other texts are whole, unless it
    is ``encoded``."""

    pieces: tuple[Piece, ...] = ()
    ends: tuple[Any, ...] = ()
    encoded: bool = False


NOTHING, END = Found(), Found(ends=(ALL,))


def _pieces(lane: Any, holder: Any, *names: str) -> Iterator[Piece]:
    if isinstance(holder, dict):
        for name in names:
            if isinstance(holder.get(name), str) and holder[name]:
                yield Piece(Key(lane, name), holder, name)


def _list(holder: Any, name: str) -> list[Json]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _chat(doc: Json) -> Found:
    """Vendors have members of their own in a delta: each text in it is a running one, known by its path."""
    pieces: list[Piece] = []
    ends: list[Any] = []
    for choice in _list(doc, "choices"):
        lane = choice.get("index", 0)
        pieces += _pieces(lane, choice, "text")
        if isinstance(delta := choice.get("delta"), dict):
            for slot in slots(numbered := _by_index(delta), frozenset()):
                holder = delta if slot.holder is numbered else slot.holder
                kind = slot.path.partition(".")[0].partition("[")[0]
                kind = "tool" if kind in ("tool_calls", "function_call") else kind
                pieces.append(
                    Piece(Key((lane, "audio") if kind == "audio" else lane, kind, slot.path), holder, slot.key)
                )
        if choice.get("finish_reason"):
            ends += [lane, (lane, "audio")]
    return Found(tuple(pieces), tuple(ends))


def _by_index(delta: Json) -> Json:
    """``delta`` with the objects of its lists under the index that they tell, where they tell one."""
    return {
        name: dict(map(_numbered, enumerate(value)))
        if isinstance(value, list) and all(isinstance(each, dict) for each in value)
        else value
        for name, value in delta.items()
    }


def _numbered(item: tuple[int, Json]) -> tuple[int, Json]:
    index = item[1].get("index")
    return (index if isinstance(index, int) else item[0]), item[1]


def _messages(doc: Json) -> Found:
    kind, lane = doc.get("type"), doc.get("index")
    if kind == "content_block_delta":
        return Found(tuple(_pieces(lane, doc.get("delta"), "text", "thinking", "partial_json")))
    if kind == "content_block_stop":
        return Found(ends=(lane,))
    return END if kind in ("message_stop", "message_delta", "error") else NOTHING


def _responses(doc: Json) -> Found:
    kind = str(doc.get("type"))
    number = doc.get("content_index", doc.get("summary_index", 0))
    lane = (doc.get("output_index"), number, kind.rpartition(".")[0])
    if kind.endswith(".delta"):
        pieces = tuple(piece._replace(key=Key(lane, kind)) for piece in _pieces(lane, doc, "delta"))
        return Found(pieces) if "audio.delta" not in kind else Found(encoded=True)
    if kind.endswith(".done"):
        return Found(ends=(lane,))
    return END if kind in ("response.completed", "response.incomplete", "response.failed", "error") else NOTHING


def _generate(doc: Json) -> Found:
    pieces: list[Piece] = []
    ends: list[Any] = []
    for n, candidate in enumerate(_list(doc, "candidates")):
        lane = candidate.get("index", n)
        for part in _list(candidate.get("content"), "parts"):
            kind = "thought" if part.get("thought") else "text"
            pieces += [piece._replace(key=Key(lane, kind)) for piece in _pieces(lane, part, "text")]
        if candidate.get("finishReason"):
            ends.append(lane)
    return Found(tuple(pieces), tuple(ends))


def _unified(doc: Json) -> Found:
    return Found(tuple(_pieces(0, doc, "delta")), (ALL,) if doc.get("done") else ())


APIS: dict[str, Callable[[Json], Found]] = {
    "chat": _chat,
    "completions": _chat,
    "messages": _messages,
    "responses": _responses,
    "generate": _generate,
    "unified": _unified,
}


def in_doc(api: str, doc: Json) -> Found:
    """What a raw event of this API holds."""
    read = APIS.get(api)
    return NOTHING if read is None else read(doc)


#: Kind of event -> the member that holds its text, and its kind of running text.
TEXTS: dict[type, tuple[str, str]] = {
    TextDelta: ("text", "text"),
    ThinkingDelta: ("text", "thinking"),
    RefusalDelta: ("text", "refusal"),
    ToolDelta: ("arguments", "tool"),
    AudioDelta: ("transcript", "audio"),
}


def in_event(event: Event) -> tuple[Event, Found]:
    """A copy of an event of the vocabulary, and what it holds."""
    if type(event) in TEXTS:
        event = replace(event)
        name, kind = TEXTS[type(event)]
        doc = _Members(event)
        lane = getattr(event, "choice", 0)
        key = Key((lane, "audio") if kind == "audio" else lane, kind, getattr(event, "index", 0))
        return event, Found((Piece(key, doc, name),) if doc[name] else ())
    if isinstance(event, Finished):
        return event, Found(ends=(event.choice, (event.choice, "audio")))
    if isinstance(event, ToolStarted):
        return event, Found(ends=(event.choice,))
    return event, NOTHING


class _Members:
    """The members of an event as of a document."""

    def __init__(self, event: Any) -> None:
        self._event = event

    def __getitem__(self, name: str) -> str:
        found: str = getattr(self._event, name)
        return found

    def __setitem__(self, name: str, text: str) -> None:
        setattr(self._event, name, text)
