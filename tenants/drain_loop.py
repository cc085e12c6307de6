"""Drains the spools of a root again and again, in a thread of whichever process it runs in.

Of the drains of one root one works, and another when it is gone: so the kernel's lock on a file says. More than one would
be harmless.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from django.db import connections

from tenants.drain_spools import Spools, log

LOCK = "drain.lock"
LONGEST_WAIT = 5.0
MANY, BUSY_WAIT = 100, 1.0
"""After so many rows in a turn the next one waits longer: what it has to do costs little more for more of them."""


class Drain:
    """A thread that gives ``spools`` a turn every ``interval`` seconds, as long as no other drain of the root does.
    Whatever happens, what is not stored stays in the spools."""

    def __init__(self, root: Path, *, interval: float = 0.2, **options: Any) -> None:
        self.root, self.interval = root, interval
        self.spools = Spools(root, **options)
        self._wake = threading.Event()
        self._flushes: deque[threading.Event] = deque()
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None
        self._complete = True
        self._written = 0  # in the last turn
        self._lock = -1

    def start(self) -> None:
        """Start the thread; call it in the process that drains, after any fork."""
        self._deadline = None
        self._thread = threading.Thread(target=self._run, name="usage-drain", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was settled before this call is stored; False when that took longer than ``timeout``
        seconds. Blocks: not for the event loop."""
        done = threading.Event()
        self._flushes.append(done)
        self._wake.set()
        return done.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Store what is in the spools, within ``timeout`` seconds, close the connection and end the thread. False, with
        a warning in the log, when something is left for the next start. Blocks; harmless twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._deadline = time.monotonic() + timeout
        self._wake.set()
        thread.join(timeout)
        if thread.is_alive() or not self._complete:
            log.warning("stopped before all usage rows were stored: they are kept for the next start")
            return False
        return True

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(self._pause())
            self._wake.clear()
            self._turn()
        deadline = self._deadline
        self._complete = not self._alone()  # another has it
        while not self._complete and time.monotonic() < deadline:
            self._complete = self._turn(sweeping=True)
            if not self._complete:
                time.sleep(min(self._pause(), max(0.0, deadline - time.monotonic())))
        connections[self.spools.using].close()
        self._leave()

    def _pause(self) -> float:
        """Seconds until the next turn. The first failure is tried again at once: the connection may just be stale."""
        failures = self.spools.failures
        if failures <= 1:
            return 0.0 if failures else max(self.interval, BUSY_WAIT if self._written >= MANY else 0.0)
        return min(LONGEST_WAIT, self.interval * 2.0 ** min(failures, 16))

    def _turn(self, *, sweeping: bool = False) -> bool:
        flushes = len(self._flushes)  # whoever waits has settled before
        before, self._written = self.spools.written, 0
        try:
            done = self._alone() and self.spools.turn(sweeping=sweeping, complete=flushes > 0)
        except Exception as error:
            self.spools.fail(error)
            return False
        self._written = self.spools.written - before
        for _ in range(flushes if done else 0):
            self._flushes.popleft().set()
        return done

    def _alone(self) -> bool:
        """Whether this is the drain of the root."""
        if self._lock < 0:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.root / LOCK, os.O_RDONLY | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock = lock
            except BlockingIOError:
                os.close(lock)
        return self._lock >= 0

    def _leave(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
