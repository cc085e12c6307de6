"""The ledger over a spool: what became of a request outlives this process. No Django here: requests use it.

A drain moves what is in the spool to the database, in whichever process it runs (``tenants.drain_loop``), and tells in the
spool's root how far it is (``tenants.drain_status``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tenants import drain_status
from tenants.drain_status import Status
from tenants.ledger import Entry, Ledger
from tenants.spool import Spool
from tenants.spool_owners import SpoolUnavailable, claim

log = logging.getLogger(__name__)

NONE: Final[Mapping[str, Any]] = {}
_MOVED: Final = 100


class DatabaseAway(SpoolUnavailable):
    """The spool would take it, but the operator wants no more requests while nothing reaches the database."""

    def __init__(self) -> None:
        Exception.__init__(self, "The database has been away for too long.")
        self.reason = "the database is away"


class SpooledLedger(Ledger):
    """Over a spool of its own below ``root``; ``options`` are the spool's. Call ``flush`` every second, off the event loop.

    ``serve`` says what becomes of a request whose intent cannot be written: with it, it is answered and its entry waits in
    memory until the spool can be written again; but never where a budget has reserved for it. ``away_limit`` is for how
    many seconds requests are taken while the database is away, 0 for ever; ``away`` says whether it is.
    """

    def __init__(
        self, root: Path, *, serve: bool = False, away_limit: float = 0.0, options: Mapping[str, Any] = NONE
    ) -> None:
        super().__init__()
        self.root, self.serve, self.away_limit, self.options = root, serve, away_limit, options
        self.blocks = bool(options.get("fsync"))
        self.spool: Spool | None = None
        self._failing = ""
        self._closed = False
        self._away_since: float | None = None
        self._open()

    def _open(self) -> None:
        try:
            self.spool = Spool(claim(self.root), **self.options)
        except SpoolUnavailable as error:
            if not self._failing:
                log.critical(str(error), extra={"spool": str(self.root)})
            self._failing = error.reason

    @property
    def owner(self) -> str:
        """The name of its spool, under which leases are held; "" while there is none."""
        return self.spool.held.owner if self.spool is not None else ""

    @property
    def refusing(self) -> str:
        """Why no intent is taken now, "" if one is."""
        return self.spool.refusing if self.spool is not None else self._failing

    @property
    def status(self) -> Status:
        """How far the drain is, of all spools in the root; as it said last."""
        return drain_status.read(self.root)

    def __len__(self) -> int:
        """Rows that wait to be written: all processes' in the root, and what waits in this one's memory."""
        return self.status.rows + len(self._entries)

    def away(self, is_away: bool) -> None:
        """Say every now and then whether the database is away."""
        if not is_away:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = time.monotonic()

    def intend(self, entry: Entry, bounds: Mapping[str, int], price_version: str = "") -> None:
        since = self._away_since
        if since is not None and self.away_limit and time.monotonic() - since > self.away_limit:
            raise DatabaseAway
        try:
            if self.spool is None:
                raise SpoolUnavailable(self._failing)
            self.spool.intend(entry, bounds, price_version)
        except SpoolUnavailable:
            if bounds or not self.serve:
                raise

    def checkpoint(self, entry: Entry) -> None:
        if self.spool is not None:
            self.spool.checkpoint(entry)

    def record(self, entry: Entry) -> None:
        """What has no intent, because there is no room for one or it was refused, takes no room either."""
        spool = self.spool
        if spool is not None and (entry.id in spool or not spool.refusing or self._closed):
            spool.settle(entry)
        else:
            super().record(entry)

    def flush(self) -> None:
        """Write what waits in memory, if the spool can be written again."""
        if self.spool is None:
            self._open()
        spool = self.spool
        if spool is None or not spool.flush():
            return
        while not spool.refusing and (entries := self.take(_MOVED)):
            for entry in entries:
                spool.settle(entry)

    def close(self) -> bool:
        """Write all that waits, full or not, and let go of the spool; False if something is lost. Blocks; harmless twice."""
        if self.spool is None and self._entries:
            self._open()
        spool = self.spool
        if spool is None:
            if self._entries:
                log.critical("closed without a spool: usage rows are lost", extra={"rows": len(self._entries)})
            return not self._entries
        if not self._closed:
            self._closed = True
            while entries := self.take(_MOVED):
                for entry in entries:
                    spool.settle(entry)
            spool.close()
        return not spool.lost
