"""Builds the frozen Upstream that requests see from a Provider row."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from providers import building
from providers.models import Credential as CredentialRow
from providers.models import Provider
from providers.upstream import Credential, Upstream

log = logging.getLogger(__name__)


def credential_of(row: CredentialRow, provider: Provider) -> Credential | None:
    """The credential ready to send; None, said in the log, where its secret cannot be opened or used."""
    try:
        return building.credential_of(provider, row.id, row.secret, row.weight)
    except ValueError as error:
        log.error("credential %s of provider %s: %s", row.name, row.provider_id, error)
        return None


def upstream_of(provider: Provider, rows: Iterable[CredentialRow] | None = None) -> Upstream:
    """``provider`` with its enabled credentials; ``rows`` spares the query where they are at hand."""
    rows = provider.credentials.all() if rows is None else rows
    found = [credential_of(row, provider) for row in rows if row.enabled]
    return building.upstream_of(provider, provider.id, [c for c in found if c is not None])
