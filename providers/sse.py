"""Bytes to events of ``text/event-stream`` and back. No I/O; bytes in any pieces give the same events.

Lines end with LF, CRLF or CR, as the standard says, and with nothing else. The ``raw`` of all events, in order, is
the input byte for byte.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LIMIT: Final = 32 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = ord("\r")
_BLANK: Final = re.compile(rb"\r\n?|\n")
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n?|\n)")


class Event(NamedTuple):
    """``raw`` is the event as it came, with the blank line that ends it; only the last of a stream may lack that.

    ``type`` is "" where the stream names none. ``silent``: there is no data line (a comment, a ``retry:``, one blank
    line more), so a client dispatches nothing. An empty ``data:`` line is empty but not silent.
    """

    type: str
    data: bytes
    raw: bytes
    silent: bool = False


class EventTooLong(ValueError):
    """An event grew past the limit without an end. Nothing can be read after it."""


class Parser:
    """Holds the beginning of an event that has not ended, ``limit`` bytes and one piece at most."""

    __slots__ = ("_begun", "_held", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._begun = False
        self._held = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that ``chunk`` ends. Raises EventTooLong, after the events before the long one were given."""
        if self._held:
            self._check()
            if not self._ends(chunk):
                self._check()
                return []
            text = bytes(self._held)
            self._held = bytearray()
        elif _is_one_line(chunk):  # as most pieces are
            self._begun = True
            return [Event("", chunk[6:-2], chunk)]
        else:
            text = chunk
        events, used = self._read(text)
        if used < len(text):
            self._held += text[used:]
            if not events:
                self._check()
        return events

    def flush(self) -> list[Event]:
        """What is left at the end of the stream, ended or not. Raises EventTooLong."""
        self._check()
        text = bytes(self._held)
        self._held = bytearray()
        events, used = self._lines(text, last=True)
        if used < len(text):
            events.append(_event(text[used + self._mark(text) :], text[used:]))
        return events

    def _check(self) -> None:
        if len(self._held) > self._limit:
            raise EventTooLong(f"an event of the stream is longer than {self._limit} bytes")

    def _ends(self, chunk: bytes) -> bool:
        """Hold ``chunk`` too; whether an event ends in it."""
        last, searched = self._held[-1], max(len(self._held) - 3, 0)
        self._held += chunk
        if last != _CR and b"\n" not in chunk and b"\r" not in chunk:
            return False
        return _END.search(self._held, searched) is not None

    def _mark(self, text: bytes) -> int:
        """How many bytes a byte order mark takes here: one may stand before the first event."""
        return len(_BOM) if not self._begun and text.startswith(_BOM) else 0

    def _read(self, text: bytes) -> tuple[list[Event], int]:
        """The events in ``text``, which begins where one does, and how many bytes they take."""
        if not self._begun:
            return self._lines(text)
        if b"\r" not in text:
            return self._split(text, b"\n")
        if text.count(b"\r\n") == text.count(b"\r") == text.count(b"\n"):
            return self._split(text, b"\r\n")
        return self._lines(text)

    def _split(self, text: bytes, newline: bytes) -> tuple[list[Event], int]:
        """``_lines`` for text whose lines all end with ``newline``; quick for events of one data line."""
        parts = text.split(newline + newline)
        rest = parts.pop()
        events: list[Event] = []
        for part in parts:
            raw = part + newline + newline
            cut = part.find(newline)
            if cut < 0 and part.startswith(b"data: "):
                events.append(Event("", part[6:], raw))
            elif part.startswith(b"event: ") and _two_lines(part, cut, cut + len(newline), newline):
                events.append(Event(part[7:cut].decode("utf-8", "replace"), part[cut + len(newline) + 6 :], raw))
            else:
                events += self._lines(raw, last=True)[0]
        return events, len(text) - len(rest)

    def _lines(self, text: bytes, last: bool = False) -> tuple[list[Event], int]:
        events: list[Event] = []
        used, start = 0, self._mark(text)
        while match := _BLANK.match(text, start) or _END.search(text, start):
            if match.end() == len(text) and text[-1] == _CR and not last:
                break  # its LF may come yet
            events.append(_event(text[start : match.end()], text[used : match.end()]))
            used = start = match.end()
            self._begun = True
        return events, used


def _is_one_line(chunk: bytes) -> bool:
    newline = chunk.find(b"\n")
    return newline == len(chunk) - 2 and chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") and b"\r" not in chunk


def _two_lines(part: bytes, cut: int, second: int, newline: bytes) -> bool:
    """Whether a line of data begins at ``second``, after the first line's end ``cut``, and is the last."""
    return cut > 0 and part.startswith(b"data: ", second) and part.find(newline, second) < 0


def _event(text: bytes, raw: bytes) -> Event:
    """The event of these lines. Unknown fields, ``id`` and ``retry`` say nothing that we need."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    kind, lines = b"", []
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif name == b"event":
            kind = value.removeprefix(b" ")
    return Event(kind.decode("utf-8", "replace"), b"\n".join(lines), raw, not lines)


def write(data: bytes, type: str | None = None) -> bytes:
    """One event; each line of ``data`` gets a line of its own. Raises ValueError for a type of several lines."""
    head = b""
    if type:
        if "\n" in type or "\r" in type:
            raise ValueError("the type of an event is one line")
        head = b"event: " + type.encode() + b"\n"
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return head + b"data: " + data + b"\n\n"
