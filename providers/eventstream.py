"""Bytes of ``application/vnd.amazon.eventstream`` to events, as ``providers.sse`` does for SSE. No I/O."""

from __future__ import annotations

import struct

import orjson
from botocore.eventstream import (
    EventStreamBuffer,
    EventStreamMessage,
    InvalidHeadersLength,
    InvalidPayloadLength,
    ParserError,
)

from providers import sse

CONTENT_TYPE = "application/vnd.amazon.eventstream"
#: What the buffer raises over bytes that are no frame.
BROKEN = (ParserError, struct.error, LookupError, ValueError)


class FrameError(ValueError):
    """A frame's lengths, checksum or headers are wrong. Nothing can be read after it."""


class Parser:
    """Holds the frame that has not ended, ``limit`` bytes and one piece at most.

    An event's type is ``:event-type``, of an exception ``:exception-type``, of an error ``:error-code``; its data is
    the payload, of an error ``{"message": …}``.
    """

    __slots__ = ("_buffer", "_held", "_limit", "_wrong")

    def __init__(self, limit: int = sse.LIMIT) -> None:
        self._buffer = EventStreamBuffer()
        self._held = 0
        self._limit = limit
        self._wrong: ValueError | None = None

    def feed(self, chunk: bytes) -> list[sse.Event]:
        """The events that ``chunk`` ends. Raises FrameError or sse.EventTooLong, after the events before it were given."""
        if self._wrong is not None:
            raise self._wrong
        events: list[sse.Event] = []
        self._held += len(chunk)
        self._buffer.add_data(chunk)
        try:
            for message in self._buffer:
                self._held -= message.prelude.total_length
                events.append(_event(message))
        except (InvalidHeadersLength, InvalidPayloadLength):
            self._wrong = self._too_long()
        except BROKEN:
            self._wrong = FrameError("a frame of the event stream is broken")
        else:
            self._wrong = self._too_long() if self._held > self._limit else None
        if self._wrong is not None and not events:
            raise self._wrong
        return events

    def flush(self) -> list[sse.Event]:
        """Nothing: what is left at the end is no whole frame. Raises as ``feed`` does."""
        if self._wrong is not None:
            raise self._wrong
        return []

    def _too_long(self) -> ValueError:
        return sse.EventTooLong(f"an event of the stream is longer than {self._limit} bytes")


def _event(message: EventStreamMessage) -> sse.Event:
    headers, data = message.headers, message.payload
    kind = headers.get(":message-type")
    if kind == "error":
        name = headers.get(":error-code")
        data = orjson.dumps({"message": str(headers.get(":error-message") or "")})
    else:
        name = headers.get(":exception-type" if kind == "exception" else ":event-type")
    name = name if isinstance(name, str) else ""
    return sse.Event(name, data, sse.write(data, name), not data)
