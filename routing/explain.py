"""Why a request went where it went, and where one would go that is never sent."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from routing import admission, incoming
from routing.allowance import check_sizes
from routing.call import Call
from routing.choosing import choose
from routing.decision import Decision, read
from routing.endpoint import Endpoint
from routing.errors import GatewayError
from routing.table import Table
from routing.traffic import Traffic
from tenants.keys import Key
from tenants.ledger import Entry
from tenants.objects import MemoryStore

if TYPE_CHECKING:
    from routing.gateway import Gateway

MOST_BYTES = 6000


def told(call: Call, decision: Decision) -> bytes:
    """The decision as a reply header, compact JSON in ASCII; the last candidates are left out where it grows too long."""
    assert call.resolved is not None
    doc: dict[str, Any] = {"model": call.entry.model, "route": call.resolved.route.name, **read(decision.text())}
    while len(data := orjson.dumps(doc)) > MOST_BYTES and doc["candidates"]:
        doc["more_candidates"] = doc.get("more_candidates", 0) + 1
        doc["candidates"].pop()
    return data if data.isascii() else "".join(map(_escaped, data.decode())).encode()


def _escaped(character: str) -> str:
    if character.isascii():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def imagined(
    endpoint: Endpoint,
    path: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    key: Key,
    table: Table,
    address: str = "",
) -> Call:
    """The call that such a request would be, read as if it had come; without ``address`` from one that the key may be
    used from. Raises GatewayError."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"method": "POST", "headers": raw, "query_string": b"", "url_route": {"kwargs": dict(path)}}
    call = Call(endpoint, Entry(), "", scope, MemoryStore())
    admission.accept(call, table, key)
    if address:
        call.entry.client_ip = address
        admission.check_address(call)
    admission.check_scope(call)
    call.body = body
    if endpoint.dialect == "gemini":
        call.model = path.get("model", "")
    incoming.read_json(call)
    call.entry.stream, call.entry.model = call.stream, call.model
    incoming.read_head(call)
    return call


def explain(call: Call, table: Table, traffic: Traffic, rng: random.Random) -> dict[str, Any]:
    """The decision for a call that is never sent, in words; with ``error`` where it would be refused. Hooks are not run:
    ``hooks`` names those that would be, which may decide otherwise. ``rng`` is left as it was."""
    own = random.Random()
    own.setstate(rng.getstate())
    doc: dict[str, Any] = {"model": call.entry.model, "route": ""}
    try:
        doc["route"] = admission.resolve(call, table).route.name
        check_sizes(call)
        choose(call, table, traffic, own)
    except GatewayError as error:
        doc["error"] = {"kind": error.kind, "status": error.status, "message": error.message, "code": error.code}
    decision = call.decision
    if decision is not None:
        doc |= read(decision.text())
    if table.hooks is not None:
        doc["hooks"] = table.hooks.names(call)
    return doc


def explained(gateway: Gateway, call: Call) -> dict[str, Any]:
    """The decision for an imagined call by what ``gateway`` knows of its upstreams now."""
    return explain(call, gateway.table, gateway.traffic, gateway.rng)
