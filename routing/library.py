"""The gateway as a library: declared in code, mounted in another ASGI application, called in the same process.

async with Gateway(providers=[…], routes=[…]) as gateway:
    reply = await gateway.chat(model="fast", messages=[…])
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast

import orjson

from providers.addresses import Network
from providers.light import Header
from providers.media import Fetcher, MediaGuard
from providers.posting import Poster
from providers.upstream import Connections
from routing import assembly, mounting
from routing.assembly import Declarations, Keys
from routing.client import Receive
from routing.declarations import Credential, Defaults, Hook, Model, Provider, Route, Target
from routing.declared import wrong
from routing.inprocess import Exchange
from routing.options import Options
from routing.queue import Queues
from routing.table import Table
from routing.traffic import Traffic
from routing.warden import Warden
from tenants.ledger import Entry, Ledger

__all__ = ("Credential", "Declared", "Defaults", "Hook", "Library", "Model", "Provider", "Route", "Target")

if TYPE_CHECKING:
    from routing.gateway import Gateway

log = logging.getLogger(__name__)

CHAT = "/v1/chat/completions"
Message = Mapping[str, Any]
OnUsage = Callable[[Entry], Awaitable[None] | None]


class Declared(TypedDict, total=False):
    """What a program declares. ``keys`` are those of callers, by name or without; without any, and without a hook that
    says whose a request is, the application takes requests without a key. ``on_usage`` gets every finished Entry.
    ``hook_addresses`` are networks that hooks may post to beside the public ones; ``keep`` gets what RequestLog logs."""

    providers: Declarations
    routes: Declarations
    hooks: Declarations
    defaults: Defaults | Mapping[str, Any] | None
    keys: Keys
    on_usage: OnUsage | None
    hook_addresses: Sequence[str]
    keep: Callable[[Any], None] | None


class Reports(Ledger):
    """Hands each entry to ``tell``, at once, and keeps none. What ``tell`` returns to be awaited runs beside the
    request; ``len`` is how many such are under way."""

    def __init__(self, tell: OnUsage | None) -> None:
        super().__init__()
        self.tell = tell
        self.tasks: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self.tasks)

    def record(self, entry: Entry) -> None:
        if self.tell is None:
            return
        try:
            waiting = self.tell(entry)
            if inspect.isawaitable(waiting):
                task = asyncio.ensure_future(waiting)
                self.tasks.add(task)
                task.add_done_callback(self._done)
        except Exception:
            log.exception("on_usage has failed for request %s", entry.request_id)

    def _done(self, task: asyncio.Future[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("on_usage has failed", exc_info=error)

    async def close(self) -> None:
        """Until all have been told."""
        while self.tasks:
            await asyncio.wait(tuple(self.tasks))


class Library:
    """The part of a Gateway that only libraries use."""

    connections: Connections
    fetcher: Fetcher
    flush: Callable[[], None]
    ledger: Ledger
    options: Options
    table: Table
    traffic: Traffic
    warden: Warden
    _loop: asyncio.AbstractEventLoop | None = None
    _closed = False
    _given: tuple[Connections | None, Fetcher | None] = None, None
    _own_key = ""
    _poster: Poster
    _under_way: set[asyncio.Future[None]]

    def declare(self, connections: Connections | None, fetcher: Fetcher | None, declared: Declared) -> None:
        """Take over what was declared. Raises ValueError naming the field at fault."""
        self._given = connections, fetcher
        self._connect()
        if unknown := set(declared) - set(Declared.__annotations__):
            raise TypeError(f"unexpected argument {min(unknown)}; known are {', '.join(Declared.__annotations__)}")
        if not declared:
            return
        self._own_key = secrets.token_urlsafe(32)
        self._under_way = set()
        self.ledger = Reports(declared.get("on_usage"))
        self.options = replace(self.options, allow_anonymous=True)  # the table says whether anybody is
        table = assembly.table_of(
            declared.get("providers", ()),
            declared.get("routes", ()),
            declared.get("defaults"),
            declared.get("keys", ()),
            self._own_key,
            self.connections.allowed,
        )
        from routing.means import means_of  # which takes a whole Gateway

        self._poster = Poster(_networks(declared.get("hook_addresses", ()), "hook_addresses"))
        means = means_of(cast("Gateway", self), self._poster, declared.get("keep"))
        self.table = assembly.with_hooks(table, declared.get("hooks", ()), means)

    # in the same process

    async def chat(
        self,
        *,
        model: str,
        messages: Sequence[Message],
        key: str = "",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """The whole reply in the shape of OpenAI's chat completions, whichever API the provider has. ``fields`` are
        those of a request of it. Without a ``key`` it is the program's own request. Raises GatewayError."""
        if fields.get("stream"):
            raise wrong("stream", "call stream() for that.")
        async with self._post(CHAT, {"model": model, "messages": messages, **fields}, key, headers) as exchange:
            found: dict[str, Any] = await exchange.document()
            return found

    async def stream(
        self,
        *,
        model: str,
        messages: Sequence[Message],
        key: str = "",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> AsyncGenerator[dict[str, Any]]:
        """The chunks of the reply as they come. Raises GatewayError, in the midst of them too. A loop that is left
        early ends the request when the generator is closed."""
        doc = {"model": model, "messages": messages, **fields, "stream": True}
        async with self._post(CHAT, doc, key, headers) as exchange, aclosing(exchange.events()) as events:
            async for event in events:
                yield event

    def _post(self, path: str, doc: dict[str, Any], key: str, headers: Mapping[str, str] | None) -> Exchange:
        if not self._own_key:
            raise TypeError("This gateway was made without providers=[…]; it is not called as a library.")
        told = [*_headers(headers or {}), (b"authorization", f"Bearer {key or self._own_key}".encode())]
        return Exchange(self, path, orjson.dumps(doc), told, self._under_way)

    # as an ASGI application

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Any) -> None:
        if scope["type"] == "lifespan":
            await mounting.lifespan(receive, send, self.close)
        elif scope["type"] == "websocket":  # a door of Channels', which a library does without
            await mounting.refuse_websocket(scope, receive, send)
        else:
            self._enter()
            await mounting.answer(self, scope, receive, send)

    # its life

    def _enter(self) -> None:
        """Be at home in the event loop of now. One that has ended leaves nothing that another could use."""
        loop = asyncio.get_running_loop()
        if loop is self._loop and not self._closed:
            return
        if self._loop is not None and not self._closed and not self._loop.is_closed():
            raise RuntimeError("This gateway is in use in another event loop; make one for each.")
        if self._loop is not None or self._closed:
            self._connect()
            self._poster.guard = MediaGuard(self._poster.guard.allowed)
            self.warden = Warden(self.flush)
            self.traffic.queues = Queues()
        self._loop, self._closed = loop, False
        self.traffic.apply(self.table)

    def _connect(self) -> None:
        connections, fetcher = self._given
        self.connections, self.fetcher = connections or Connections(), fetcher or Fetcher()

    async def close(self) -> None:
        """End the requests of this process that are under way, and close what is open once all entries have been told.
        Harmless twice; the next request opens it anew."""
        self._closed = True
        if self._own_key and self._under_way:
            for task in self._under_way:
                task.cancel()
            await asyncio.wait(tuple(self._under_way))
        self.flush()
        if isinstance(self.ledger, Reports):
            await self.ledger.close()
        await self.connections.close()
        await self.fetcher.close()
        if self._own_key:
            self._poster.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _headers(headers: Mapping[str, str]) -> list[Header]:
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _networks(texts: Sequence[str], path: str) -> list[Network]:
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise wrong(path, f"{error}.") from None
