"""What becomes of spools whose owners are dead: what they left open is settled, their leases end, their directories go.

Whoever can take an owner's lock knows that it is dead. Everything may be repeated, and done by several at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils import timezone

from tenants import lease_store
from tenants.ledger import Entry
from tenants.models import SpoolPosition
from tenants.spool import recover
from tenants.spool_ages import quiet
from tenants.spool_owners import CLOSED, hold, orphans, owners, tidy
from tenants.spool_reader import Position, ended, retire
from tenants.spool_records import Intent

log = logging.getLogger(__name__)

INTERRUPTED = "interrupted"
NOT_BEGUN = 502
"""The status of a reply that never began: what whoever stands before a gateway that is gone tells the client."""
REMEMBERED = timedelta(days=30)
"""How long owners that have ended are known: until then a host that comes back with a spool is told what it is."""
_TIDY_SECONDS = 3600.0
_PATIENCE = 10
"""Ask a dead owner's leases again after a tenth of the time that it has been dead."""


def settle(intent: Intent) -> Entry:
    """The row of a request whose end nobody knows. What a budget has reserved for it is spent; without one the tenant's
    policy says what it costs."""
    entry = intent.entry
    entry.interrupted, entry.error_kind = True, INTERRUPTED
    entry.status = entry.status or NOT_BEGUN
    entry.price_version = entry.price_version or str(intent.price_version or "")
    entry.cost = _cost(intent)
    # A budget that is only counted is charged what it is said to cost.
    entry.charges = dict.fromkeys(entry.charges, entry.cost or 0) | intent.bounds
    return entry


def _cost(intent: Intent) -> int | None:
    entry = intent.entry
    most = entry.bound if entry.bound is not None else max(intent.bounds.values(), default=None)
    if intent.bounds or (entry.if_interrupted == "bound" and most is not None):
        return most
    if entry.if_interrupted == "zero":
        return 0
    return entry.cost if entry.cost is not None or not entry.price_version else 0


class Sweep:
    """``interrupted`` counts requests that were settled, for metrics; ``options`` are the spool's."""

    def __init__(self, root: Path, using: str, *, clock: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self.root, self.using, self.options = root, using, options
        self.interrupted = 0
        self._clock = clock
        self._dead_since: dict[str, float] = {}
        self._again_at: dict[str, float] = {}
        self._failing: set[str] = set()
        self._tidy_at = 0.0

    def recover(self) -> None:
        """Settle what the dead have left open. Never raises; asks no database."""
        for owner in orphans(self.root):
            try:
                self._recover(owner)
                self._failing.discard(owner)
            except Exception as error:
                if owner not in self._failing:
                    log.exception("a dead process's spool cannot be recovered yet", exc_info=error)
                self._failing.add(owner)

    def _recover(self, owner: str) -> None:
        since = self._clock() - quiet(self.root / owner)  # before it is written to on the dead one's behalf
        spool = recover(self.root, owner, **self.options)
        if spool is None:
            return
        self._dead_since.setdefault(owner, since)
        found = spool.interrupted
        try:
            for intent in found:
                spool.settle(settle(intent))
        finally:
            spool.close()
        self.interrupted += len(found)
        if found:
            log.warning("a process died: its requests count as interrupted", extra={"owner": owner, "rows": len(found)})

    def end(self, position: Position) -> bool:
        """Free the leases of an owner that is dead and take its directory away, if all before ``position`` is all that
        it left and is stored. Raises django.db.Error; False when there is something left to wait for."""
        owner, now = position.owner, self._clock()
        if not (self.root / owner / CLOSED).exists() or now < self._again_at.get(owner, 0.0):
            return False
        remaining = self._end(position, now)
        if remaining is None:
            return False
        if remaining:
            # What it admitted last still counts in trailing windows.
            self._again_at[owner] = now + max(1.0, (now - self._dead_since[owner]) / _PATIENCE)
            return False
        if not retire(self.root, position):
            return False
        SpoolPosition.objects.using(self.using).filter(pk=owner).delete()
        self._dead_since.pop(owner, None)
        self._again_at.pop(owner, None)
        return True

    def _end(self, position: Position, now: float) -> int | None:
        """With the dead owner's lock in hand."""
        owner = position.owner
        held = hold(self.root, owner)
        if held is None:
            return None
        try:
            since = self._dead_since.setdefault(owner, now - quiet(held.directory))
            if not (held.directory / CLOSED).exists() or not ended(held.directory, position):
                return None
            return lease_store.end(connections[self.using], owner, timezone.now(), quiet=now - since)
        finally:
            held.release()

    def tidy(self) -> None:
        """Every hour: forget owners that ended long ago, and what crashes have left. Raises django.db.Error."""
        if self._clock() >= self._tidy_at:
            tidy(self.root)
            before = timezone.now() - REMEMBERED
            lease_store.forget(connections[self.using], before)
            SpoolPosition.objects.using(self.using).forget(before, owners(self.root))
            self._tidy_at = self._clock() + _TIDY_SECONDS
