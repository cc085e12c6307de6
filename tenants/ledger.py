"""What became of each request, on its way from the request to the database. No Django here: requests use it.

A request makes one ``Entry``, fills it as facts arrive and records it once, however it ends. ``tenants.spooled`` is the
ledger that outlives its process; this one is for programs without a database.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from tenants.uuid7 import uuid7

log = logging.getLogger(__name__)

CAP = 1_000_000


@dataclass(slots=True)
class Entry:
    """One row of ``tenants.models.Usage``, column for column, and what is done with it: ``charges`` are nano-dollars by
    label of ``tenants.leases``. Should this process be killed before the end is known, ``bound`` is the most that the request
    may cost, None if nobody knows, and ``if_interrupted`` the tenant's policy: "counted", "bound" or "zero".

    ``created_at`` is seconds since the epoch; ``*_us`` are microseconds since then; ``cost`` is nano-dollars, None when
    the model has no price. ``input_tokens`` is all input and ``output_tokens`` all output; the other counts are parts.
    """

    id: UUID = field(default_factory=uuid7)
    kind: str = "charge"
    corrects: UUID | None = None
    created_at: float = field(default_factory=time.time)
    request_id: str = ""
    tenant_id: int = 0
    tenant: str = ""
    project_id: int = 0
    project: str = ""
    key_id: int = 0
    key: str = ""
    key_prefix: str = ""
    dialect: str = ""
    endpoint: str = ""
    model: str = ""
    route: str = ""
    provider_id: int = 0
    provider: str = ""
    target_id: int = 0
    upstream_model: str = ""
    upstream_request_id: str = ""
    upstream_response_id: str = ""
    status: int = 0
    error_kind: str = ""
    attempts: int = 0
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost: int | None = None
    price_version: str = ""
    service_tier: str = ""
    billed: str = ""
    charged_to: str = ""
    interrupted: bool = False
    bound_exceeded: bool = False
    duration_us: int = 0
    first_byte_us: int | None = None
    revision: int = 0
    client_ip: str = ""
    end_user: str = ""
    tags: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    decision: str = ""
    charges: dict[str, int] = field(default_factory=dict)
    bound: int | None = None
    if_interrupted: str = "counted"


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
