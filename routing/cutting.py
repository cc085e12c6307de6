"""Cuts a stream that goes past what a hard budget has reserved for it: the client gets its dialect's ending for length.

An upstream that keeps to its cap is never cut. Where usage is told on the way, it decides. Where none is, a text of more
than ``LONGEST`` characters for each token of the bound has gone past it: a token may be as long as that, but hardly ever
is all of a reply of such. What is generated and not shown cannot be seen, so this is the safety net beneath the cap.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import orjson

from providers.events import Event, Finished, Used
from providers.sse import Parser
from providers.usage import Usage
from routing.call import GENERATING, Call
from routing.length_endings import ENDINGS, GARBAGE, Ending
from routing.tap import Tap

LONGEST: Final = 8
KEPT: Final = 65_536
"""Bytes that the client was sent which are kept until they are looked at."""


def cut_of(call: Call, tap: Tap) -> Cut | None:
    """What cuts this stream; None where nothing has to. One that an upstream makes in the background goes on without us."""
    account, target = call.account, call.target
    if account is None or not account.hard or target is None:
        return None
    if call.endpoint.name not in GENERATING or call.doc.get("background"):
        return None
    bound = account.outputs.get(target.id)
    return None if bound is None else Cut(call, tap, bound)


class Cut:
    """Watches one stream: a relayed one by the bytes that the client was sent, a translated one by its events."""

    __slots__ = ("begun", "bound", "call", "finished", "kept", "parser", "size", "state", "tap")

    def __init__(self, call: Call, tap: Tap, bound: int) -> None:
        self.call = call
        self.tap = tap
        self.bound = bound
        self.begun: set[int] = set()
        self.finished: set[int] = set()
        self.kept: list[bytes] = []
        self.size = 0
        self.parser = Parser()
        self.state: Ending = ENDINGS[call.endpoint.api](call.doc)

    def due(self) -> bool:
        """Whether the reply has gone past its bound and still goes on."""
        tap = self.tap
        usage = tap.usage
        told = usage.output_tokens if usage is not None else 0
        over = tap.characters - tap.counted > LONGEST * (self.bound - told) or told > self.bound
        return over and not (tap.complete or tap.ended or tap.failed)

    def usage(self) -> Usage:
        """What the reply has come to, as the client is told and the row has it."""
        self.call.spend(self.tap)
        entry = self.call.entry
        return Usage(
            entry.input_tokens,
            entry.output_tokens,
            entry.cache_read_tokens,
            entry.cache_write_tokens,
            entry.reasoning_tokens,
        )

    # of a stream in the client's own dialect

    def passed(self, data: bytes) -> bool:
        """Keep ``data`` that the client was sent, since its ending has to fit to that; whether that was enough."""
        state = self.state
        if state.marker in data:
            if state.last_only:
                self.kept = [data]
            else:
                self.kept.append(data)
                self.size += len(data)
                if self.size > KEPT:
                    self._look()
        return self.due()

    def ending(self) -> bytes:
        """What ends the stream."""
        asked = self.call.doc.get("stream_options")
        told = isinstance(asked, dict) and bool(asked.get("include_usage"))
        return b"".join(self._look().end(self.usage(), told))

    def _look(self) -> Ending:
        """Read what is kept."""
        data, self.kept, self.size = b"".join(self.kept), [], 0
        for event in self.parser.feed(data):
            with suppress(*GARBAGE):
                self.state.read(orjson.loads(event.data))
        return self.state

    # of a translated stream

    def over(self, events: Iterable[Event]) -> bool:
        """See which choices ``events`` begin and end; whether that was enough."""
        for event in events:
            choice: int | None = getattr(event, "choice", None)
            if choice is None:
                continue
            self.begun.add(choice)
            if event.__class__ is Finished:
                self.finished.add(choice)
                self.tap.ended = self.begun == self.finished
        return self.due()

    def last(self) -> list[Event]:
        """The events that end the stream."""
        open_ = sorted(self.begun - self.finished) or [0]
        return [Used(self.usage()), *(Finished("length", choice) for choice in open_)]
