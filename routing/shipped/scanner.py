"""Finds things in a text that comes in pieces, the same things as in the whole text, however it is cut.

A ``Finder`` knows one kind of thing: where the next one stands, and from where on the end of the text could be the
beginning of one. What stands before that is settled; the rest, which is bounded, is held until more comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

#: Characters before a thing that a finder may look at.
CONTEXT = 1


class Finder(Protocol):
    """``name`` is what the thing is called in the text's place."""

    @property
    def name(self) -> str: ...

    def find(self, text: str, at: int) -> tuple[int, int] | None:
        """Where the first thing stands that begins at ``at`` or later."""

    def opens(self, text: str, at: int) -> int:
        """From where on, not before ``at``, the end of ``text`` could become a thing or a longer one; its length for never."""


class Cut(NamedTuple):
    """``start`` and ``end`` count from the beginning of the stream."""

    start: int
    end: int
    instead: str


#: What stands for a thing, by its name and its text; None leaves it.
Instead = Callable[[str, str], str | None]


class Scanner:
    """Where finders disagree, the thing that begins first counts; of those that begin together, the first finder's.

    ``settled`` characters of the stream are sure."""

    def __init__(self, finders: Sequence[Finder], instead: Instead) -> None:
        self._finders = finders
        self._instead = instead
        self._text = ""
        self._at = 0  # in the text, up to where it is settled
        self.settled = 0

    def feed(self, text: str) -> list[Cut]:
        """The things that are sure now."""
        self._text += text
        return self._scan(last=False)

    def flush(self) -> list[Cut]:
        """The things in what was held; the stream is over."""
        return self._scan(last=True)

    def _scan(self, last: bool) -> list[Cut]:
        text, at, base = self._text, self._at, self.settled - self._at
        cuts: list[Cut] = []
        nexts: list[tuple[int, int] | None] = [(-1, -1)] * len(self._finders)
        edge = -1
        while True:
            if not last and edge < at:
                edge = min((finder.opens(text, at) for finder in self._finders), default=len(text))
            best = -1
            for n, finder in enumerate(self._finders):
                if (found := nexts[n]) is not None and found[0] < at:
                    found = nexts[n] = finder.find(text, at)
                if found is not None and (best < 0 or found[0] < nexts[best][0]):  # type: ignore[index]
                    best = n
            if best < 0 or (not last and nexts[best][0] >= edge):  # type: ignore[index]
                break
            start, at = nexts[best]  # type: ignore[misc]
            if (instead := self._instead(self._finders[best].name, text[start:at])) is not None:
                cuts.append(Cut(base + start, base + at, instead))
        at = len(text) if last else max(at, edge)
        self.settled = base + at
        kept = max(0, at - CONTEXT)
        self._text, self._at = text[kept:], at - kept
        return cuts


def apply(text: str, start: int, cuts: Sequence[Cut]) -> str:
    """``text``, which begins at ``start`` of the stream, after the cuts. What replaces a thing stands where it begins."""
    parts, at, end = [], start, start + len(text)
    for cut in cuts:
        if cut.end <= at or cut.start >= end:
            continue
        if cut.start >= at:
            parts += [text[at - start : cut.start - start], cut.instead]
        at = min(cut.end, end)
    return "".join([*parts, text[at - start :]])


class Redactor:
    """A stream of text with things replaced."""

    def __init__(self, finders: Sequence[Finder], instead: Instead) -> None:
        self._scanner = Scanner(finders, instead)
        self._held = ""
        self._start = 0  # of what is held

    def feed(self, text: str) -> str:
        """What can be told of the text so far."""
        self._held += text
        return self._told(self._scanner.feed(text))

    def flush(self) -> str:
        return self._told(self._scanner.flush())

    def _told(self, cuts: list[Cut]) -> str:
        sure = self._held[: self._scanner.settled - self._start]
        told = apply(sure, self._start, cuts)
        self._held = self._held[len(sure) :]
        self._start = self._scanner.settled
        return told


def redacted(text: str, finders: Sequence[Finder], instead: Instead) -> str:
    """``text``, which is whole, with things replaced."""
    scanner = Scanner(finders, instead)
    scanner._text = text
    cuts = scanner.flush()
    return apply(text, 0, cuts) if cuts else text
