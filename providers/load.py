"""Builds the frozen Upstream that requests see from a Provider row."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from providers.light import Header
from providers.models import Credential as CredentialRow
from providers.models import Provider
from providers.signers import Signer
from providers.upstream import Credential, Upstream
from providers.variants import Variant
from providers.variants.registry import VARIANTS

log = logging.getLogger(__name__)

AUTH_HEADERS = {
    "bearer": ("authorization", "Bearer {}"),
    "aws": ("authorization", "Bearer {}"),
    "google": ("authorization", "Bearer {}"),
    "x-api-key": ("x-api-key", "{}"),
    "x-goog-api-key": ("x-goog-api-key", "{}"),
    "api-key": ("api-key", "{}"),
}


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


def credential_of(row: CredentialRow, provider: Provider) -> Credential | None:
    """The credential ready to send; None, said in the log, where its secret cannot be opened or used."""
    try:
        secret = row.secret
        signer = _signer(provider.preset.auth, secret, provider.address)
    except ValueError as error:
        log.error("credential %s of provider %s: %s", row.name, row.provider_id, error)
        return None
    return Credential(row.id, None if signer else _header(provider.preset.auth, secret), secret, signer)


def _variant(provider: Provider) -> Variant | None:
    name = "azure-deployments" if provider.api_version else provider.preset.variant
    return VARIANTS[name] if name else None


def upstream_of(provider: Provider, rows: Iterable[CredentialRow] | None = None) -> Upstream:
    """``provider`` with its enabled credentials; ``rows`` spares the query where they are at hand."""
    preset = provider.preset
    rows = provider.credentials.all() if rows is None else rows
    found = [credential_of(row, provider) for row in rows if row.enabled]
    credentials = tuple(c for c in found if c is not None)
    return Upstream(
        id=provider.id,
        name=provider.name,
        kind=provider.kind,
        base_url=provider.address,
        apis=frozenset(provider.api_names),
        credentials=credentials or (Credential(0, None),),
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
    )
