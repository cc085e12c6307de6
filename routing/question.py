"""What Explain is asked from outside, by REST and by ``manage.py explain``: a request that is never sent."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings

from providers.rules import HEADER_NAME, HEADER_VALUE
from routing import paths, running
from routing.endpoint import Endpoint
from routing.errors import GatewayError
from routing.explain import explain, imagined
from routing.gateway import Gateway
from routing.load import Loader
from routing.load_keys import key_of
from routing.table import Table
from routing.traffic import Traffic
from routing.views import Resource, generate, generate_by_path
from tenants import keys
from tenants.models import ApiKey

LARGEST_ID = 2**63 - 1


class Unclear(Exception):
    """The question cannot be understood; ``field`` is the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Question:
    """``key`` is None for a request without any; ``path`` is what the client's path holds beside the endpoint, ``address`` where it
    comes from, "" for one that the key may be used from."""

    key: ApiKey | None
    endpoint: Endpoint
    path: dict[str, str]
    headers: dict[str, str]
    body: bytes
    address: str = ""


def find_key(said: str | int, tenant: str = "") -> ApiKey:
    """The key of this name, id or the key itself. Raises Unclear."""
    text = str(said)
    if not text.isprintable():
        raise Unclear("key", "There is no such key.")
    rows = ApiKey.objects.select_related("tenant")
    if tenant:
        rows = rows.filter(tenant__name=tenant)
    digests = [keys.digest(text, pepper).hex() for pepper in settings.GATEWAY_KEY_PEPPERS]
    found = [] if isinstance(said, int) else list(rows.filter(digest__in=digests)) or list(rows.filter(name=text)[:6])
    if not found and text.isascii() and text.isdecimal() and int(text) <= LARGEST_ID:
        found = list(rows.filter(pk=int(text)))
    if not found:
        raise Unclear("key", "There is no such key.")
    if len(found) > 1:
        names = ", ".join(sorted(row.tenant.name for row in found))
        raise Unclear("key", f"Several tenants have a key of this name, {names}: say which tenant's.")
    return found[0]


def endpoint_at(path: str) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint to which a path leads, and what the path holds. Raises Unclear."""
    path = path.partition("?")[0]
    found = paths.find(path)
    methods = found[0].methods if found is not None and isinstance(found[0], Resource) else {}
    view, endpoint = methods.get("POST", (None, None))
    if found is None or endpoint is None or view not in (generate, generate_by_path):
        meant = paths.suggest(path)
        hint = f" Did you mean {meant}?" if meant else ""
        raise Unclear("path", f"Requests to {path[:200]!r} are not routed by a model.{hint}")
    return endpoint, found[1]


def body_of(endpoint: Endpoint, path: dict[str, str], doc: dict[str, Any], model: str, stream: bool | None) -> bytes:
    """The body as a client would send it, with the model and the wish for a stream written in. Raises Unclear."""
    doc = dict(doc)
    if endpoint.dialect == "gemini":
        if model and model != path["model"]:
            raise Unclear("model", f"The path names another one, {path['model'][:200]!r}.")
    elif model:
        if doc.setdefault("model", model) != model:
            raise Unclear("model", f"The body names another one, {str(doc['model'])[:200]!r}.")
    elif "model" not in doc:
        raise Unclear("model", "Say which model is asked for.")
    if stream is not None:
        doc["stream"] = stream
    return json.dumps(doc, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def check_headers(headers: dict[str, str]) -> None:
    """Raises Unclear."""
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise Unclear("headers", f"{name[:100]!r} is not a header of printable ASCII.")


def answer(question: Question) -> dict[str, Any]:
    """The decision in words. ``live`` says whether it was made with what this process has seen of its providers."""
    gateway = running.gateway()
    if gateway is None:
        doc = _decide(question, Loader().refresh(), Traffic(), random.Random())
    else:
        doc = async_to_sync(_decide_here)(question, gateway)
    row = question.key
    shown = {"id": row.pk, "name": row.name, "tenant": row.tenant.name} if row is not None else None
    return {"key": shown, **doc, "live": gateway is not None}


async def _decide_here(question: Question, gateway: Gateway) -> dict[str, Any]:
    """In the event loop of the requests, whose state no thread may read."""
    return _decide(question, gateway.table, gateway.traffic, gateway.rng)


def _decide(question: Question, table: Table, traffic: Traffic, rng: random.Random) -> dict[str, Any]:
    key = key_of(question.key) if question.key is not None else table.anonymous
    try:
        if key is None:
            raise GatewayError("auth", "No API key was sent.")
        asked = question
        call = imagined(asked.endpoint, asked.path, asked.headers, asked.body, key, table, asked.address)
    except GatewayError as error:
        refused = {"kind": error.kind, "status": error.status, "message": error.message, "code": error.code}
        return {"model": question.path.get("model", ""), "route": "", "error": refused}
    return explain(call, table, traffic, rng)
