"""Async views: thin ASGI callables, one per kind of endpoint. ``routing/paths.py`` says which path is whose.

A view finds the gateway in ``scope["gateway"]``; everything of weight is in routing.gateway.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from routing import answers, headers, metrics, responses
from routing.admission import admit, find_objects
from routing.call import Call
from routing.client import Client, Receive
from routing.decision import Decision
from routing.endpoint import Endpoint
from routing.errors import GatewayError
from routing.listing import SHAPES, models_of
from routing.options import Options
from routing.scrape import exposition
from routing.table import Resolved, Route, Table, Target

if TYPE_CHECKING:
    from routing.gateway import Gateway
from routing.hooked import Hooked

Scope = dict[str, Any]
View = Callable[[Scope, Any, Any], Awaitable[None]]
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
JSON = [(b"content-type", b"application/json")]


class Resource:
    """What stands at one path: an endpoint and its view for each method; another method is a 405 that names them."""

    def __init__(self, **methods: tuple[Callable[..., Awaitable[None]], Endpoint]) -> None:
        self.methods = methods
        self.allow = ", ".join(sorted(methods)).encode()

    def __call__(self, scope: Scope, receive: Receive, send: Any) -> Awaitable[None]:
        found = self.methods.get(scope["method"])
        if found is not None:
            view, endpoint = found
            return view(endpoint, scope, receive, send)
        endpoint = _of_headers(next(iter(self.methods.values()))[1], scope)
        refusal = _refusal(405, f"This path takes {self.allow.decode()}.", allow=self.allow)
        answered: Awaitable[None] = scope["gateway"].serve(endpoint, scope, receive, send, refusal)
        return answered


def _refusal(
    status: int, message: str, *, kind: str = "invalid_request", allow: bytes = b""
) -> Callable[[Call, Client, Receive], Awaitable[None]]:
    async def refuse(call: Call, client: Client, receive: Receive) -> None:
        raise GatewayError(kind, message, status=status, headers={"allow": allow.decode()} if allow else None)

    return refuse


def generate(endpoint: Endpoint, scope: Scope, receive: Receive, send: Any) -> Awaitable[None]:
    """An endpoint whose body names the model."""
    answered: Awaitable[None] = scope["gateway"].serve(endpoint, scope, receive, send)
    return answered


async def generate_by_path(endpoint: Endpoint, scope: Scope, receive: Receive, send: Any) -> None:
    """Gemini: the model and the action are in the path; the upstream gets them spelled as the client did."""
    kwargs = scope["url_route"]["kwargs"]
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    spelled = raw.partition(b"?")[0].decode("ascii", "replace").partition("/models/")[2].rpartition(":")[0]
    path = {"version": kwargs["version"], "model": kwargs["model"], "action": kwargs["action"], "spelled": spelled}
    await scope["gateway"].serve(endpoint, {**scope, "url_route": {"kwargs": path}}, receive, send)


async def stored(endpoint: Endpoint, scope: Scope, receive: Receive, send: Any) -> None:
    """An object that an upstream keeps: back to the provider that made it, for the tenant that it was made for."""
    gateway: Gateway = scope["gateway"]

    async def work(call: Call, client: Client, receive: Receive) -> None:
        table = gateway.table
        await admit(call, table, gateway.options.allow_anonymous)
        object_id = call.path["id"]
        kept = await responses.find_kept(call, gateway.kept, object_id)
        if kept is not None:
            call.entry.model = call.model = kept.model
            call.entry.route = kept.route
            call.resolved = Resolved(_route(table, kept.route), kept.model)
            if not await _answered(call, client, table):
                body = await responses.answer_kept(call, gateway.kept, kept)
                body = body if call.hooked is None else await call.hooked.answered(body, stream=False)
                await client.reply(200, JSON, body)
            return
        found = (await find_objects(call, [object_id])).get(object_id)
        upstream = table.upstreams.get(found.provider_id) if found is not None and found.kind == "response" else None
        if found is None or upstream is None:
            raise GatewayError("not_found", "The response does not exist.", param="id", code="object_not_found")
        if not call.terms.provider_allowed(upstream.name):
            raise GatewayError("permission", "This API key may not use the provider of this response.")
        call.path = {"id": quote(object_id, safe="")}
        call.entry.model = call.model = found.model
        call.entry.route = found.route
        call.resolved = Resolved(_route(table, found.route), found.model)
        client.watch(receive)
        if await _answered(call, client, table):
            return
        call.credential_id = found.credential_id
        decision = call.decision = Decision("stored object", "priority", found.model)
        decision.targets = [Target(found.target_id, upstream)]
        await gateway.relay(call, client, decision, table)
        if scope["method"] == "DELETE" and client.status < 300:
            await gateway.objects.forget(call.key.tenant_id, object_id)

    await gateway.serve(endpoint, scope, receive, send, work)


def _route(table: Table, name: str) -> Route:
    """The route of that name as far as hooks ask for it: its id, 0 where it is no more."""
    found = table.routes.get(name) or table.prefixes.get(name.removesuffix("*"))
    return Route(found.id if found is not None else 0, name)


async def _answered(call: Call, client: Client, table: Table) -> bool:
    """Let hooks see the request; whether one has answered it."""
    if table.hooks is None:
        return False
    call.hooked = Hooked(table.hooks, call)
    answer = await call.hooked.begin(lambda: None)
    if answer is not None:
        await answers.send(call, client, answer)
    return answer is not None


async def models(endpoint: Endpoint, scope: Scope, receive: Receive, send: Any) -> None:
    """The models that this key may call, or one of them, in the shape of the client's dialect."""
    gateway: Gateway = scope["gateway"]
    endpoint = _of_headers(endpoint, scope)
    write_list, write_one = SHAPES[endpoint.dialect]

    async def work(call: Call, client: Client, receive: Receive) -> None:
        await admit(call, gateway.table, gateway.options.allow_anonymous)
        found = models_of(gateway.table, call.key)
        name = call.path.get("model")
        if name is not None and name not in found:
            raise GatewayError("unknown_model", f"The model {name[:200]!r} does not exist.", param="model")
        doc = write_list(found) if name is None else write_one(name, *found[name])
        await client.reply(200, JSON, orjson.dumps(doc))

    await gateway.serve(endpoint, scope, receive, send, work)


