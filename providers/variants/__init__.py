"""How one vendor serves another's API: the same dialect at another address, in a body or framing a little different.

A variant edits what would have gone to the dialect's own vendor. Bytes that need no edit stay as they came, so that it
serves both the passthrough and the translation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers import sse
from providers.events import Failed
from providers.light import Header

if TYPE_CHECKING:
    from providers.upstream import Upstream


class Frames(Protocol):
    """Splits a reply's bytes into events, as ``providers.sse.Parser`` does; an event's ``raw`` is its SSE form."""

    def feed(self, chunk: bytes) -> list[sse.Event]: ...

    def flush(self) -> list[sse.Event]: ...


class Wire(NamedTuple):
    """One upstream request: ``path`` with its version, the ``query`` without ``?``, and the JSON ``body``."""

    path: str
    query: bytes
    headers: list[Header]
    body: bytes


@dataclass(frozen=True, slots=True)
class Variant:
    """``request`` gets the upstream, the request as the plain API has it, the upstream's model name (as said, not
    quoted) and whether a stream is asked for. ``frames`` splits a streamed reply where that is not SSE; its content type
    starts with ``stream_type``. ``counts``: it counts tokens as the plain API does. ``read_error`` reads what
    the vendor says in words of its own; None for an error that is the dialect's already."""

    request: Callable[[Upstream, Wire, str, bool], Wire]
    frames: Callable[[], Frames] | None = None
    stream_type: str = "text/event-stream"
    counts: bool = True
    read_error: Callable[[int, Any], Failed | None] | None = None
