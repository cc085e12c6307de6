"""The leases of this process over the database: what it may spend from memory, refilled and given back."""

from __future__ import annotations

import asyncio
import logging

from tenants.lease_threads import DatabaseLeases
from tenants.leases import OwnerEnded
from tenants.refills import Refills
from tenants.wallet import Wallet

log = logging.getLogger(__name__)

TICK = 0.2


class Leasing:
    """Runs from ``start`` to ``close``, in one event loop. ``owner`` is the name of this process's spool.

    ``ended`` says that an operator has given this process up for lost: then it is granted nothing any more, and is to be
    started anew.
    """

    def __init__(self, owner: str, workers: int = 1) -> None:
        self.store = DatabaseLeases(owner, workers=workers)
        self.refills = Refills(Wallet(), self.store.exchange, self.store.shortages)
        self.ended = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def recheck(self) -> None:
        """Limits may have changed."""
        self.refills.wallet.recheck()

    async def close(self) -> None:
        """Give back what is not used, once no request comes any more."""
        if self._task is not None:
            self._task.cancel()
        try:
            await self.refills.close()
        except Exception:
            log.exception("leases are not given back: they end when the sweep has found this process dead")
        await asyncio.to_thread(self.store.close)

    async def _run(self) -> None:
        while not self.ended:
            await asyncio.sleep(TICK)
            if len(self.refills.wallet):
                await self._tick()

    async def _tick(self) -> None:
        try:
            await self.refills.tick()
            self._failing = False
        except OwnerEnded:
            self.ended = True
            log.critical(
                "this process was released as lost: it can spend nothing under a hard limit until it is restarted"
            )
        except Exception:
            if not self._failing:
                log.exception("leases cannot be given back now")
            self._failing = True
