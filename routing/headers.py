"""Which headers pass, which way; and what the gateway itself reads from a request's head."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import parse_qsl

from providers.light import Header
from routing.errors import GatewayError

KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")

#: Request headers that go to the upstream, by dialect; every other one stops here.
_ALWAYS: Final = frozenset(
    {b"content-type", b"accept", b"user-agent", b"idempotency-key", b"traceparent", b"tracestate"}
)
FORWARDED: Final = {
    "openai": _ALWAYS | {b"openai-beta"},
    "anthropic": _ALWAYS | {b"anthropic-version", b"anthropic-beta"},
    "gemini": _ALWAYS | {b"x-goog-api-client"},
}
#: Reply headers that come back. Rate limits, organisation, cookies and location are the operator's, not the client's.
RETURNED: Final = (
    b"content-type",
    b"content-disposition",
    b"content-language",
    b"openai-processing-ms",
    b"openai-version",
    b"server-timing",
)
UPSTREAM_REQUEST_IDS: Final = (b"x-request-id", b"request-id", b"x-goog-request-id", b"apim-request-id")

#: On every reply of a client endpoint: what a provider says must not run as a page of the gateway's origin.
SAFETY: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)


def lines(headers: Iterable[Header]) -> list[bytes]:
    """``headers`` as they go over the wire, in pieces."""
    found: list[bytes] = []
    for name, value in headers:
        found.append(name)
        found.append(b": ")
        found.append(value)
        found.append(b"\r\n")
    return found


def read_lines(pieces: Iterable[bytes]) -> list[Header]:
    """What ``lines`` has written, for a server that wants it in pairs."""
    found: list[Header] = []
    for line in b"".join(pieces).split(b"\r\n"):
        name, colon, value = line.partition(b": ")
        if colon:
            found.append((name, value))
    return found


def key_of(headers: Sequence[Header], query: bytes, dialect: str) -> str:
    """The key that the request carries, "" for none. Two different ones are refused: nobody could tell which was meant."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in KEY_HEADERS:
            text = value.decode("latin-1").strip()
            if name == b"authorization":
                scheme, _, text = text.partition(" ")
                text = text.strip() if scheme.lower() == "bearer" else ""
            if text:
                found.setdefault(text, name.decode())
    if query and dialect == "gemini":
        for name_, value_ in parse_qsl(query.decode("latin-1")):
            if name_ == "key" and value_:
                found.setdefault(value_, "?key=")
    if len(found) > 1:
        raise GatewayError(
            "auth", f"The request carries different keys in {' and '.join(sorted(found.values()))}. Send one."
        )
    return next(iter(found), "")


def request_id_of(given: bytes | None, own: str) -> str:
    """The client's ``x-request-id`` if it is a decent one, else ``own``."""
    return given.decode() if given is not None and REQUEST_ID.match(given) else own


def find(headers: Iterable[Header], name: bytes) -> str:
    """The first header of that name, "" if there is none."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


def forwarded(headers: Sequence[Header], dialect: str) -> list[Header]:
    passes = FORWARDED[dialect]
    return [(name, value) for name, value in headers if name in passes or name.startswith(b"x-stainless-")]


def returned(headers: Mapping[bytes, bytes]) -> list[Header]:
    return [(name, headers[name]) for name in RETURNED if name in headers]


def query_without_key(query: bytes) -> bytes:
    """The query string as it came, without ``key``."""
    if not query:
        return b""
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[0] != b"key")


def safe(text: str) -> bytes:
    """``text`` as a header value: printable ASCII, everything else escaped, at most 256 bytes."""
    text = text[:256]
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if " " <= c <= "~" else "?" for c in text)
    return text.encode()


@lru_cache(4096)
def _trusted(address: str, proxies: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in proxies)


def client_ip(peer: str, headers: Sequence[Header], proxies: tuple[IPv4Network | IPv6Network, ...]) -> str:
    """The client's bare address: the peer's, or behind trusted proxies the last of x-forwarded-for that is none of them."""
    if not proxies or not _trusted(peer, proxies):
        return peer
    hops = [
        hop.strip()
        for name, value in headers
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    for hop in reversed(hops):
        if not _trusted(hop, proxies):
            return hop[:45] if _is_address(hop) else peer
    return hops[0] if hops and _is_address(hops[0]) else peer


@lru_cache(4096)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return _trusted(address, networks)


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
