"""``GATEWAY_EMAIL_URL`` as Django's EMAIL_* settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

#: By scheme: which of Django's two kinds of TLS, and the port.
SCHEMES = {"smtp": ("", 25), "smtp+tls": ("EMAIL_USE_TLS", 587), "smtps": ("EMAIL_USE_SSL", 465)}
SECONDS = 10
EXAMPLE = "not a URL such as smtp+tls://user:password@mail.example.com:587, smtps:// or smtp://"


def mail(text: str) -> dict[str, Any]:
    """Raises ValueError, which repeats nothing: the URL may hold a password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(EXAMPLE) from None
    if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(EXAMPLE)
    tls, usual = SCHEMES[parts.scheme]
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or usual,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_TIMEOUT": SECONDS,
        **({tls: True} if tls else {}),
    }
