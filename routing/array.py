"""Gemini's stream without ``alt=sse``: one JSON array, element by element."""

from __future__ import annotations

from providers.dialects import Writes
from providers.events import Event
from providers.sse import Parser


class ArrayWriter:
    """Turns what a writer of SSE writes into the elements of an array."""

    def __init__(self, writer: Writes) -> None:
        self.writer = writer
        self.parser = Parser()
        self.begun = False

    def feed(self, event: Event) -> bytes:
        return self._elements(self.writer.feed(event))

    def flush(self) -> bytes:
        return self._elements(self.writer.flush()) + (b"]" if self.begun else b"[]")

    def _elements(self, data: bytes) -> bytes:
        found = b""
        for event in self.parser.feed(data):
            if event.data:
                found += (b",\r\n" if self.begun else b"[") + event.data
                self.begun = True
        return found
