"""The outer ASGI application: client paths go to the data plane, everything else to Django.

Nothing hangs on lifespan events: the data plane starts on the first scope of any kind, since daphne sends no lifespan.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from gateway_project import __version__
from routing import mounting, urls
from routing.plane import DataPlane


class Application(DataPlane):
    """Starts the plane once, answers lifespan events, and hands everything else to Channels' routers."""

    def __init__(self) -> None:
        super().__init__(__version__)
        self.data_plane = URLRouter(urls.urlpatterns)
        self.routers = ProtocolTypeRouter({"http": self.http, "websocket": self.websocket, "lifespan": self.lifespan})

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        plane = self.plane or await self.start()
        if scope["type"] == "http" and (view := urls.HOT.get(scope["path"])) is not None:
            scope["gateway"] = plane.gateway
            await view(scope, receive, send)
        else:
            await self.routers(scope, receive, send)

    async def http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if urls.DATA_PLANE.match(scope["path"]):
            assert self.plane is not None
            scope["gateway"] = self.plane.gateway
            await self.data_plane(scope, receive, send)
        else:
            await django_application(scope, receive, send)

    async def websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert self.plane is not None
        scope["gateway"] = self.plane.gateway
        await self.sockets(scope, receive, send)

    async def lifespan(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await mounting.lifespan(receive, send, self.close)


application = Application()


def begin_drain() -> None:
    application.begin_drain()


def active() -> int:
    return application.active


async def close() -> None:
    await application.close()
