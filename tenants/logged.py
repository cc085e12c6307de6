"""Keeps what was asked and answered: sealed, in batches, by a thread of its own, and never at the cost of a request.

What waits is held in memory up to a bound. What comes beyond that, or cannot be stored, is counted and said in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from django.db import DataError, Error, IntegrityError, connections, transaction
from django.utils import timezone
from prometheus_client import Counter

from tenants.models import LoggedRequest, Tenant
from tenants.rows import clean
from tenants.sealed import seal, unseal

log = logging.getLogger(__name__)

RECORDS = Counter("proxy_logged_requests_total", "Requests whose bodies were to be kept, by outcome.", ("outcome",))
MOST_BYTES = 64 * 2**20
BATCH, BATCH_BYTES = 100, 8 * 2**20
#: What a record takes beside its bodies, about.
OVERHEAD = 2048
LONGEST_WAIT, COMPLAIN_EVERY = 5.0, 60.0
_LENGTH = 8
_LONGEST_STATUS = 999


class Record(Protocol):
    """What is to be kept of one request. ``id`` is that of its usage row; ``cut`` names the bodies that are not here in
    full, of request and reply; ``days`` is how long it is kept."""

    id: str
    request_id: str
    tenant_id: int
    route: str
    endpoint: str
    model: str
    request: bytes
    reply: bytes
    status: int
    error: str
    cut: list[str]
    days: int


class Bodies(NamedTuple):
    request: bytes
    reply: bytes
    error: str


def opened(row: LoggedRequest) -> Bodies:
    """What a row holds. Raises tenants.sealed.Unreadable."""
    plain = unseal(_label(row.tenant_id, row.usage_id), bytes(row.content))
    lengths, plain = plain[: 2 * _LENGTH], plain[2 * _LENGTH :]
    middle = int.from_bytes(lengths[:_LENGTH], "big")
    end = middle + int.from_bytes(lengths[_LENGTH:], "big")
    return Bodies(plain[:middle], plain[middle:end], plain[end:].decode())


def _label(tenant_id: int, usage_id: UUID) -> bytes:
    return f"logged {tenant_id} {usage_id}".encode()


def _row(record: Record, now: datetime) -> LoggedRequest:
    usage_id = UUID(record.id)
    error = record.error.encode("utf-8", "replace")
    lengths = b"".join(len(body).to_bytes(_LENGTH, "big") for body in (record.request, record.reply))
    content = seal(_label(record.tenant_id, usage_id), b"".join((lengths, record.request, record.reply, error)))
    return LoggedRequest(
        usage_id=usage_id,
        tenant_id=record.tenant_id,
        request_id=clean(record.request_id, 128),
        endpoint=clean(record.endpoint, 40),
        route=clean(record.route, 255),
        model=clean(record.model, 255),
        status=min(max(record.status, 0), _LONGEST_STATUS),
        request_cut="request" in record.cut,
        reply_cut="reply" in record.cut,
        size=len(content),
        content=content,
        created_at=now,
        expires_at=now + timedelta(days=record.days),
    )


class LoggedRequests:
    """``keep`` is for requests and waits for nothing. ``counts`` are those ``kept``, ``dropped`` (there was no room) and
    ``refused`` (they cannot be stored, whatever the database does)."""

    def __init__(
        self,
        *,
        most: int = MOST_BYTES,
        interval: float = 0.5,
        using: str = "default",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.interval, self.using, self.clock = most, interval, using, clock
        self.counts: Counts[str] = Counts()
        self.failures = 0
        self._waiting: deque[Record] = deque()
        self._bytes = 0  # of what waits, and of what is being written
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._thread: threading.Thread | None = None
        self._complain_at = 0.0
        self._unsaid = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, record: Record) -> None:
        """Have it written down, soon. Never waits and never raises."""
        size = _size(record)
        with self._lock:
            fits = self._bytes + size <= self.most
            if fits:
                self._waiting.append(record)
                self._bytes += size
        if not fits:
            self._lose("dropped", "there is no room for what waits to be written")

    def start(self) -> None:
        """Start the thread; call it in the process that serves, after any fork."""
        self._deadline = None
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Store what waits, within ``timeout`` seconds, and end the thread. False, said in the log, where something is
        left. Blocks; harmless twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._deadline = time.monotonic() + timeout
            self._wake.set()
            thread.join(timeout)
        if left := len(self):
            log.error("stopped before all logged requests were stored", extra={"waiting": left})
        return not left

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(min(LONGEST_WAIT, self.interval * 2**self.failures))
            self._wake.clear()
            self.write()
        while len(self) and time.monotonic() < self._deadline and not self.write():
            time.sleep(min(self.interval, max(0.0, self._deadline - time.monotonic())))
        connections[self.using].close()

    def write(self) -> bool:
        """Store what waits now; False where the database would not have it."""
        while batch := self._take():
            try:
                self._store(batch)
            except Exception as error:
                self._failed(batch, error)
                return False
            self.failures = 0
            with self._lock:
                self._bytes -= sum(map(_size, batch))
        return True

    def _take(self) -> list[Record]:
        """The oldest that wait, as many as one transaction should hold."""
        taken: list[Record] = []
        size = 0
        with self._lock:
            while self._waiting and len(taken) < BATCH and size < BATCH_BYTES:
                taken.append(self._waiting.popleft())
                size += _size(taken[-1])
        return taken

    def _store(self, batch: list[Record]) -> None:
        """Raises django.db.Error, with nothing stored, where the database is away."""
        rows = [row for record in batch if (row := self._made(record)) is not None]
        try:
            self._insert(rows)
        except (DataError, IntegrityError):
            for row in rows:
                self._insert_alone(row)

    def _made(self, record: Record) -> LoggedRequest | None:
        time.sleep(0)  # requests need the interpreter more than we do
        try:
            return _row(record, timezone.now())
        except Exception as error:  # whatever a hook has put together
            self._lose("refused", f"one of them cannot be written down: {type(error).__name__}")
            return None

    def _insert(self, rows: list[LoggedRequest]) -> None:
        """Store those whose tenant is still there: what is left of a deleted one is nothing."""
        with transaction.atomic(using=self.using):
            tenants = Tenant._base_manager.using(self.using).filter(pk__in={row.tenant_id for row in rows})
            there = set(tenants.select_for_update(no_key=True).values_list("pk", flat=True))
            good = [row for row in rows if row.tenant_id in there]
            LoggedRequest.objects.using(self.using).bulk_create(good)
        self._count("kept", len(good))
        if len(good) < len(rows):
            self._lose("refused", "the tenant of some is deleted", len(rows) - len(good))

    def _insert_alone(self, row: LoggedRequest) -> None:
        try:
            self._insert([row])
        except (DataError, IntegrityError) as error:
            self._lose("refused", f"the database refuses one of them: {type(error).__name__}")

    def _failed(self, batch: list[Record], error: Exception) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(batch))
        self.failures = min(self.failures + 1, 8)
        if self.failures == 2:
            log.error("requests cannot be logged; they are kept in memory and tried again", exc_info=error)
        try:
            connections[self.using].close()
        except Error:
            log.debug("closing the failed connection failed too", exc_info=True)

    def _lose(self, outcome: str, why: str, count: int = 1) -> None:
        self._count(outcome, count)
        self._unsaid += count
        if self.clock() >= self._complain_at:
            log.error("bodies of %d requests are not kept: %s", self._unsaid, why)
            self._unsaid, self._complain_at = 0, self.clock() + COMPLAIN_EVERY

    def _count(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count
        RECORDS.labels(outcome).inc(count)


def _size(record: Record) -> int:
    return len(record.request) + len(record.reply) + OVERHEAD
