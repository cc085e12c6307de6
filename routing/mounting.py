"""Puts a gateway beside another ASGI application, at a place of it.

Starlette and FastAPI mount one by themselves (``app.mount("/llm", gateway)``); for Django, which mounts nothing, there is
``Mounted``. A gateway at ``/llm`` answers ``/llm/v1/chat/completions``; at ``/v1`` it answers ``/v1/chat/completions``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import quote

from routing import paths, views
from routing.client import Receive

Scope = MutableMapping[str, Any]
NOWHERE = views.unknown(paths.suggest)


class Mountable(Protocol):
    """A Gateway with declarations, or ``routing.plane.DataPlane``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Any) -> None: ...

    async def close(self) -> None: ...


class Mounted:
    """``app`` with gateways at places of it, the longest that fits first. It answers lifespan events itself."""

    def __init__(self, app: Any, at: Mapping[str, Mountable]) -> None:
        for place in at:
            if not place.startswith("/") or place.endswith("/"):
                raise ValueError(f"{place!r} is no place for a gateway: it must begin with / and not end with one.")
        self.app = app
        self.at = dict(sorted(at.items(), key=lambda item: len(item[0]), reverse=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send, self.close)
            return
        root = scope.get("root_path", "").rstrip("/")
        path = paths.below(scope["path"], root)
        for place, gateway in self.at.items():
            if f"{path}/".startswith(f"{place}/"):
                await gateway({**scope, "path": root + path, "root_path": root + place}, receive, send)
                return
        await self.app(scope, receive, send)

    async def close(self) -> None:
        for gateway in self.at.values():
            await gateway.close()


async def answer(gateway: Any, scope: Scope, receive: Receive, send: Any) -> None:
    """Answer an HTTP request wherever the gateway is mounted."""
    root, path = paths.placed(scope["path"], scope.get("root_path", ""))
    view, values = paths.find(path) or (NOWHERE, {})
    here = {**scope, "path": path, "mounted_at": root, "gateway": gateway, "url_route": {"kwargs": values}}
    if root and scope.get("raw_path") is not None:
        here["raw_path"] = scope["raw_path"].removeprefix(quote(root).encode())
    await view(here, receive, send)


async def lifespan(receive: Receive, send: Any, close: Callable[[], Awaitable[None]]) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await close()
    await send({"type": "lifespan.shutdown.complete"})


async def refuse_websocket(scope: Scope, receive: Receive, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})
