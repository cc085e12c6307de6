"""Keeps the snapshot fresh, in a thread of its own, never on the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections, connection

from routing import revision
from routing.hooks import Means
from routing.load import Loader
from routing.table import Table

log = logging.getLogger(__name__)

POLL_SECONDS = 0.3


class Poller(threading.Thread):
    """Refreshes the table whenever the revision counter moves, and at once when this process moved it.

    ``install`` is called with every new table, in this thread. The database may go away: the last table stays in force.
    """

    def __init__(self, install: Callable[[Table], None], means: Means | None = None) -> None:
        super().__init__(name="snapshot", daemon=True)
        self.install = install
        self.loader = Loader(means)
        self.wake = threading.Event()
        self.stopped = False
        self.lock = threading.Lock()
        self.failing = False

    def load(self) -> Table:
        """Refresh now, in the calling thread. Raises the database's errors."""
        with self.lock:
            before = self.loader.table
            table = self.loader.refresh()
            if table is not before:
                self.install(table)
            return table

    def run(self) -> None:
        revision.listeners.append(self.wake.set)
        while not self.stopped:
            self.wake.wait(POLL_SECONDS)
            self.wake.clear()
            self._poll()
        revision.listeners.remove(self.wake.set)
        connection.close()

    def _poll(self) -> None:
        try:
            close_old_connections()
            self.load()
            self.failing = False
        except Exception:
            if not self.failing:
                log.exception(
                    "the snapshot cannot be refreshed; revision %s stays in force", self.loader.table.revision
                )
            self.failing = True
            connection.close()

    def stop(self) -> None:
        self.stopped = True
        self.wake.set()
        self.join(5)