async def unknown_action(endpoint: Endpoint, scope: Scope, receive: Receive, send: Any) -> None:
    """A POST to a model with no action that is ours."""
    gateway: Gateway = scope["gateway"]

    async def work(call: Call, client: Client, receive: Receive) -> None:
        await admit(call, gateway.table, gateway.options.allow_anonymous)
        raise GatewayError(
            "not_found",
            "There is no such action on a model; Gemini's are generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents.",
        )

    await gateway.serve(_of_headers(endpoint, scope), scope, receive, send, work)


def _of_headers(endpoint: Endpoint, scope: Scope) -> Endpoint:
    """A path that dialects share: anthropic-version, then x-goog-api-key or ?key=, else OpenAI."""
    if endpoint.dialect != "any":
        return endpoint
    names = {name for name, _ in scope["headers"]}
    if b"anthropic-version" in names:
        return replace(endpoint, dialect="anthropic")
    gemini = b"x-goog-api-key" in names or any(
        part.startswith(b"key=") for part in scope.get("query_string", b"").split(b"&")
    )
    return replace(endpoint, dialect="gemini" if gemini else "openai")


def unknown(suggest: Callable[[str], str]) -> View:
    """A path below a client prefix that is none of ours; one that lacks or doubles ``/v1`` is told the right one."""

    async def view(scope: Scope, receive: Receive, send: Any) -> None:
        path = scope["path"]
        first = path.strip("/").partition("/")[0]
        dialect = first if first in ("openai", "anthropic", "gemini") else "gemini" if first == "v1beta" else "any"
        endpoint = _of_headers(Endpoint("unknown", dialect, "", "", "none"), scope)
        hint = suggest(path)
        place = scope.get("mounted_at", "")
        message = f"There is no {(place + path)[:200]!r} here" + (f"; did you mean {place}{hint}?" if hint else ".")
        await scope["gateway"].serve(endpoint, scope, receive, send, _refusal(404, message, kind="not_found"))

    return view


async def health(scope: Scope, receive: Receive, send: Any) -> None:
    """Touches nothing but the clock."""
    gateway: Gateway = scope["gateway"]
    body = {
        "status": "healthy",
        "service": "llm-gateway",
        "version": gateway.options.version,
        "models": len(gateway.table.routes) + len(gateway.table.prefixes),
        "timestamp": headers.timestamp(time.time()),
    }
    await _answer(send, scope, 200, body)


async def ready(scope: Scope, receive: Receive, send: Any) -> None:
    gateway: Gateway = scope["gateway"]
    table = gateway.table
    reason = "draining" if gateway.draining else "" if table.loaded_at else "the configuration is not loaded yet"
    found = {} if reason else {t.upstream.id: t.upstream for route in table.all_routes() for t in route.targets}
    providers = sorted(upstream.name for upstream in found.values() if gateway.traffic.usable(upstream))
    if not reason and not providers:
        reason = "no route has a provider that can be used" if not found else "every provider's circuit breaker is open"
    if reason:
        await _answer(send, scope, 503, {"status": "not ready", "reason": reason})
    else:
        await _answer(send, scope, 200, {"status": "ready", "providers": providers, "revision": table.revision})


async def scrape(scope: Scope, receive: Receive, send: Any) -> None:
    """The metrics, for those who have the token or come from an allowed address."""
    gateway: Gateway = scope["gateway"]
    options = gateway.options
    token = headers.find(scope["headers"], b"authorization").removeprefix("Bearer ").strip()
    by_token = bool(options.metrics_token) and hmac.compare_digest(token.encode(), options.metrics_token.encode())
    if not by_token and not _may_scrape(scope, options):
        await _answer(
            send, scope, 403, {"error": "metrics need GATEWAY_METRICS_TOKEN as a bearer token, or an allowed address"}
        )
        return
    gateway.metrics.flush()
    metrics.REVISION.set(gateway.table.revision)
    metrics.WAITING.set(len(gateway.ledger))
    metrics.STORE_CALLS.set(gateway.objects.calls + gateway.kept.calls)
    metrics.STORE_SECONDS.set(gateway.objects.seconds + gateway.kept.seconds)
    body, content_type = exposition(headers.find(scope["headers"], b"accept"))
    client = Client(send, options.send_timeout, [])
    await client.reply(200, [(b"content-type", content_type.encode())], body)


def _may_scrape(scope: Scope, options: Options) -> bool:
    """An allowed address, or this very machine; what a proxy on it passes on is not the machine's own."""
    peer = (scope.get("client") or ("",))[0]
    proxied = any(name in (b"x-forwarded-for", b"forwarded") for name, _ in scope["headers"])
    if not proxied and headers.within(peer, LOOPBACK):
        return True
    return headers.within(headers.client_ip(peer, scope["headers"], options.trusted_proxies), options.metrics_allow)


async def _answer(send: Any, scope: Scope, status: int, body: Mapping[str, Any]) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        status, body = 405, {"error": "GET only"}
    data = orjson.dumps(body)
    client = Client(send, 60, [b"cache-control: no-store\r\n"])
    await client.reply(status, JSON, b"" if scope["method"] == "HEAD" else data)
