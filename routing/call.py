"""One client request on its way: what it asked, whose it is, and the Entry that fills as facts arrive."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers.errors import ReplyBroken, UpstreamError
from providers.upstream import Header
from routing.endpoint import Endpoint
from tenants.keys import Key
from tenants.ledger import Entry
from tenants.objects import ObjectStore, StoredObject

if TYPE_CHECKING:
    from routing.table import Resolved, Target
    from routing.tap import Tap

BYTES_PER_TOKEN = 4
#: APIs that generate text, whose tokens can be estimated where the upstream tells none.
GENERATING = frozenset({"chat", "completions", "responses", "messages", "generate"})


@dataclass(slots=True)
class Call:
    """``doc`` is the parsed JSON body (or the fields of a multipart one), ``body`` the bytes as they came, ``path`` what
    the client's path held. ``began`` is a performance-counter reading."""

    endpoint: Endpoint
    method: str
    id: str  # the entry's, as text
    entry: Entry
    headers: list[Header]
    query: bytes
    path: dict[str, str]
    began: float
    key: Key
    objects: ObjectStore
    body: bytes = b""
    form: str = "none"  # json | multipart | none: what the body is
    doc: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    stream: bool = False
    streamed_by_body: bool = False  # Gemini's generateContent with "stream": true in its body
    resolved: Resolved | None = None
    target: Target | None = None
    idle: float = 300  # seconds of an upstream's silence in the middle of a reply
    active: tuple[str, str] | None = None  # under what this call counts as under way at its provider
    named: dict[bytes, bytes] = field(default_factory=dict)  # the headers by name
    provider_id: int = 0  # set where an object that the call names ties it to one provider

    def header(self, name: bytes) -> str:
        """A request header, "" where there is none."""
        value = self.named.get(name)
        return value.decode("latin-1") if value is not None else ""

    def aim(self, target: Target) -> None:
        """Say in the entry where this attempt goes."""
        entry, upstream = self.entry, target.upstream
        self.target = target
        self.idle = upstream.idle_timeout
        entry.attempts += 1
        entry.provider_id, entry.provider = upstream.id, upstream.name
        entry.target_id = target.id
        entry.upstream_model = target.model or self.model

    def fail(self, error: UpstreamError) -> None:
        """The reply broke after its first byte."""
        self.entry.error_kind = "truncated" if isinstance(error, ReplyBroken) else error.kind
        self.entry.status = error.status

    def count(self, tap: Tap) -> None:
        """Take over what the reply told of itself; estimate tokens where it told none of its usage."""
        entry = self.entry
        entry.upstream_response_id = tap.response_id
        if tap.failed and not entry.error_kind:
            entry.error_kind = "server_error"
        if tap.usage is not None:
            usage = tap.usage
            entry.input_tokens, entry.output_tokens = usage.input_tokens, usage.output_tokens
            entry.cache_read_tokens, entry.cache_write_tokens = usage.cache_read_tokens, usage.cache_write_tokens
            entry.reasoning_tokens = usage.reasoning_tokens
        if self.endpoint.api in GENERATING and entry.stream and not tap.complete:
            # Cut short: what was generated so far counts, however little of it the upstream has told.
            seen = -(-tap.characters // BYTES_PER_TOKEN)
            if seen > entry.output_tokens or tap.usage is None:
                entry.estimated = True
                entry.output_tokens = max(entry.output_tokens, seen)
                entry.input_tokens = entry.input_tokens or -(-len(self.body) // BYTES_PER_TOKEN)

    async def keep_objects(self, tap: Tap) -> None:
        """Commit whose the objects are that this reply has made, before the client can name them."""
        target, new = self.target, tap.objects
        tap.objects = {}
        if target is None:
            return
        upstream = target.upstream
        made = [
            StoredObject(
                found,
                self.key.tenant_id,
                kind,
                upstream.id,
                upstream.credentials[0].id,
                target.id,
                self.entry.route,
                self.model,
            )
            for found, kind in new.items()
        ]
        await self.objects.remember(made)

    def elapsed_us(self) -> int:
        return int((time.perf_counter() - self.began) * 1_000_000)
