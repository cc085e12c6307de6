"""The only writer of Usage: takes entries out of the ledger, off the event loop, and stores each exactly once.

One thread writes batches of at most 1,000 entries in one transaction with their rollups, alone among all processes.
What fails is kept and tried again; what is stored already is left out by its id, so trying again is always safe.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from django.db import DataError, Error, IntegrityError, OperationalError, connections, transaction

from tenants import rollups
from tenants.ledger import Entry, Ledger
from tenants.models import Usage
from tenants.rows import row, tidy
from tenants.statements import Statements, writing

log = logging.getLogger(__name__)

POISON = (DataError, IntegrityError, TypeError, ValueError, OverflowError, AttributeError)
"""What storing an entry raises because of the entry, not because of the database."""
LONGEST_WAIT = 5.0
_YIELD = 50


def write(entries: Sequence[Entry], using: str = "default") -> int:
    """Store those entries that are not stored yet, with their rollups, in one transaction; returns how many it has
    refused, having logged each with all it holds. Raises django.db.Error, with nothing stored, when the database is away.
    """
    try:
        _write_new(entries, using)
    except OperationalError:
        raise
    except Exception:
        return _write_carefully(entries, using)
    return 0


def _write_new(entries: Sequence[Entry], using: str) -> None:
    sqlite = connections[using].vendor == "sqlite"
    rows = []
    for number, entry in enumerate(entries):
        if not number % _YIELD:
            time.sleep(0)  # requests need the interpreter more than we do
        rows.append(row(entry, sqlite=sqlite))
    with writing(using) as statements:
        statements.insert(rows)
        rollups.store(statements, entries)


def _write_carefully(entries: Sequence[Entry], using: str) -> int:
    """The same one by one, after something in the batch was stored already or could not be stored."""
    refused = 0
    with writing(using) as statements:
        ids = filter(_is_id, [entry.id for entry in entries])
        stored = set(Usage.objects.using(using).filter(id__in=ids).values_list("id", flat=True))
        added = []
        for entry in entries:
            if entry.id in stored:
                continue
            try:
                _insert_one(statements, entry, using)
            except POISON:
                refused += 1
                log.exception("this usage row cannot be stored", extra={"entry": repr(entry)})
            else:
                stored.add(entry.id)
                added.append(entry)
        rollups.store(statements, added)
    return refused


def _is_id(value: object) -> bool:
    return isinstance(value, UUID)


def _insert_one(statements: Statements, entry: Entry, using: str) -> None:
    tidy(entry)
    rollups.hourly([entry])  # what cannot be summed must not become a row
    values = row(entry, sqlite=connections[using].vendor == "sqlite")
    with transaction.atomic(using=using):
        statements.insert([values])


class Drain:
    """Writes what is in ``ledger`` every ``interval`` seconds. ``written``, ``refused``, ``failures`` (in a row) and
    ``seconds`` spent writing are for metrics."""

    def __init__(self, ledger: Ledger, *, interval: float = 0.2, batch: int = 1000, using: str = "default") -> None:
        self.ledger, self.interval, self.batch, self.using = ledger, interval, batch, using
        self.written = self.refused = self.failures = 0
        self.seconds = 0.0
        self._wake = threading.Event()
        self._flushes: deque[threading.Event] = deque()
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; call it in the process that serves, after any fork."""
        self._deadline = None
        self._thread = threading.Thread(target=self._run, name="usage-drain", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all entries recorded before this call are stored; False when that took longer than ``timeout``
        seconds. Blocks: not for the event loop."""
        done = threading.Event()
        self._flushes.append(done)
        self._wake.set()
        return done.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Store what is in the ledger, within ``timeout`` seconds, close the connection and end the thread. False,
        with an error in the log, when entries are left in the ledger. Blocks; harmless twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._deadline = time.monotonic() + timeout
            self._wake.set()
            thread.join(timeout)
        left = len(self.ledger)
        if left or (thread is not None and thread.is_alive()):
            log.critical("stopped before all usage rows were stored", extra={"waiting": left})
            return False
        return True

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(self._pause())
            self._wake.clear()
            self._drain()
        while len(self.ledger) and time.monotonic() < self._deadline:
            if not self._drain():
                time.sleep(min(self._pause(), max(0.0, self._deadline - time.monotonic())))
        connections[self.using].close()

    def _pause(self) -> float:
        """Seconds until the next try. The first failure is tried again at once: the connection may just be stale."""
        return (
            self.interval
            if not self.failures
            else 0
            if self.failures == 1
            else min(LONGEST_WAIT, self.interval * 2**self.failures)
        )

    def _drain(self) -> bool:
        """Write what is in the ledger now; False when the database would not have it."""
        flushes, left = len(self._flushes), len(self.ledger)  # in this order: whoever waits has recorded before
        while left > 0:
            entries = self.ledger.take(min(left, self.batch))
            left -= len(entries)
            if not self._write(entries):
                self.ledger.put_back(entries)
                return False
        for _ in range(flushes):
            self._flushes.popleft().set()
        return True

    def _write(self, entries: list[Entry]) -> bool:
        began = time.perf_counter()
        try:
            self.refused += write(entries, self.using)
        except Exception as error:
            self._failed(error)
            return False
        self.seconds += time.perf_counter() - began
        self.written += len(entries)
        if self.failures > 1:
            log.warning("usage rows can be written again", extra={"tries": self.failures})
        self.failures = 0
        return True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 2:
            log.error(
                "usage rows cannot be written; they are kept and tried again",
                exc_info=error,
                extra={"waiting": len(self.ledger)},
            )
        try:
            connections[self.using].close()
        except Error:
            log.debug("closing the failed connection failed too", exc_info=True)
