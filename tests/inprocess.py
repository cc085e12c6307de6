"""The whole data plane in this process: a table made by hand, upstreams that are functions, requests by httpx."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
from channels.routing import URLRouter

from providers.presets import PRESETS
from providers.upstream import Connections, Credential, Upstream
from routing import urls
from routing.gateway import Gateway
from routing.options import Options
from routing.table import Route, Table, Target, with_routes
from tenants import keys
from tenants.keys import Key, Tenant
from tenants.ledger import Entry

PEPPER = b"test pepper"
KEY = "gw-test-key-0123456789-0123456789-0123456789"
OTHER_KEY = "gw-other-key-0123456789-0123456789-012345678"
SECRET = "sk-upstream-secret-0123456789"
Answer = Callable[[httpx.Request], Any]


def upstream(id: int = 1, name: str = "up", kind: str = "openai", **changes: Any) -> Upstream:
    preset = PRESETS[kind]
    form = {
        "bearer": (b"authorization", f"Bearer {SECRET}".encode()),
        "x-api-key": (b"x-api-key", SECRET.encode()),
        "x-goog-api-key": (b"x-goog-api-key", SECRET.encode()),
    }
    made = Upstream(
        id=id,
        name=name,
        kind=kind,
        base_url=f"http://{name}.test",
        apis=frozenset(preset.apis),
        credentials=(Credential(id, form[preset.auth], SECRET),),
        stream_usage=preset.stream_usage,
        max_retries=0,
        breaker="closed",  # tests of breakers say so
        choosing_fields=frozenset(preset.choosing_fields),
    )
    return replace(made, **changes)


def route(name: str, *targets: Target | Upstream, id: int = 1, **changes: Any) -> Route:
    made = tuple(t if isinstance(t, Target) else Target(n, t) for n, t in enumerate(targets, 1))
    return replace(Route(id, name, made), **changes)


def table(*routes: Route, **changes: Any) -> Table:
    made = Table(
        revision=7,
        keys={
            keys.digest(KEY, PEPPER): Key(11, "main", 1),
            keys.digest(OTHER_KEY, PEPPER): Key(12, "other", 2),
        },
        tenants={1: Tenant(1, "acme"), 2: Tenant(2, "rival")},
        upstreams={t.upstream.id: t.upstream for r in routes for t in r.targets},
        peppers=(PEPPER,),
        loaded_at=1.0,
    )
    return replace(with_routes(made, {r.name: r for r in routes}), **changes)


class Plane:
    """``requests`` are what upstreams were sent; ``rows`` what the ledger got of requests, ``lost`` of attempts that came to
    nothing."""

    def __init__(self, made: Table, answer: Answer, options: Options | None = None) -> None:
        self.requests: list[httpx.Request] = []

        async def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            reply = answer(request)
            made: httpx.Response = await reply if hasattr(reply, "__await__") else reply
            return made

        self.gateway = Gateway(Connections(transports={"*": httpx.MockTransport(handle)}), table=made, options=options)
        self.router = URLRouter(urls.urlpatterns)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=True),
            base_url="http://gateway.test",
            headers={"authorization": f"Bearer {KEY}"},
        )

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        scope["gateway"] = self.gateway
        await (urls.HOT.get(scope["path"]) or self.router)(scope, receive, send)

    @property
    def rows(self) -> list[Entry]:
        return [entry for entry in self.gateway.ledger._entries if entry.kind == "charge"]

    @property
    def lost(self) -> list[Entry]:
        return [entry for entry in self.gateway.ledger._entries if entry.kind == "attempt"]


@contextlib.asynccontextmanager
async def plane(made: Table, answer: Answer, options: Options | None = None) -> AsyncIterator[Plane]:
    running = Plane(made, answer, options)
    async with running.client:
        yield running


def sse(*data: str, kind: str = "") -> httpx.Response:
    """An event stream reply of these data lines."""
    text = "".join((f"event: {kind}\n" if kind else "") + f"data: {line}\n\n" for line in data)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())
