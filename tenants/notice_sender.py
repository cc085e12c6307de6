"""Sends the warnings of budgets as they come, in a thread that nobody waits for: a mail server may hang for minutes."""

from __future__ import annotations

import logging
import threading

from django.db import close_old_connections, connection
from django.utils import timezone

from tenants.models import Notice
from tenants.notices import send_due

log = logging.getLogger(__name__)

EVERY = 3.0


class NoticeSender(threading.Thread):
    """Several may run; each warning is one's. Ends with its process."""

    def __init__(self, every: float = EVERY) -> None:
        super().__init__(name="notices", daemon=True)
        self.every = every
        self.stopping = threading.Event()
        self._failing = False

    def run(self) -> None:
        while not self.stopping.wait(self.every):
            self._send()
        connection.close()

    def _send(self) -> None:
        try:
            close_old_connections()
            # Looked for first: a claim takes SQLite's write lock.
            while Notice.objects.filter(sent_at=None, next_at__lte=timezone.now()).exists() and send_due():
                pass
            self._failing = False
        except Exception:
            if not self._failing:
                log.exception("warnings of budgets cannot be sent now")
            self._failing = True
            connection.close()
