"""The data plane over the database: the gateway of this process, and the threads that feed and drain it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels.routing import URLRouter
from django.conf import settings

from providers.media import Fetcher
from providers.posting import Poster
from providers.upkeep import keep_fresh
from providers.upstream import Connections
from routing import mounting, paths, running, settlement, urls
from routing.gateway import Gateway
from routing.leasing import Leasing
from routing.log import Log
from routing.means import means_of
from routing.money_metrics import MoneyMetrics
from routing.options import Options
from routing.poller import Poller
from routing.seal import Seal
from routing.table import Table
from tenants.drain_loop import Drain
from tenants.logged import LoggedRequests
from tenants.notice_sender import NoticeSender
from tenants.spooled import SpooledLedger
from tenants.stored import DatabaseStore
from tenants.stored_responses import DatabaseResponses
from tenants.upkeep import keep_tidy

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
STOP_SECONDS = 10.0
CUT_PAUSE = 0.01  # seconds between looks at whether they are done


class Plane:
    """Runs from ``start`` to ``close``, in one event loop."""

    def __init__(self, version: str = "") -> None:
        connections = Connections(
            settings.GATEWAY_UPSTREAM_TRANSPORT, tuple(settings.GATEWAY_ALLOWED_UPSTREAM_ADDRESSES)
        )
        self.objects = DatabaseStore()
        self.log = Log(settings.GATEWAY_LOG_LEVEL)
        self.kept = DatabaseResponses()
        self.ledger = spooled_ledger()
        self.leasing: Leasing | None = None
        self.money_metrics = MoneyMetrics()
        self.gateway = Gateway(
            connections,
            ledger=self.ledger,
            objects=self.objects,
            kept=self.kept,
            log=self.log,
            options=options(version),
            fetcher=Fetcher(
                enabled=settings.GATEWAY_MEDIA_FETCH,
                allowed=tuple(settings.GATEWAY_MEDIA_ALLOW),
                max_bytes=settings.GATEWAY_MEDIA_MAX_BYTES,
            ),
            seal=Seal(settings.GATEWAY_ENCRYPTION_KEYS),
        )
        self.loop = asyncio.get_running_loop()
        running.set_gateway(self.gateway)
        self.logged = LoggedRequests(most=settings.GATEWAY_LOG_BUFFER_BYTES)
        self.poster = Poster(settings.GATEWAY_HOOK_ADDRESSES)
        self.poller = Poller(self.install, means_of(self.gateway, self.poster, self.logged.keep))
        self.notices = NoticeSender()
        # Where a process of its own drains, this one's interpreter is left to requests.
        self.drain = None if settings.GATEWAY_DRAIN_PROCESS else Drain(settings.GATEWAY_SPOOL_DIR, **spool_options())

    def install(self, table: Table) -> None:
        """Put ``table`` in force at once; called by the poller's thread."""
        self.gateway.table = table
        self.loop.call_soon_threadsafe(self._apply, table)

    def _apply(self, table: Table) -> None:
        self.gateway.traffic.apply(table, settings.GATEWAY_WORKERS)
        if self.leasing is not None:
            self.leasing.recheck()

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self.poller.load)
        except Exception:
            log.exception("the configuration cannot be loaded yet; requests are answered once it is")
        self.poller.start()
        if self.drain is not None:
            self.drain.start()
            self.notices.start()
        self.logged.start()
        self.log.start()
        self.upkeep = asyncio.create_task(keep_fresh(self.gateway.connections))
        self.tidying = asyncio.create_task(keep_tidy())
        self._lease()
        self.flushing = asyncio.create_task(self._keep_flushed())

    def _lease(self) -> None:
        """Hold leases under the name of the spool, once there is one."""
        if self.leasing is None and self.ledger.owner:
            self.leasing = Leasing(self.ledger.owner, settings.GATEWAY_WORKERS)
            self.gateway.refills = self.leasing.refills
            self.leasing.start()

    async def _keep_flushed(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self._flush()
            except Exception:
                log.exception("what waits in memory cannot be written to the spool now")

    async def _flush(self) -> None:
        self._lease()
        settlement.checkpoint(self.gateway)
        self.ledger.away(self.poller.failing)
        await asyncio.to_thread(self.ledger.flush)
        self.money_metrics.tell(self.ledger, self.gateway.refills)

    async def close(self) -> None:
        await self._settled()
        for task in (self.upkeep, self.tidying, self.flushing):
            task.cancel()
        self.gateway.background.close()
        if self.leasing is not None:
            await self.leasing.close()
        await self.gateway.connections.close()
        await self.gateway.fetcher.close()
        await asyncio.to_thread(self._stop)

    async def _settled(self) -> None:
        """Wait for those that the server has just cut: they must be in the spool before it closes, or they count as
        interrupted."""
        tries = round(STOP_SECONDS / CUT_PAUSE)
        while self.gateway.active and tries:
            tries -= 1
            await asyncio.sleep(CUT_PAUSE)

    def _stop(self) -> None:
        self.poller.stop()
        self.ledger.close()
        self.notices.stopping.set()
        if self.drain is not None:
            self.drain.stop(STOP_SECONDS)
        self.logged.stop(STOP_SECONDS)
        self.poster.close()
        self.objects.close()
        self.kept.close()
        self.log.stop()


def spool_options() -> dict[str, Any]:
    return {"cap": settings.GATEWAY_SPOOL_CAP_BYTES, "fsync": settings.GATEWAY_SPOOL_FSYNC}


def spooled_ledger() -> SpooledLedger:
    return SpooledLedger(
        settings.GATEWAY_SPOOL_DIR,
        serve=settings.GATEWAY_SPOOL_FULL == "serve",
        away_limit=settings.GATEWAY_DATABASE_AWAY_SECONDS,
        options=spool_options(),
    )


def options(version: str) -> Options:
    return Options(
        max_body=settings.GATEWAY_MAX_BODY_BYTES,
        max_held=settings.GATEWAY_MAX_HELD_BYTES,
        read_timeout=settings.GATEWAY_READ_TIMEOUT,
        send_timeout=settings.GATEWAY_SEND_TIMEOUT,
        trusted_proxies=tuple(settings.GATEWAY_TRUSTED_PROXIES),
        allow_anonymous=settings.GATEWAY_ALLOW_ANONYMOUS,
        metrics_token=settings.GATEWAY_METRICS_TOKEN,
        metrics_allow=tuple(settings.GATEWAY_METRICS_ALLOW),
        version=version,
        tell_admission=settings.GATEWAY_TELL_ADMISSION,
    )


class DataPlane:
    """A plane as an ASGI application, to be mounted beside a project's own: see ``routing.mounting``. It starts with the
    first scope, since not every server sends lifespan events."""

    def __init__(self, version: str = "") -> None:
        self.version = version
        self.plane: Plane | None = None
        self.sockets = URLRouter([*urls.websocket_urlpatterns, urls.row(r"^", mounting.refuse_websocket)])
        self._starting: asyncio.Task[Plane] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await mounting.lifespan(receive, send, self.close)
            return
        plane = self.plane or await self.start()
        if scope["type"] == "http":
            await mounting.answer(plane.gateway, scope, receive, send)
        else:
            _, path = paths.placed(scope["path"], scope.get("root_path", ""))
            await self.sockets({**scope, "path": path, "root_path": "", "gateway": plane.gateway}, receive, send)

    async def start(self) -> Plane:
        """The plane, started; scopes that come meanwhile wait for the same start."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._started())
        try:
            self.plane = await asyncio.shield(self._starting)
        finally:
            if self._starting is not None and self._starting.done():
                self._starting = None
        return self.plane

    async def _started(self) -> Plane:
        plane = Plane(self.version)
        await plane.start()
        return plane

    def begin_drain(self) -> None:
        """From now on /ready says 503; everything is still answered."""
        if self.plane is not None:
            self.plane.gateway.draining = True

    @property
    def active(self) -> int:
        """Client requests under way."""
        return self.plane.gateway.active if self.plane is not None else 0

    async def close(self) -> None:
        """Write what waits to be written and close what is open. Harmless twice."""
        plane, self.plane = self.plane, None
        if plane is not None:
            await plane.close()
