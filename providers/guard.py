"""Lets only good addresses be connected to, for every engine: after the name was resolved, before the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from providers import addresses

KEEPALIVE_SECONDS = 60
MAX_HOSTS = 4096


class RefusedAddress(OSError):
    """A host that resolves only to addresses that are never called."""


class Guard:
    """Lets an address through, or raises RefusedAddress."""

    def __init__(self, allowed: Sequence[addresses.Network] = ()) -> None:
        self.allowed = tuple(allowed)
        self.passed: set[str] = set()

    def check(self, host: str) -> None:
        """Refuse ``host`` if it is itself a refused address."""
        if host in self.passed:
            return
        try:
            bad = addresses.refused(host.strip("[]"), self.allowed)
        except ValueError:
            bad = False
        if bad:
            raise RefusedAddress(host)
        if len(self.passed) < MAX_HOSTS:
            self.passed.add(host)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of ``host`` that may be connected to. Raises RefusedAddress, or OSError where there are none."""
        self.check(host)
        try:
            return [str(ip_address(host.strip("[]")))]
        except ValueError:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self.select([str(entry[4][0]) for entry in found])

    def select(self, found: list[str]) -> list[str]:
        good = [text for text in found if not addresses.refused(text, self.allowed)]
        if found and not good:
            raise RefusedAddress(found[0])
        return good
