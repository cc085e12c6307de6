"""The limits of the data plane, and who may be believed and who may look."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Options:
    """Limits in bytes and seconds; who may be believed and who may look."""

    max_body: int = 64 * 1024 * 1024
    max_held: int = 1024 * 1024 * 1024
    read_timeout: float = 60
    send_timeout: float = 60
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_anonymous: bool = False
    metrics_token: str = ""
    metrics_allow: tuple[IPv4Network | IPv6Network, ...] = ()
    version: str = ""
    tell_admission: bool = False
