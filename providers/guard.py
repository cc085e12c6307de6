"""Lets only good addresses be connected to, for every engine: after the name was resolved, before the connection."""

from __future__ import annotations

from collections.abc import Sequence

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

    def select(self, found: list[str]) -> list[str]:
        good = [text for text in found if not addresses.refused(text, self.allowed)]
        if found and not good:
            raise RefusedAddress(found[0])
        return good
