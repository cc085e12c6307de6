"""Collects what was asked and answered, for a store of its own. It sees what the hooks before it have left of both."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from providers.sse import Event as SseEvent
from routing.hooks import HookCall, HookReply, Means, Trouble, option
from tenants.ledger import Entry


@dataclass(slots=True)
class Record:
    """``cut`` names the bodies that are not here in full. The reply to a stream is its events as the client got them, or
    where it was translated one JSON object for each event of the vocabulary."""

    id: str
    request_id: str
    tenant_id: int
    route: str
    endpoint: str
    model: str
    request: bytes = b""
    reply: bytes = b""
    status: int = 0
    error: str = ""
    cut: list[str] = field(default_factory=list)
    days: int = 30


class _Collected:
    """The reply so far."""

    def __init__(self, room: int) -> None:
        self.parts: list[bytes] = []
        self.room = room
        self.cut = False

    def add(self, data: bytes) -> None:
        if len(data) > self.room:
            self.cut = True
        self.parts.append(data[: self.room])
        self.room -= len(self.parts[-1])


class RequestLog:
    on_failure = "open"

    @dataclass(frozen=True)
    class Options:
        requests: bool = option(True, "Keep what was asked.")
        replies: bool = option(True, "Keep what was answered.")
        share: float = option(1.0, "The share of requests that is kept.", minimum=0, maximum=1)
        days: int = option(30, "For how many days it is kept.", minimum=1, maximum=3_650)
        max_bytes: int = option(262_144, "How much of each body is kept.", minimum=0, maximum=67_108_864)

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options
        self.keep = means.keep
        self.rng = random.Random()

    def before_request(self, call: HookCall) -> None:
        if not call.log_bodies:
            return
        if self.options.share >= 1 or self.rng.random() < self.options.share:
            call.notes[self] = _Collected(self.options.max_bytes)

    def on_event(self, call: HookCall, event: Any) -> Any:
        collected = call.notes.get(self)
        if collected is not None and self.options.replies and collected.room > 0:
            collected.add(event.raw if isinstance(event, SseEvent) else _line(event))
        elif collected is not None:
            collected.cut = True
        return event

    def after_response(self, call: HookCall, reply: HookReply, entry: Entry) -> None:
        if (collected := call.notes.pop(self, None)) is not None:
            if reply.body is not None:
                collected.add(reply.body)
            record = self._record(call, collected, reply.status)
            if not reply.stream and reply.body is None and self.options.replies:
                record.cut.append("reply")
            record.error = entry.error_kind
            self.keep(record)

    def on_error(self, call: HookCall, trouble: Trouble) -> None:
        if (collected := call.notes.pop(self, None)) is not None:
            record = self._record(call, collected, trouble.status)
            record.error = f"{trouble.kind}: {trouble.message}"
            self.keep(record)

    def _record(self, call: HookCall, collected: _Collected, status: int) -> Record:
        record = Record(call.id, call.request_id, call.tenant.id, call.route, call.endpoint, call.model, status=status)
        record.days = self.options.days
        if self.options.requests:
            record.request = call.body[: self.options.max_bytes]
            record.cut += ["request"] * (len(call.body) > self.options.max_bytes)
        if self.options.replies:
            record.reply = b"".join(collected.parts)
            record.cut += ["reply"] * collected.cut
        return record


def _line(event: Any) -> bytes:
    return orjson.dumps({"event": type(event).__name__, **asdict(event)}, default=str) + b"\n"
