"""Responses that an upstream makes in the background: the request has been answered, and what it costs is not known yet.

The gateway asks for them itself until it is, whether or not the client ever does. Their reservations are kept that long;
if this process ends before, the sweep settles them as any request whose end nobody knows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from providers.errors import UpstreamError
from routing.call import Call

if TYPE_CHECKING:
    from routing.gateway import Gateway

UNDER_WAY: Final = frozenset({"queued", "in_progress"})
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
PATIENCE: Final = 86_400.0
"""Seconds: no response takes longer."""
MOST: Final = 64 << 20
OK: Final = 200
AGAIN: Final = frozenset({401, 403, 408, 409, 425, 429})
"""Refusals that say nothing of the response: of the others, it is gone."""


def under_way(call: Call) -> bool:
    """Whether the upstream goes on with this request after its reply."""
    if call.endpoint.name != "responses" or not call.doc.get("background") or call.target is None:
        return False
    tap = call.tap
    return tap is not None and bool(tap.response_id) and tap.usage is None and not tap.failed and not call.outcome


class Background:
    """``open`` are those that are waited for."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.open: set[asyncio.Task[None]] = set()

    def follow(self, call: Call) -> None:
        """Settle ``call`` once the upstream has ended with it."""
        task = asyncio.get_running_loop().create_task(self._follow(call))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    def close(self) -> None:
        """Leave them open: who sweeps settles them."""
        for task in list(self.open):
            task.cancel()

    async def _follow(self, call: Call) -> None:
        from routing import settlement

        traffic = self.gateway.traffic
        pause, end = FIRST_PAUSE, traffic.clock() + PATIENCE
        while traffic.clock() < end:
            await traffic.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)
            if await self._ended(call):
                break
        settlement.finish(self.gateway, call)

    async def _ended(self, call: Call) -> bool:
        """Look once. What cannot be read now is looked for again; what the upstream does not know any more has ended."""
        assert call.tap is not None
        try:
            status, doc = await self._read(call, call.tap.response_id)
        except (TimeoutError, UpstreamError, ValueError):
            return False
        if 400 <= status < 500 and status not in AGAIN:
            return True
        if status != OK or not isinstance(doc, dict) or doc.get("status") in UNDER_WAY:
            return False
        call.tap.whole(doc)
        call.entry.estimated = False  # what was guessed when it began counts no more
        call.count(call.tap)
        return True

    async def _read(self, call: Call, response_id: str) -> tuple[int, Any]:
        assert call.target is not None
        upstream = call.target.upstream
        path = f"v1/responses/{quote(response_id, safe='')}"
        async with asyncio.timeout(upstream.first_byte_timeout or 600):
            reply = await self.gateway.connections.open(
                upstream, "GET", path, [(b"accept", b"application/json")], credential=call.credential
            )
            async with reply:
                body, whole = await reply.read(MOST)
        return reply.status, orjson.loads(body) if reply.status == OK and whole else None
