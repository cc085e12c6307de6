"""Which models a provider says it has: asked of it, and kept in the database. Off the request path.

``probe`` never raises for what an upstream does; ``refresh`` writes only where something differs from what is stored,
so that an unchanged list makes no revision.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from providers import models
from providers.demo import DemoTransport
from providers.errors import UpstreamError
from providers.light import Header
from providers.load import upstream_of
from providers.upstream import Connections, Upstream
from providers.validators import allowed_addresses

SECONDS = 30
MAX_TEXT = 500
MAX_BYTES = 16 * 2**20
MAX_PAGES = 50
MAX_MODELS = 10_000
MAX_DETAILS = 4000
#: What Google puts before a model's name.
PUBLISHED = re.compile(r"\A(publishers/[^/]+/)?models/")
#: What some servers say anew with every answer (vLLM): not a change.
VOLATILE = ("created", "permission")


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking. ``status`` is 0 where no answer came; ``text`` is at most 500 characters of what was said,
    with the provider's secrets taken out. ``models`` are the names with what the provider says of each."""

    ok: bool
    status: int
    seconds: float
    text: str
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """How one dialect lists its models: ``more`` gives the next page's query parameter, "" at the end."""

    path: str
    rows: str
    name: str
    more: Callable[[Mapping[str, Any]], str]
    query: str = ""
    headers: tuple[Header, ...] = ()
    base: Callable[[str], str] = str  # the address of the list, from that of the models


def _after(page: Mapping[str, Any]) -> str:
    return f"after_id={quote(str(page['last_id']), safe='')}" if page.get("has_more") and page.get("last_id") else ""


def _token(page: Mapping[str, Any]) -> str:
    return f"pageToken={quote(str(page['nextPageToken']), safe='')}" if page.get("nextPageToken") else ""


def _next_page(page: Mapping[str, Any]) -> str:
    token = page.get("next_page_token")
    return f"page_token={quote(str(token), safe='')}" if token else ""


def _no_more(page: Mapping[str, Any]) -> str:
    return ""


