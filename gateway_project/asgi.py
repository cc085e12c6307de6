"""The outer ASGI application: client paths go to the data plane, everything else to Django.

Nothing hangs on lifespan events: the data plane starts on the first scope of any kind, since daphne sends no lifespan.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from django.conf import settings

from gateway_project import __version__
from providers.media import Fetcher
from providers.upkeep import keep_fresh
from providers.upstream import Connections
from routing import urls
from routing.gateway import Gateway
from routing.load import Poller
from routing.log import Log
from routing.options import Options
from routing.seal import Seal
from routing.table import Table
from tenants.drain import Drain
from tenants.stored import DatabaseStore
from tenants.stored_responses import DatabaseResponses
from tenants.upkeep import keep_tidy

log = logging.getLogger(__name__)


class Plane:
    """The data plane of this process: the gateway and the threads that feed and drain it."""

    def __init__(self) -> None:
        connections = Connections(
            settings.GATEWAY_UPSTREAM_TRANSPORT, tuple(settings.GATEWAY_ALLOWED_UPSTREAM_ADDRESSES)
        )
        self.objects = DatabaseStore()
        self.log = Log(settings.GATEWAY_LOG_LEVEL)
        self.kept = DatabaseResponses()
        self.gateway = Gateway(
            connections,
            objects=self.objects,
            kept=self.kept,
            log=self.log,
            options=options(),
            fetcher=Fetcher(
                enabled=settings.GATEWAY_MEDIA_FETCH,
                allowed=tuple(settings.GATEWAY_MEDIA_ALLOW),
                max_bytes=settings.GATEWAY_MEDIA_MAX_BYTES,
            ),
            seal=Seal(settings.GATEWAY_ENCRYPTION_KEYS),
        )
        self.poller = Poller(self.install)
        self.drain = Drain(self.gateway.ledger)

    def install(self, table: Table) -> None:
        self.gateway.table = table

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self.poller.load)
        except Exception:
            log.exception("the configuration cannot be loaded yet; requests are answered once it is")
        self.poller.start()
        self.drain.start()
        self.log.start()
        self.upkeep = asyncio.create_task(keep_fresh(self.gateway.connections))
        self.tidying = asyncio.create_task(keep_tidy())

    async def close(self) -> None:
        self.upkeep.cancel()
        self.tidying.cancel()
        await self.gateway.connections.close()
        await self.gateway.fetcher.close()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self.poller.stop()
        self.drain.stop(10)
        self.objects.close()
        self.kept.close()
        self.log.stop()


async def _started() -> Plane:
    plane = Plane()
    await plane.start()
    return plane


def options() -> Options:
    return Options(
        max_body=settings.GATEWAY_MAX_BODY_BYTES,
        max_held=settings.GATEWAY_MAX_HELD_BYTES,
        read_timeout=settings.GATEWAY_READ_TIMEOUT,
        send_timeout=settings.GATEWAY_SEND_TIMEOUT,
        trusted_proxies=tuple(settings.GATEWAY_TRUSTED_PROXIES),
        allow_anonymous=settings.GATEWAY_ALLOW_ANONYMOUS,
        metrics_token=settings.GATEWAY_METRICS_TOKEN,
        metrics_allow=tuple(settings.GATEWAY_METRICS_ALLOW),
        version=__version__,
    )


class Application:
    """Starts the plane once, answers lifespan events, and hands everything else to Channels' routers."""

    def __init__(self) -> None:
        self.plane: Plane | None = None
        self._starting: asyncio.Task[Plane] | None = None
        self.data_plane = URLRouter(urls.urlpatterns)
        self.sockets = URLRouter([*urls.websocket_urlpatterns, urls.row(r"^", refuse_websocket)])
        self.routers = ProtocolTypeRouter({"http": self.http, "websocket": self.websocket, "lifespan": self.lifespan})

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self.plane is None:
            await self._start()
        await self.routers(scope, receive, send)

    async def _start(self) -> None:
        """Start the plane; scopes that come meanwhile wait for the same start."""
        if self._starting is None:
            self._starting = asyncio.create_task(_started())
        try:
            self.plane = await asyncio.shield(self._starting)
        finally:
            if self._starting is not None and self._starting.done():
                self._starting = None

    async def http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        view = urls.HOT.get(path) or (self.data_plane if urls.DATA_PLANE.match(path) else None)
        if view is not None:
            assert self.plane is not None
            scope["gateway"] = self.plane.gateway
            await view(scope, receive, send)
        else:
            await django_application(scope, receive, send)

    async def websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert self.plane is not None
        scope["gateway"] = self.plane.gateway
        await self.sockets(scope, receive, send)

    async def lifespan(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def refuse_websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


application = Application()


def begin_drain() -> None:
    """From now on /ready says 503; everything is still answered."""
    if application.plane is not None:
        application.plane.gateway.draining = True


def active() -> int:
    """Client requests under way."""
    return application.plane.gateway.active if application.plane is not None else 0


async def close() -> None:
    """Write what waits to be written and close what is open. Harmless twice."""
    plane, application.plane = application.plane, None
    if plane is not None:
        await plane.close()
