"""System checks: what the environment says and what will not do as the operator wants. ``serve`` runs them all, and those
of ``routing.checks``."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from gateway_project.vendors import DEFAULT
from tenants.models import Tenant

DAPHNE = (
    "Daphne reads the whole body of a request before it is looked at, so one without a key costs disk, too;"
    " it takes what is sent to it faster than a slow client reads, without bound."
)


def connect() -> None:
    for check in (variables, vendors, server, directory, address):
        register(check)
    register(rows, Tags.database)


def variables(**_: Any) -> list[CheckMessage]:
    return [Warning(line, id="gateway.W001") for line in settings.GATEWAY_UNKNOWN_VARIABLES]


def vendors(**_: Any) -> list[CheckMessage]:
    named = settings.GATEWAY_DEFAULT_VENDOR
    if not named or named in {vendor.kind for vendor in settings.GATEWAY_VENDORS}:
        return []
    return [
        Warning(
            f"{DEFAULT} names {named}, and the environment holds neither key nor address for it.", id="gateway.W002"
        )
    ]


def server(**_: Any) -> list[CheckMessage]:
    if settings.GATEWAY_SERVER != "daphne":
        return []
    return [
        Warning(
            DAPHNE,
            hint="Fine for development and behind a proxy that bounds both. Else use uvicorn.",
            id="gateway.W003",
        )
    ]


def directory(**_: Any) -> list[CheckMessage]:
    path = settings.GATEWAY_DATA_DIR
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return []
    return [
        Warning(
            f"Others on this machine may look into {path} (mode {mode:o}).", hint=f"chmod 700 {path}", id="gateway.W004"
        )
    ]


def address(**_: Any) -> list[CheckMessage]:
    at = settings.GATEWAY_ADDRESS
    if at.loopback or at.public_url:
        return []
    return [
        Warning(
            f"SERVER_HOST is {at.host} and GATEWAY_PUBLIC_URL is not set: the admin answers only to the names {', '.join(settings.ALLOWED_HOSTS)}.",
            hint="Set GATEWAY_PUBLIC_URL to the address under which people reach it.",
            id="gateway.W005",
        )
    ]


def rows(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Only where a database was asked for: Django's checks do not touch one otherwise."""
    if not databases:
        return []
    try:
        return anonymous()
    except DatabaseError:
        return []  # not migrated yet, or away: others say so


def anonymous() -> list[CheckMessage]:
    if settings.GATEWAY_ALLOW_ANONYMOUS:
        return []
    if not Tenant.objects.filter(anonymous=True, enabled=True).exists():
        return []
    return [
        Error(
            f"Requests without a key are allowed, and others than this machine reach {settings.GATEWAY_ADDRESS.url}: they all could use it.",
            hint="Set GATEWAY_ALLOW_ANONYMOUS=1 if that is meant, or take the mark off the tenant.",
            id="gateway.E001",
        )
    ]
