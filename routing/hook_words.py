"""What hooks are given beside the request itself, what they give back, and how their edits go into JSON."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from providers import jsonbytes
from providers.chat import Json
from providers.dialects.ids import made
from providers.events import Event, Finished, Started, TextDelta
from providers.light import Header
from routing.apis import CLIENT_DIALECTS
from routing.array import ArrayWriter
from routing.call import Call
from routing.errors import GatewayError
from routing.headers import KEY_HEADERS
from routing.table import Target
from routing.translation import chat_of

#: Headers that hooks neither see nor set.
HIDDEN = frozenset({*KEY_HEADERS, b"cookie", b"proxy-authorization"})
FIXED = HIDDEN | {b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"}
GONE = object()


class Refusal(GatewayError):
    """Raised by a hook to refuse a request, or to end a stream, with a text that is meant for the client."""

    def __init__(self, message: str, kind: str = "permission", **more: Any) -> None:
        super().__init__(kind, message, **more)


class Misuse(Exception):
    """A hook did what hooks may not do."""


async def _no_ask(endpoint: str, doc: dict[str, Any]) -> Any:
    raise Misuse("this gateway gives hooks no such means")


async def _no_post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    raise Misuse("this gateway gives hooks no such means")


def _no_keep(record: Any) -> None:
    raise Misuse("this gateway gives hooks no such means")


@dataclass(frozen=True, slots=True)
class Means:
    """What hooks may use of the gateway: ``ask`` an endpoint of its own (``moderations``) with a document and get the
    reply's, ``post`` to a URL and get status and body, ``keep`` a record in the store of logs. ``clock`` is in seconds."""

    ask: Callable[[str, dict[str, Any]], Awaitable[Any]] = _no_ask
    post: Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]] = _no_post
    keep: Callable[[Any], None] = _no_keep
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply in place of any provider's: a text, or events of the vocabulary, or a document in the client's dialect."""

    text: str = ""
    events: Sequence[Event] = ()
    doc: Json | None = None

    def told(self, model: str) -> list[Event]:
        return list(self.events) or [Started(made("gw-"), model), TextDelta(self.text), Finished("stop")]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose request it is: the name of a tenant, and as what the key shall stand in usage rows."""

    tenant: str
    key: str = ""
    user: str = ""
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A target, as ``choose`` gets it."""

    position: int
    provider: str
    kind: str
    model: str
    weight: int
    priority: int

    @staticmethod
    def of(targets: Sequence[Target], model: str) -> list[Choice]:
        return [
            Choice(n, each.upstream.name, each.upstream.kind, each.model or model, each.weight, each.priority)
            for n, each in enumerate(targets)
        ]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What ``on_error`` gets: the error in the words that the client will read."""

    kind: str
    status: int
    message: str
    code: str | None


def spliced(body: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> bytes:
    """``body`` with the top-level fields that differ."""
    for name in before:
        if name not in after:
            body = jsonbytes.remove(body, name)
    for name, value in after.items():
        if name not in before:
            body = jsonbytes.insert(body, name, orjson.dumps(value))
        elif before[name] != value:
            body = jsonbytes.replace(body, name, orjson.dumps(value))
    return body


def patched(doc: Any, before: Any, after: Any) -> Any:
    """``doc`` with what differs between ``before`` and ``after``, two readings of it, at any depth."""
    if before == after:
        return doc
    if isinstance(doc, dict) and isinstance(before, dict) and isinstance(after, dict):
        found = {name: value for name, value in doc.items() if name in after or name not in before}
        for name, value in after.items():
            if before.get(name, GONE) != value:
                found[name] = patched(doc.get(name), before.get(name), value)
        return found
    lists = isinstance(doc, list) and isinstance(before, list) and isinstance(after, list)
    if lists and len(doc) == len(before) == len(after):
        return [patched(*each) for each in zip(doc, before, after, strict=True)]
    return after


def with_header(headers: Sequence[Header], name: str, value: str | None) -> list[Header]:
    key = name.lower().encode("ascii")
    if key in FIXED:
        raise Misuse(f"the header {name} is not for hooks to set")
    kept = [header for header in headers if header[0] != key]
    if value is None:
        return kept
    if not value.isprintable():
        raise Misuse(f"the header {name} cannot have this value")
    return [*kept, (key, value.encode("latin-1"))]


class Attempt:
    """One attempt's request as the upstream will get it, in its dialect; credentials are added afterwards."""

    def __init__(self, target: Target, request: Any, model: str, number: int) -> None:
        self._request = request
        self.provider = target.upstream.name
        self.kind = target.upstream.kind
        self.model = target.model or model
        self.number = number

    @property
    def headers(self) -> list[Header]:
        return list(self._request.headers)

    def set_header(self, name: str, value: str | None) -> None:
        self._request.headers = with_header(self._request.headers, name, value)

    @property
    def body(self) -> bytes:
        return bytes(self._request.body)

    @body.setter
    def body(self, body: bytes) -> None:
        self._request.body = body


class HookReply:
    """A reply that is complete. A whole one was not sent yet: change ``doc`` in place, or set ``body``. Of a stream, and
    of what is too large or no JSON, there is no body here."""

    __slots__ = ("_body", "_doc", "status", "stream")

    def __init__(self, status: int, stream: bool, body: bytes | None = None) -> None:
        self.status = status
        self.stream = stream
        self._doc: Any = GONE
        self.body = body

    @property
    def body(self) -> bytes | None:
        return self._body

    @body.setter
    def body(self, body: bytes | None) -> None:
        self._body, self._doc = body, GONE

    @property
    def doc(self) -> Any:
        """None where there is no JSON."""
        if self._doc is GONE:
            try:
                self._doc = orjson.loads(self.body or b"")
            except ValueError:
                self._doc = None
        return self._doc

    def drop(self) -> None:
        """Forget what was changed in ``doc``."""
        self._doc = GONE

    def take(self) -> None:
        """Make the edits."""
        doc, self._doc = self._doc, GONE
        if doc is GONE or doc is None or self.body is None:
            return
        before = orjson.loads(self.body)
        if before != doc:
            both = isinstance(before, dict) and isinstance(doc, dict)
            self.body = spliced(self.body, before, doc) if both else orjson.dumps(doc)


def written(call: Call, answer: Answer) -> tuple[bytes, bytes]:
    """The content type and the bytes of an answer, whole or as a stream, as the client asked. Raises Misuse."""
    if answer.doc is not None:
        return b"application/json", orjson.dumps(answer.doc)
    client = CLIENT_DIALECTS.get(call.endpoint.api)
    if client is None:
        raise Misuse(f"an answer to {call.endpoint.name} must be a document")
    chat, events = chat_of(call), answer.told(call.entry.model)
    if not call.stream:
        return b"application/json", orjson.dumps(client.write_response(events, chat))
    writer: Any = client.StreamWriter(chat)
    array = call.endpoint.api == "generate" and b"alt=sse" not in call.query and not call.streamed_by_body
    if array:
        writer = ArrayWriter(writer)
    data = b"".join([writer.feed(event) for event in events]) + writer.flush()
    return (b"application/json" if array else b"text/event-stream"), data
