"""Builds the frozen Upstream that requests see, from whatever describes a provider: a row of the database or a
declaration in code. No Django here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from providers.light import Header
from providers.presets import preset_of
from providers.signers import Signer
from providers.upstream import Credential, Upstream
from providers.variants import Variant
from providers.variants.registry import VARIANTS

TIMEOUTS = ("connect_timeout", "first_byte_timeout", "idle_timeout")
AUTH_HEADERS = {
    "bearer": ("authorization", "Bearer {}"),
    "aws": ("authorization", "Bearer {}"),
    "google": ("authorization", "Bearer {}"),
    "x-api-key": ("x-api-key", "{}"),
    "x-goog-api-key": ("x-goog-api-key", "{}"),
    "api-key": ("api-key", "{}"),
}


class Described(Protocol):
    """What is said of a provider; what is empty its kind knows."""

    name: str
    kind: str
    base_url: str
    strip_path: str
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    max_retries: int
    stream_usage: str
    proxy_url: str
    ca_file: str
    api_version: str
    max_concurrent: int
    max_waiting: int
    queue_wait: float
    breaker: str
    breaker_ratio: float
    breaker_requests: int
    breaker_pause: float

    @property
    def apis(self) -> Sequence[str]: ...

    @property
    def extra_headers(self) -> Mapping[str, str]: ...

    @property
    def lacks(self) -> Sequence[str]: ...


def _header(auth: str, secret: str) -> Header | None:
    if not secret or auth == "none":
        auth, secret = ("bearer", secret) if secret else ("none", "")
    if auth not in AUTH_HEADERS:
        return None
    name, form = AUTH_HEADERS[auth]
    return name.encode(), form.format(secret).encode("latin-1", "replace")


@lru_cache(256)  # tokens outlive a snapshot
def _signer(auth: str, secret: str, base_url: str) -> Signer | None:
    """A signer for what no header can carry. AWS and Google have plain keys too, which need none.

    Their libraries take 20 MB, so only those who call these vendors load them."""
    if auth == "aws" and (":" in secret or secret.lstrip().startswith("{")):
        from providers.signers.sigv4 import Sigv4Signer, region_in, region_of

        return Sigv4Signer(secret, region_of(urlsplit(base_url).hostname or "", region_in(secret)))
    if auth == "google" and secret.lstrip().startswith("{"):
        from providers.signers.google import GoogleSigner

        return GoogleSigner(secret)
    return None


def address_of(provider: Described) -> str:
    """The base URL in force."""
    return provider.base_url or preset_of(provider.kind).base_url


def timed(upstream: Upstream, limits: object) -> Upstream:
    """``upstream`` with the limits of time that ``limits``, a route, sets itself."""
    own = {name: value for name in TIMEOUTS if (value := getattr(limits, name)) is not None}
    return replace(upstream, **own) if own else upstream


def credential_of(provider: Described, id: int, secret: str, weight: int = 1) -> Credential:
    """A secret of the provider, ready to send. Raises ValueError for one that its kind cannot use."""
    auth = preset_of(provider.kind).auth
    signer = _signer(auth, secret, address_of(provider))
    return Credential(id, None if signer else _header(auth, secret), secret, signer, weight)


def _variant(provider: Described) -> Variant | None:
    name = "azure-deployments" if provider.api_version else preset_of(provider.kind).variant
    return VARIANTS[name] if name else None


def upstream_of(provider: Described, id: int, credentials: Sequence[Credential] = ()) -> Upstream:
    preset = preset_of(provider.kind)
    return Upstream(
        id=id,
        name=provider.name,
        kind=provider.kind,
        base_url=address_of(provider),
        apis=frozenset(provider.apis or preset.apis),
        credentials=tuple(credentials) or (Credential(0, None),),
        headers=tuple(
            (name.lower().encode("ascii"), str(value).encode("latin-1", "replace"))
            for name, value in dict(provider.extra_headers or {}).items()
        ),
        strip_path=provider.strip_path or preset.strip_path,
        connect_timeout=provider.connect_timeout,
        first_byte_timeout=provider.first_byte_timeout,
        idle_timeout=provider.idle_timeout,
        max_retries=provider.max_retries,
        stream_usage=provider.stream_usage or preset.stream_usage,
        choosing_fields=frozenset(preset.choosing_fields),
        proxy_url=provider.proxy_url,
        ca_file=provider.ca_file,
        api_version=provider.api_version,
        lacks=frozenset(provider.lacks),
        variant=_variant(provider),
        max_concurrent=provider.max_concurrent,
        max_waiting=provider.max_waiting,
        queue_wait=provider.queue_wait,
        breaker=provider.breaker,
        breaker_ratio=provider.breaker_ratio,
        breaker_requests=provider.breaker_requests,
        breaker_pause=provider.breaker_pause,
    )
