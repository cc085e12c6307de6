"""Gemini and Claude at Google's Vertex AI. The base address ends in ``/v1/projects/…/locations/…``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from providers import jsonbytes
from providers.dialects import gemini_read_reply
from providers.events import Failed
from providers.light import Header
from providers.variants import Variant, Wire

if TYPE_CHECKING:
    from providers.upstream import Upstream

#: A tuned model is served by an endpoint of the project.
ENDPOINT = re.compile(r"endpoints/[A-Za-z0-9_-]+")
GEMINI_PATH = re.compile(r"v\d[a-z0-9]*/models/.+:(?P<action>[A-Za-z]+)")
#: What Vertex calls the API's version 2023-06-01; later ones have one name everywhere.
FIRST_VERSION = b"vertex-2023-10-16"
LATER = re.compile(rb"\d{4}-\d{2}-\d{2}")
MESSAGES, COUNT = "v1/messages", "v1/messages/count_tokens"


def _gemini(upstream: Upstream, wire: Wire, model: str, stream: bool) -> Wire:
    found = GEMINI_PATH.fullmatch(wire.path.strip("/"))
    if found is None:
        return wire
    place = model if ENDPOINT.fullmatch(model) else f"publishers/google/models/{quote(model, safe='@')}"
    return wire._replace(path=f"{place}:{found['action']}")


def _claude(upstream: Upstream, wire: Wire, model: str, stream: bool) -> Wire:
    """The version moves from the header to the body, the model from the body to the path; counting has a path of its own
    and keeps the model."""
    path = wire.path.strip("/")
    if path not in (MESSAGES, COUNT):
        return wire
    body = wire.body
    members = {member.key for member in jsonbytes.spans(body)}
    if path == MESSAGES and "model" in members:
        body = jsonbytes.remove(body, "model")
    if "anthropic_version" not in members:
        body = jsonbytes.insert(body, "anthropic_version", orjson.dumps(_version(wire.headers).decode()))
    action = f"{quote(model, safe='@')}:{'streamRawPredict' if stream else 'rawPredict'}"
    if path == COUNT:
        action = "count-tokens:rawPredict"
    headers = [header for header in wire.headers if header[0] != b"anthropic-version"]
    # Google refuses parameters that it does not know, such as the SDK's ``beta=true``.
    return Wire(f"publishers/anthropic/models/{action}", b"", headers, body)


def _version(headers: list[Header]) -> bytes:
    """The version that the request was written for, as Vertex names it."""
    asked = dict(headers).get(b"anthropic-version", b"")
    return asked if LATER.fullmatch(asked) and asked > b"2023-06-01" else FIRST_VERSION


GEMINI = Variant(_gemini)


def _read_error(status: int, doc: Any) -> Failed | None:
    """Google's own errors; Claude's come in Anthropic's form, which passes."""
    return None if isinstance(doc, dict) and doc.get("type") == "error" else gemini_read_reply.read_error(status, doc)


ANTHROPIC = Variant(_claude, read_error=_read_error)
