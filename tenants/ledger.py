"""What became of each request, on its way from the request to the database. No Django here: requests use it.

A request makes one ``Entry``, fills it as facts arrive and records it once, however it ends. ``tenants.spooled`` is the
ledger that outlives its process; this one is for programs without a database.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping

from tenants.entry import Entry as Entry

log = logging.getLogger(__name__)

CAP = 1_000_000


class Ledger:
    """Entries that wait to be taken, oldest first. Requests record from any thread; one takes.

    Nothing is ever dropped: it grows, about 1 KB an entry, and beyond ``cap`` entries says so in the log, again at each
    tenth of the cap more. ``len(ledger)`` is the metric to alert on. ``blocks`` says that ``intend`` waits for a disk: then
    it belongs in a thread.
    """

    blocks = False

    def __init__(self, cap: int = CAP) -> None:
        self.cap = cap
        self._entries: deque[Entry] = deque()
        self._complain_at = cap + 1

    def __len__(self) -> int:
        return len(self._entries)

    def intend(self, entry: Entry, bounds: Mapping[str, int], price_version: str = "") -> None:
        """Before the dispatch: what is known of the request, and what is reserved for it by label of ``tenants.leases``.
        Raises ``tenants.spool_owners.SpoolUnavailable`` where it could not be accounted for: then there must be none."""

    def checkpoint(self, entry: Entry) -> None:
        """What is known of it by now. Never raises."""

    def record(self, entry: Entry) -> None:
        """Keep what became of a request. Called once for each, in its ``finally``: never blocks, never raises."""
        self._entries.append(entry)
        if len(self._entries) >= self._complain_at:
            self._complain_at = len(self._entries) + max(1, self.cap // 10)
            log.critical(
                "usage rows wait in memory beyond the cap: is the database away?",
                extra={"waiting": len(self._entries), "cap": self.cap},
            )

    def take(self, limit: int) -> list[Entry]:
        """The oldest entries, at most ``limit``; the caller stores them or puts them back."""
        entries = self._entries
        taken = [entries.popleft() for _ in range(min(limit, len(entries)))]
        if len(entries) < self.cap:
            self._complain_at = self.cap + 1
        return taken

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Return what ``take`` gave, before everything else and in its order."""
        self._entries.extendleft(reversed(list(entries)))
