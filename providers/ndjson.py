"""Bytes to events of ``application/x-ndjson``: each line is one. No I/O; bytes in any pieces give the same events.

Lines end with LF or CRLF. The ``raw`` of all events, in order, is the input byte for byte.
"""

from __future__ import annotations

from providers.sse import LIMIT, Event, EventTooLong


class Parser:
    """As ``sse.Parser``. Holds the beginning of a line that has not ended, ``limit`` bytes and one piece at most."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._held = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes) -> list[Event]:
        """The lines that ``chunk`` ends; a blank one is silent. Raises EventTooLong, after the lines before it."""
        self._check()
        if b"\n" not in chunk:
            self._held += chunk
            self._check()
            return []
        first, *lines = chunk.split(b"\n")
        rest = lines.pop()
        events = [_event(bytes(self._held) + first, b"\n"), *(_event(line, b"\n") for line in lines)]
        self._held = bytearray(rest)
        return events

    def flush(self) -> list[Event]:
        """The last line, where the stream ended without its end. Raises EventTooLong."""
        self._check()
        text = bytes(self._held)
        self._held = bytearray()
        return [_event(text, b"")] if text else []

    def _check(self) -> None:
        if len(self._held) > self._limit:
            raise EventTooLong(f"a line of the stream is longer than {self._limit} bytes")


def _event(line: bytes, end: bytes) -> Event:
    data = line.strip()
    return Event("", data, line + end, not data)
