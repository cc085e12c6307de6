"""Moves what is in all spools of a root to the database. Any step may be repeated: ``tenants.drain`` stores it once."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from django.db import Error, InterfaceError, OperationalError, connections

from tenants import drain_status
from tenants.drain import Step, write
from tenants.drain_status import Backlog, Status
from tenants.models import SpoolPosition
from tenants.spool_owners import owners
from tenants.spool_reader import Batch, Position, acknowledge, read
from tenants.spool_rows import Overtaken
from tenants.sweep import Sweep

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
TELL_SECONDS = 1.0


class Spools:
    """One turn after another, by one thread. ``written``, ``refused``, ``failures`` (in a row), ``failed`` and ``seconds``
    spent writing are for metrics; ``options`` are of the spools that it recovers."""

    def __init__(self, root: Path, *, batch: int = 4000, using: str = "default", **options: Any) -> None:
        self.root, self.batch, self.using = root, batch, using
        self.sweep = Sweep(root, using, **options)
        self.backlog = Backlog(root, batch)
        self.written = self.refused = self.failures = self.failed = 0
        self.seconds = 0.0
        self._stored: dict[str, Position] = {}  # as the database knows it
        self._read: dict[str, Position] = {}  # the same, or further with nothing to store in between
        self._told = Status()
        self._sweep_at = self._tell_at = 0.0

    def turn(self, *, sweeping: bool = False, complete: bool = True) -> bool:
        """Store all that has been settled before this call, and see to the dead, if it is time for that or ``sweeping``.
        False when the database, or a disk, would not have it. Where there is much to do and it need not be ``complete``,
        what is less than a batch is left for the next turn: few rows cost nearly as much as many."""
        if sweeping or time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            self.sweep.recover()
        known = owners(self.root)
        self.backlog.keep(known)
        error = self._drain_all(known, complete or sweeping) or self._tidy()
        if error is None:
            self._succeeded()
        else:
            self.backlog.look()
            self.fail(error)
        self.tell(now=error is not None or self._told.failures + self._told.rows > 0)
        return error is None

    def _drain_all(self, known: list[str], complete: bool) -> Exception | None:
        """What failed, if anything did. Where the database is away the others wait, and another is the first next time."""
        first = self.failures % len(known) if known else 0
        failure: Exception | None = None
        for owner in known[first:] + known[:first]:
            try:
                self._drain(owner, complete)
            except Exception as error:
                failure = error
                self._forget(owner)
                if isinstance(error, OperationalError | InterfaceError):
                    break
        return failure

    def _drain(self, owner: str, complete: bool) -> None:
        while True:
            stored = self._position(owner)
            batch = read(self.root, self._read.get(owner, stored), self.batch)
            waiting = self.backlog.count(batch)
            self.tell()
            news = batch.columns or batch.position.segment != stored.segment
            if news and not self._store(stored, batch):
                continue
            self._read[owner] = batch.position
            if len(batch.columns) < self.batch:
                break
            if not complete and waiting < 2 * self.batch:
                return
        if self.sweep.end(self._position(owner)):
            self._forget(owner)

    def _position(self, owner: str) -> Position:
        if owner not in self._stored:
            self._stored[owner] = SpoolPosition.objects.using(self.using).of(owner)
            self.backlog.start(self._stored[owner])
        return self._stored[owner]

    def _store(self, stored: Position, batch: Batch) -> bool:
        """False if another drain was quicker: then what it has left is still to be read."""
        began = time.perf_counter()
        try:
            self.refused += write(batch.columns, self.using, Step(stored, batch.position))
        except Overtaken:
            self._forget(stored.owner)
            return False
        self.seconds += time.perf_counter() - began
        self.written += len(batch.columns)
        self._stored[stored.owner] = batch.position
        self.backlog.start(batch.position)
        acknowledge(self.root, batch.position)
        return True

    def _forget(self, owner: str) -> None:
        self._stored.pop(owner, None)
        self._read.pop(owner, None)

    def _tidy(self) -> Exception | None:
        try:
            self.sweep.tidy()
        except Error as error:
            return error
        return None

    def _succeeded(self) -> None:
        if self.failures > 1:
            log.warning("usage rows can be written again", extra={"tries": self.failures})
        self.failures = 0

    def fail(self, error: Exception) -> None:
        """Say so once, and begin anew."""
        self.failures += 1
        self.failed += 1
        if self.failures == 2:
            log.error("usage rows cannot be written; they are kept and tried again", exc_info=error)
        try:
            connections[self.using].close()
        except Error:
            log.debug("closing the failed connection failed too", exc_info=True)

    def tell(self, *, now: bool = False) -> None:
        """Let other processes know how far it is, every second."""
        if now or time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + TELL_SECONDS
            self._told = self.status
            drain_status.write(self.root, self._told)

    @property
    def status(self) -> Status:
        return Status(
            rows=self.backlog.rows,
            bytes=self.backlog.bytes,
            oldest_at=self.backlog.oldest_at,
            failures=self.failures,
            failed=self.failed,
            written=self.written,
            refused=self.refused,
            interrupted=self.sweep.interrupted,
            told_at=time.time(),
        )
