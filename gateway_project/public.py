"""Where people reach the gateway, and what Django must be told about it: ``GATEWAY_PUBLIC_URL`` and the listening address."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
EVERYWHERE = ("0.0.0.0", "::", "")
HSTS_SECONDS = 30 * 24 * 3600

#: Deploy checks that ask for TLS, where the operator has not said that there is any.
TLS_CHECKS = ("security.W004", "security.W008", "security.W012", "security.W016")
#: Whether subdomains and the browsers' preload list are promised too is the domain owner's decision, not ours.
HSTS_CHECKS = ("security.W005", "security.W021")


@dataclass(frozen=True, slots=True)
class Address:
    """``public_url`` is empty where the operator gave none."""

    public_url: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """What to print: where a browser on this machine, or the world, finds us."""
        if self.public_url:
            return self.public_url
        host = "127.0.0.1" if self.host in EVERYWHERE else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https:")

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    def django(self) -> dict[str, Any]:
        """The settings that follow."""
        hosts = [*LOOPBACK]
        if self.host not in (*EVERYWHERE, *LOOPBACK):
            hosts.append(f"[{self.host}]" if ":" in self.host else self.host)
        parts = urlsplit(self.public_url)
        if parts.hostname:
            hosts.append(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)
        origins = [f"{parts.scheme}://{parts.netloc}"] if parts.hostname else []
        found: dict[str, Any] = {"ALLOWED_HOSTS": hosts, "CSRF_TRUSTED_ORIGINS": origins}
        return found | (self._tls(parts.netloc) if self.secure else {"SILENCED_SYSTEM_CHECKS": list(TLS_CHECKS)})

    @staticmethod
    def _tls(host: str) -> dict[str, Any]:
        return {
            "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
            "SECURE_SSL_REDIRECT": True,
            "SECURE_SSL_HOST": host,
            "SECURE_HSTS_SECONDS": HSTS_SECONDS,
            "SESSION_COOKIE_SECURE": True,
            "CSRF_COOKIE_SECURE": True,
            "SILENCED_SYSTEM_CHECKS": list(HSTS_CHECKS),
        }


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
