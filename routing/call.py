"""One client request on its way: what it asked, whose it is, and the Entry that fills as facts arrive."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from providers.errors import ReplyBroken, UpstreamError
from providers.light import Header
from providers.usage import Usage
from routing.endpoint import Endpoint
from routing.errors import GatewayError
from routing.facts import facts_of
from tenants.keys import Key, Tenant
from tenants.ledger import Entry
from tenants.objects import ObjectStore, ObjectStoreError, StoredObject
from tenants.terms import Terms

if TYPE_CHECKING:
    from providers.chat import Chat
    from providers.upstream import Credential
    from routing.account import Account
    from routing.bound_demand import Demand
    from routing.connection_responses import ConnectionResponses
    from routing.decision import Decision
    from routing.hook_words import Identity
    from routing.hooked import Hooked
    from routing.responses import Turn
    from routing.retries import Outcome
    from routing.table import Resolved, Table, Target
    from routing.tap import Tap

log = logging.getLogger(__name__)

BYTES_PER_TOKEN: Final = 4
#: What is shorter is a word such as ``none`` or ``ollama``, which texts hold by chance.
SHORTEST_SECRET: Final = 8
#: Endpoints whose replies tell usage that was counted before, or count tokens without using any.
UNMETERED: Final = frozenset(
    {
        "responses.get",
        "responses.delete",
        "responses.cancel",
        "responses.input_items",
        "responses.input_tokens",
        "messages.count_tokens",
        "generate.count_tokens",
    }
)
#: Endpoints that generate text, whose tokens can be estimated where the upstream tells none.
GENERATING: Final = frozenset(
    {"chat", "completions", "responses", "responses.compact", "messages", "generate", "unified"}
)

_NO_KEY: Final = Key(0, "", 0)
_NO_TENANT: Final = Tenant(0, "")
_NO_TERMS: Final = Terms()


class Call:
    """``doc`` is the parsed JSON body (or the fields of a multipart one), ``body`` the bytes as they came, ``path`` what
    the client's path held. ``began`` is a performance-counter reading."""

    chat: Chat | None = None  # the call in the vocabulary, where an upstream speaks another dialect
    account: Account | None = None  # what it holds of its limits and budgets
    admitted = 0.0  # when, by the clock that limits go by: told to upstreams where the operator wants to prove them
    active: tuple[str, str] | None = None  # under what this call counts as under way at its provider
    demanded: tuple[bytes, Demand] | None = None  # the body that says so, and what it asks for at most
    body = b""
    credential: Credential | None = None  # of the attempt under way
    credential_id = 0  # of the account that an object belongs to which the call names, 0 for any
    decision: Decision | None = None
    doc: dict[str, Any]
    form = "none"  # json | multipart | none: what the body is
    hooked: Hooked | None = None  # None where no hook is
    identity: Identity | None = None  # who it is in the words of a hook
    idle = 300.0  # seconds of an upstream's silence in the middle of a reply
    kept: ConnectionResponses | None = None  # what is asked for responses instead of the gateway's own store
    key = _NO_KEY
    marked = 0  # characters of the reply at its last checkpoint
    model = ""
    priced = False
    provider_id = 0  # set where an object that the call names ties it to one provider
    outcome: Outcome = ""  # of the attempt before, or of the last
    resolved: Resolved | None = None
    setback: Entry | None = None  # the attempt before, if an upstream may bill it
    stream = False
    streamed_by_body = False  # Gemini's generateContent with "stream": true in its body
    table: Table | None = None  # the snapshot under which it was sent
    tap: Tap | None = None  # of the reply under way
    target: Target | None = None
    tenant = _NO_TENANT
    terms = _NO_TERMS
    turn: Turn | None = None  # of a conversation that the gateway keeps
    warm = False  # nothing is to be generated: the conversation is only made ready to go on from

    def __init__(
        self, endpoint: Endpoint, entry: Entry, entry_id: str, scope: MutableMapping[str, Any], objects: ObjectStore
    ) -> None:
        self.began = time.perf_counter()
        self.endpoint = endpoint
        self.entry = entry
        self.id = entry_id
        self.method: str = scope["method"]
        self.headers: list[Header] = scope["headers"]
        self.named: dict[bytes, bytes] = dict(self.headers)
        self.query: bytes = scope.get("query_string", b"")
        self.path: dict[str, str] = scope["url_route"]["kwargs"] if "url_route" in scope else {}
        self.objects = objects
        self.doc = {}
        self.inlined: dict[frozenset[type], Chat] = {}  # the chat with the media fetched that an upstream needs as data

    def header(self, name: bytes) -> str:
        """A request header, "" where there is none."""
        value = self.named.get(name)
        return value.decode("latin-1") if value is not None else ""

    def become(self, endpoint: Endpoint) -> None:
        """The body has shown that this is another endpoint than the path says."""
        if "prompt" in self.doc:
            message = "A completion has a prompt (the legacy form) or messages (the unified form), not both."
            raise GatewayError("invalid_request", message, param="messages")
        self.endpoint = endpoint
        self.entry.endpoint = endpoint.name

    def aim(self, target: Target) -> None:
        """Say in the entry where this attempt goes."""
        entry, upstream = self.entry, target.upstream
        self.target = target
        self.idle = upstream.idle_timeout
        entry.provider_id, entry.provider = upstream.id, upstream.name
        entry.target_id = target.id
        entry.upstream_model = target.model or self.model

    def begin_attempt(self) -> None:
        """Another attempt: what the one before has told counts no more."""
        entry = self.entry
        if entry.attempts:
            self._take(Usage())
            entry.estimated = False
            self.tap = None
            self.outcome = ""
        entry.attempts += 1

    def asked(self) -> dict[str, str]:
        """The query's parameters, the first of each name."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.query.decode("latin-1"), keep_blank_values=True):
            found.setdefault(name, value)
        return found

    def secrets(self) -> list[str]:
        """The secrets of the provider that is called now: some providers repeat them in their errors."""
        held = self.target.upstream.credentials if self.target is not None else ()
        return [credential.secret for credential in held if len(credential.secret) >= SHORTEST_SECRET]

    def fail(self, error: UpstreamError) -> None:
        """The reply broke after its first byte."""
        self.entry.error_kind = "truncated" if isinstance(error, ReplyBroken) else error.kind
        self.entry.status = error.status

    def count(self, tap: Tap) -> None:
        """Take over what the reply told of itself; estimate tokens where it told none of its usage."""
        if self.endpoint.name in UNMETERED:
            return
        entry = self.entry
        self.tap = tap
        if entry.stream:
            entry.estimated = False  # what a checkpoint has said counts no more
        entry.upstream_response_id = tap.response_id
        if tap.failed and not entry.error_kind:
            entry.error_kind = "server_error"
        if tap.usage is not None:
            self._take(tap.usage)
        cut_short = entry.stream and not tap.complete
        if self.endpoint.name in GENERATING and (cut_short or (tap.usage is None and tap.complete)):
            self._estimate(tap)

    def spend(self, tap: Tap) -> None:
        """Count what an attempt has cost that came to nothing: the upstream bills it."""
        if self.endpoint.name in UNMETERED:
            return
        self.tap = tap
        if tap.usage is not None:
            self._take(tap.usage)
        if tap.characters:
            self._estimate(tap)

    def _take(self, usage: Usage) -> None:
        entry = self.entry
        entry.input_tokens, entry.output_tokens = usage.input_tokens, usage.output_tokens
        entry.cache_read_tokens, entry.cache_write_tokens = usage.cache_read_tokens, usage.cache_write_tokens
        entry.reasoning_tokens = usage.reasoning_tokens

    def _estimate(self, tap: Tap) -> None:
        """What was generated counts, however little of it the upstream has told: a stream that was cut short, and a
        reply of a vendor that tells no usage, which is not for free. What was told before any text is no count yet."""
        entry = self.entry
        seen = -(-(tap.characters - tap.counted) // BYTES_PER_TOKEN) + (entry.output_tokens if tap.counted else 0)
        if seen > entry.output_tokens or tap.usage is None:
            entry.estimated = True
            entry.output_tokens = max(entry.output_tokens, seen)
            self.guess_input()

    def guess_input(self) -> None:
        """Estimate the input where nobody has told it."""
        if not self.entry.input_tokens:
            self.entry.estimated = True
            self.entry.input_tokens = facts_of(self, 0).input_tokens

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
                self.credential.id if self.credential is not None else upstream.credentials[0].id,
                target.id,
                self.entry.route,
                self.model,
            )
            for found, kind in new.items()
        ]
        try:
            await self.objects.remember(made)
        except ObjectStoreError:
            # The reply is paid for and passes; what it made cannot be named later, since nobody can prove whose it is.
            log.error("the objects of request %s could not be kept: the store is away", self.id)

    def elapsed_us(self) -> int:
        return int((time.perf_counter() - self.began) * 1_000_000)
