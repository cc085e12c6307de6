"""Builds the frozen Upstream that requests see from a Provider row."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from providers.models import Credential as CredentialRow
from providers.models import Provider
from providers.upstream import Credential, Header, Upstream

log = logging.getLogger(__name__)

AUTH_HEADERS = {
    "bearer": ("authorization", "Bearer {}"),
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


def credential_of(row: CredentialRow, auth: str) -> Credential | None:
    """The credential ready to send; None, said in the log, where its secret cannot be opened."""
    try:
        secret = row.secret
    except ValueError as error:
        log.error("credential %s of provider %s: %s", row.name, row.provider_id, error)
        return None
    return Credential(row.id, _header(auth, secret), secret)


def upstream_of(provider: Provider, rows: Iterable[CredentialRow] | None = None) -> Upstream:
    """``provider`` with its enabled credentials; ``rows`` spares the query where they are at hand."""
    preset = provider.preset
    rows = provider.credentials.all() if rows is None else rows
    found = [credential_of(row, preset.auth) for row in rows if row.enabled]
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
            for name, value in provider.extra_headers.items()
        ),
        strip_path=provider.strip_path,
        connect_timeout=provider.connect_timeout,
        first_byte_timeout=provider.first_byte_timeout,
        idle_timeout=provider.idle_timeout,
        max_retries=provider.max_retries,
        stream_usage=provider.stream_usage or preset.stream_usage,
        choosing_fields=frozenset(preset.choosing_fields),
        proxy_url=provider.proxy_url,
        ca_file=provider.ca_file,
    )
