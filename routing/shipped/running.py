"""Replaces things in the running texts of a stream of events.

An event waits until every character of its texts is settled. Then it goes on as it was, or with its part of the text
changed; events behind it keep their order. Nothing is split, joined or made up, whatever the dialect counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from routing.shipped.deltas import ALL, Found, Key, Piece
from routing.shipped.scanner import Cut, Finder, Instead, Scanner, apply

#: Events that may wait; then what is held is taken as it is.
MOST = 512


class _Text:
    """One running text."""

    __slots__ = ("cuts", "length", "scanner")

    def __init__(self, scanner: Scanner) -> None:
        self.cuts: list[Cut] = []
        self.length = 0
        self.scanner = scanner


class _Waiting(NamedTuple):
    event: Any
    pieces: list[tuple[Piece, _Text, int]]
    changed: bool
    write: Callable[[], Any]


class Running:
    """``instead`` makes what replaces a thing in a text of the kind that it is given."""

    def __init__(self, finders: Sequence[Finder], instead: Callable[[str], Instead]) -> None:
        self._finders = finders
        self._instead = instead
        self._texts: dict[Key, _Text] = {}
        self._waiting: deque[_Waiting] = deque()

    def feed(self, event: Any, found: Found, changed: bool, write: Callable[[], Any]) -> list[Any]:
        """The events that can go on. ``write`` makes the event anew from what its pieces' holders then hold; ``changed``
        says that it must, whatever its texts."""
        pieces = []
        self._end_others({piece.key.lane for piece in found.pieces}, {piece.key[:2] for piece in found.pieces})
        for piece in found.pieces:
            text = self._texts.get(piece.key)
            if text is None:
                text = self._texts[piece.key] = _Text(Scanner(self._finders, self._instead(piece.key.kind)))
            pieces.append((piece, text, text.length))
            text.length += len(piece.text)
            text.cuts += text.scanner.feed(piece.text)
        for lane in found.ends:
            self._end(lane)
        self._waiting.append(_Waiting(event, pieces, changed, write))
        if len(self._waiting) > MOST:
            self._end(ALL)
        return self._ready()

    def end(self) -> list[Any]:
        """The rest: the stream is over."""
        self._end(ALL)
        return self._ready()

    def _end_others(self, lanes: set[Any], kinds: set[tuple[Any, str]]) -> None:
        for other in [each for each in self._texts if each.lane in lanes and each[:2] not in kinds]:
            self._finish(other)

    def _end(self, lane: Any) -> None:
        for key in [each for each in self._texts if lane is ALL or each.lane == lane]:
            self._finish(key)

    def _finish(self, key: Key) -> None:
        text = self._texts.pop(key)
        text.cuts += text.scanner.flush()

    def _ready(self) -> list[Any]:
        found = []
        while self._waiting and all(
            text.scanner.settled >= start + len(piece.text) for piece, text, start in self._waiting[0].pieces
        ):
            found.append(_told(self._waiting.popleft()))
        return found


def _told(waiting: _Waiting) -> Any:
    changed = waiting.changed
    for piece, text, start in waiting.pieces:
        before = piece.text
        after = apply(before, start, text.cuts)
        text.cuts = [cut for cut in text.cuts if cut.end > start + len(before)]
        if after != before:
            piece.holder[piece.name] = after
            changed = True
    return waiting.write() if changed else waiting.event
