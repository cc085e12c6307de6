"""Credentials that are no constant header: each call is signed, or carries a token that is fetched and renewed."""

from __future__ import annotations

from typing import Protocol

from providers.light import Header


class Signer(Protocol):
    """Made once per credential. Safe for concurrent use on one event loop."""

    async def sign(self, method: str, url: str, headers: list[Header], body: bytes) -> list[Header]:
        """The headers to add to this very call (names in lower case). ``url`` is whole, ``headers`` are those that go
        out besides, ``host`` among them. Raises UpstreamError where no valid credential can be had."""
