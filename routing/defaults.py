"""The gateway's settings in a project that sets none of them, or a few. ``gateway_project`` sets all, from the environment.

Secrets that are not set are made from SECRET_KEY, and from SECRET_KEY_FALLBACKS for what was written before.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

SECRETS = ("GATEWAY_ENCRYPTION_KEYS", "GATEWAY_KEY_PEPPERS")
NETWORKS = (
    "GATEWAY_TRUSTED_PROXIES",
    "GATEWAY_METRICS_ALLOW",
    "GATEWAY_ALLOWED_UPSTREAM_ADDRESSES",
    "GATEWAY_MEDIA_ALLOW",
    "GATEWAY_HOOK_ADDRESSES",
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where people reach the project."""

    url: str


def derived(purpose: str, key: str | bytes) -> bytes:
    """A secret of 32 bytes for one purpose, from another secret."""
    secret = key.encode() if isinstance(key, str) else key
    return hashlib.blake2b(purpose.encode(), key=hashlib.sha256(secret).digest(), digest_size=32).digest()


def _from_secret_key(purpose: str) -> list[bytes]:
    return [derived(purpose, key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


#: Made where they are not set; those that name others come after them.
DEFAULTS: dict[str, Callable[[], Any]] = {
    "GATEWAY_ENCRYPTION_KEYS": lambda: [
        base64.urlsafe_b64encode(key).decode() for key in _from_secret_key("gateway encryption")
    ],
    "GATEWAY_KEY_PEPPERS": lambda: _from_secret_key("gateway key pepper"),
    "GATEWAY_DATA_DIR": lambda: Path(getattr(settings, "BASE_DIR", Path.cwd())),
    "GATEWAY_PUBLIC_URL": str,
    "GATEWAY_ADDRESS": lambda: Address(settings.GATEWAY_PUBLIC_URL or "http://127.0.0.1:8000"),
    "GATEWAY_ALLOW_ANONYMOUS": bool,
    "GATEWAY_METRICS_TOKEN": str,
    "GATEWAY_MAX_BODY_BYTES": lambda: 64 * 2**20,
    "GATEWAY_MAX_HELD_BYTES": lambda: 2**30,
    "GATEWAY_READ_TIMEOUT": lambda: 60.0,
    "GATEWAY_SEND_TIMEOUT": lambda: 60.0,
    "GATEWAY_UPSTREAM_TRANSPORT": lambda: "native",
    "GATEWAY_MEDIA_FETCH": lambda: True,
    "GATEWAY_MEDIA_MAX_BYTES": lambda: 20 * 2**20,
    "GATEWAY_HOOKS": list,
    "GATEWAY_PRICES_FILE": lambda: None,
    "GATEWAY_LOG_BUFFER_BYTES": lambda: 64 * 2**20,
    "GATEWAY_SPOOL_DIR": lambda: Path(settings.GATEWAY_DATA_DIR, "spool"),
    "GATEWAY_SPOOL_CAP_BYTES": lambda: 2**30,
    "GATEWAY_SPOOL_FSYNC": bool,
    "GATEWAY_SPOOL_FULL": lambda: "refuse",
    "GATEWAY_DATABASE_AWAY_SECONDS": float,
    "GATEWAY_USAGE_DAYS": int,
    "GATEWAY_TELL_ADMISSION": bool,
    "GATEWAY_DRAIN_PROCESS": bool,
    "GATEWAY_LOG_LEVEL": lambda: "info",
    "GATEWAY_WORKERS": lambda: 1,
    "GATEWAY_VENDORS": list,
    "GATEWAY_DEFAULT_VENDOR": str,
    **dict.fromkeys(NETWORKS, list),
}
#: The secrets that nobody has set, for the check of deployments.
made_from_secret_key: list[str] = []


def install() -> None:
    """Complete the settings, once, when all apps are ready. Raises ImproperlyConfigured."""
    for name, make in DEFAULTS.items():
        if not hasattr(settings, name):
            setattr(settings, name, make())
            if name in SECRETS:
                made_from_secret_key.append(name)
    peppers = [pepper.encode() if isinstance(pepper, str) else pepper for pepper in settings.GATEWAY_KEY_PEPPERS]
    settings.GATEWAY_KEY_PEPPERS = peppers
    for name in NETWORKS:
        setattr(settings, name, [_network(name, text) for text in getattr(settings, name)])
    theme = getattr(settings, "UNFOLD", None) or {}
    settings.UNFOLD = {**theme, "STYLES": [*(theme.get("STYLES") or ()), _style]}


def _style(request: Any) -> str:
    return static("gateway/admin.css")


def _network(name: str, text: Any) -> Any:
    try:
        return ip_network(text, strict=False) if isinstance(text, str) else text
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from None
