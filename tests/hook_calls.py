"""Requests for hooks to see, without any gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from providers.upstream import Credential, Upstream
from routing.call import Call
from routing.endpoint import Endpoint
from routing.hooks import Answer, HookCall, Hooks
from routing.table import Resolved, Route, Target
from tenants.keys import Tenant
from tenants.ledger import Entry
from tenants.objects import MemoryStore

SECRET = "sk-very-secret-0123456789"
ENDPOINTS = {
    "chat": Endpoint("chat", "openai", "chat", "v1/chat/completions"),
    "unified": Endpoint("unified", "openai", "unified", "v1/completions"),
    "responses": Endpoint("responses", "openai", "responses", "v1/responses"),
    "messages": Endpoint("messages", "anthropic", "messages", "v1/messages"),
    "generate": Endpoint("generate", "gemini", "generate", "{version}/models/{model}:{action}"),
    "images": Endpoint("images.generations", "openai", "images", "v1/images/generations"),
}
BODY = b'{ "model":"m",  "messages":[ {"role":"user","content":"hi"} ],"temperature":1.0, "odd":[1,2] }'


def raw_call(body: bytes = BODY, api: str = "chat", stream: bool = False, tenant: int = 1, route: int = 1) -> Call:
    headers = [
        (b"authorization", SECRET.encode()),
        (b"x-api-key", SECRET.encode()),
        (b"cookie", b"a"),
        (b"user-agent", b"t"),
    ]
    scope = {"method": "POST", "headers": headers, "query_string": b"key=" + SECRET.encode() + b"&alt=sse"}
    call = Call(ENDPOINTS[api], Entry(request_id="r"), "id", scope, MemoryStore())
    call.body, call.doc, call.form = body, orjson.loads(body), "json"
    call.model = call.entry.model = call.doc.get("model", "m")
    call.stream, call.tenant = stream, Tenant(tenant, "acme")
    call.resolved = Resolved(Route(route, "m"), call.model)
    if api == "generate":
        call.path = {"version": "v1beta", "model": "m", "action": "generateContent"}
    return call


def target(name: str = "p", **more: Any) -> Target:
    credentials = (Credential(1, (b"authorization", SECRET.encode()), SECRET),)
    return Target(1, Upstream(1, name, "openai", "https://example.com", frozenset({"chat"}), credentials), **more)


def begin(hook: Any, call: Call, **facts: Any) -> Answer | None:
    return asyncio.run(Hooks(made=[hook], **facts).begin(HookCall(call), lambda: None))