def _origin(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _control_plane(base_url: str) -> str:
    """AWS lists models at another host than it runs them."""
    return base_url.replace("//bedrock-runtime", "//bedrock", 1)


OPENAI = Listing("/v1/models", "data", "id", _after)
ANTHROPIC = Listing("/v1/models", "data", "id", _after, "limit=1000", ((b"anthropic-version", b"2023-06-01"),))
GEMINI = Listing("/v1beta/models", "models", "name", _token, "pageSize=1000")
BEDROCK = Listing("/foundation-models", "modelSummaries", "modelId", _no_more, base=_control_plane)
COHERE = Listing("/v1/models", "models", "name", _next_page, "page_size=1000")
VERTEX = Listing("/v1beta1/publishers/google/models", "publisherModels", "name", _token, base=_origin)
LISTINGS: dict[str, Listing] = {
    "anthropic": ANTHROPIC,
    "anthropic-compatible": ANTHROPIC,
    "gemini": GEMINI,
    "gemini-compatible": GEMINI,
    "bedrock": BEDROCK,
    "bedrock-anthropic": replace(BEDROCK, query="byProvider=anthropic"),
    "cohere": COHERE,
    "vertex": VERTEX,
    "vertex-anthropic": replace(VERTEX, path="/v1beta1/publishers/anthropic/models"),
}


def listing_of(upstream: Upstream) -> Listing:
    if upstream.api_version:  # Azure's dated API
        return replace(OPENAI, path="/openai/models", query=f"api-version={upstream.api_version}")
    return LISTINGS.get(upstream.kind, OPENAI)


def connections() -> Connections:
    """Connections of the calling event loop's own, with the engine and the exceptions that the settings name."""
    return Connections(settings.GATEWAY_UPSTREAM_TRANSPORT, allowed_addresses(), {"demo": DemoTransport()})


async def probe(upstream: Upstream, pool: Connections | None = None) -> Probe:
    """Ask ``upstream`` for its models, over ``pool`` or connections that are closed afterwards."""
    used = pool or connections()
    started = time.perf_counter()
    patient = replace(upstream, first_byte_timeout=min(upstream.first_byte_timeout, SECONDS))
    try:
        async with asyncio.timeout(SECONDS):
            found = await _list(patient, used)
    except TimeoutError:
        found = Probe(False, 0, 0, f"no complete answer in {SECONDS} seconds")
    except UpstreamError as error:
        found = Probe(False, 0, 0, _why(error))
    finally:
        if pool is None:
            await used.close()
    return replace(found, seconds=time.perf_counter() - started, text=_shown(found.text, upstream))


def _why(error: UpstreamError) -> str:
    """Our word for it and the engine's own, which clients never see but an operator needs: no such host, bad certificate."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return f"{error}\n\n{type(inner).__name__}: {inner}" if inner is not error else str(error)


async def _list(upstream: Upstream, pool: Connections) -> Probe:
    listing = listing_of(upstream)
    upstream = replace(upstream, base_url=listing.base(upstream.base_url))
    models_found: dict[str, Mapping[str, Any]] = {}
    more, first = "", ""
    for _ in range(MAX_PAGES):
        status, body = await _page(upstream, pool, listing, more)
        first = first or body[: MAX_TEXT * 8].decode("utf-8", "replace")
        page = _parsed(body, listing)
        if status != 200 or page is None:
            return Probe(False, status, 0, first)
        models_found.update(_models(page[listing.rows], listing))
        more, before = listing.more(page), more
        if not more or more == before or len(models_found) >= MAX_MODELS:
            break
    return Probe(True, status, 0, first, models_found)


async def _page(upstream: Upstream, pool: Connections, listing: Listing, more: str) -> tuple[int, bytes]:
    query = "&".join(filter(None, (listing.query, more)))
    reply = await pool.open(
        upstream, "GET", listing.path, (*listing.headers, (b"accept", b"application/json")), query=query.encode()
    )
    try:
        body, _ = await reply.read(MAX_BYTES)
    finally:
        await reply.close()
    return reply.status, body


def _parsed(body: bytes, listing: Listing) -> Mapping[str, Any] | None:
    """The page if it is a list of models. Some servers (Together) send the bare list."""
    try:
        page = orjson.loads(body)
    except ValueError:
        return None
    page = {listing.rows: page} if isinstance(page, list) else page
    return page if isinstance(page, dict) and isinstance(page.get(listing.rows), list) else None


def _models(rows: list[Any], listing: Listing) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows[:MAX_MODELS]:
        name = row.get(listing.name) if isinstance(row, dict) else None
        name = PUBLISHED.sub("", name) if isinstance(name, str) else ""
        if 0 < len(name) <= 255 and name.isprintable():
            text = orjson.dumps(row)
            legal = len(text) <= MAX_DETAILS and b"\\u0000" not in text  # PostgreSQL stores no NUL
            found[name] = {key: value for key, value in row.items() if key != "permission"} if legal else {}
    return found


def _shown(text: str, upstream: Upstream) -> str:
    for credential in upstream.credentials:
        if credential.secret:
            text = text.replace(credential.secret, "[secret]")
    return text[:MAX_TEXT].replace("\x00", "\ufffd")


async def refresh(provider: models.Provider, pool: Connections | None = None) -> Probe:
    """Probe ``provider`` and, if it answers, make its stored models what it says."""
    upstream = await sync_to_async(upstream_of)(provider)
    found = await probe(upstream, pool)
    if found.ok:
        await sync_to_async(store)(provider, found.models)
    return found


def store(provider: models.Provider, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the provider's rows equal ``found``: one transaction, and a revision only where they differ. A model of which
    the operator has said what it can do stays, unlisted."""
    now = timezone.now()
    with transaction.atomic():
        rows = {row.name: row for row in provider.models.all()}
        for name in rows.keys() - found.keys():
            _lose(rows[name])
        for name, details in found.items():
            row = rows.get(name) or models.UpstreamModel(provider=provider, name=name)
            if row.seen_at is None or _lasting(row.details) != _lasting(details):
                row.details, row.seen_at = dict(details), now
                row.save()
        # Not what requests read, so no revision: update() sends no signals.
        provider.models.exclude(seen_at=None).update(seen_at=now)
        models.Provider.objects.filter(pk=provider.pk).update(models_refreshed_at=now)
    provider.models_refreshed_at = now


def _lose(row: models.UpstreamModel) -> None:
    """The provider has it no more."""
    if not row.abilities:
        row.delete()
    elif row.seen_at is not None:
        row.details, row.seen_at = {}, None
        row.save()


def _lasting(details: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in VOLATILE}
