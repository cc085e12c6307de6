"""The crash-safe account of what this process dispatches: an intent before, a settlement after, whatever happens between.

A record is in the kernel when the call that wrote it returns: the death of any process loses none. The loss of power
may, unless ``fsync`` is set: then an intent is on the disk when ``intend`` returns, which takes milliseconds; call it in
a thread. Threads that wait for the disk at the same time share one wait.

A full segment gets a successor, which begins with all that is open: what is settled before may then be drained and
unlinked without a look at what is not. ``tenants.spool_reader`` is the drain's side; ``tenants.spool_owners`` says who
is dead. Own CPU for an intent and its settlement: ``python -m tests.bench.spool``.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import UUID

from tenants.ledger import Entry
from tenants.spool_owners import CLOSED, Held, SpoolUnavailable, hold, size, unavailable
from tenants.spool_reader import interrupted
from tenants.spool_records import Intent, write_checkpoint, write_header, write_intent, write_settlement, write_void
from tenants.spool_segment import Segment, segments

log = logging.getLogger(__name__)

CAP: Final = 1 << 30
SEGMENT: Final = 8 << 20
_RETRY: Final = 0.1
"""Seconds between looks at a full spool, and between tries of a failing disk."""
_MOST_WAITING: Final = 16 << 20
"""Bytes of refusals that wait in memory for a failing disk."""
_LEAP: Final = 1_000
"""How far a dead owner's new segments keep off numbers that the loss of power took, and a drain may have read."""
_FULL, _NOBODY = "it is full", UUID(int=0)


class Spool:
    """Any thread may call. ``cap`` is of bytes in the whole root, all owners': beyond it no intent is taken, and
    settlements are. Other owners' bytes are looked up at each new segment, so all together pass it by a segment each.

    ``failing`` says why the disk takes nothing, "" if it does. What is settled meanwhile waits in memory; each call tries
    again, and ``flush`` does, to be called every second. ``lost`` counts entries that never will be rows, ``used`` is what
    is taken of the cap. Of a dead owner ``interrupted`` is what it left open: settle each, then close.
    """

    def __init__(self, held: Held, *, cap: int = CAP, segment_bytes: int = SEGMENT, fsync: bool = False) -> None:
        self.held, self.cap, self.segment_bytes, self.fsync = held, cap, segment_bytes, fsync
        self.failing, self.lost = "", 0
        self._lock = Lock()
        self._open: dict[int, bytes] = {}
        self._marks: dict[int, bytes] = {}
        self._waiting = bytearray()
        self._closed = self._full = False
        self._try_at = self._look_at = 0.0
        self._segment: Segment | None = None
        try:
            self.interrupted = self._adopt()
            self.used = size(held.root)
        except BaseException as error:
            held.release()
            if isinstance(error, OSError):
                raise unavailable(error) from error
            raise
        _living.add(self)

    def _adopt(self) -> list[Intent]:
        numbers = segments(self.held.directory)
        self._number = numbers[-1] + _LEAP if numbers else 0
        if not numbers or (self.held.directory / CLOSED).exists():
            return []
        found = interrupted(self.held.directory)
        for intent in found:
            self._open[intent.entry.id.int] = write_intent(intent.entry, intent.bounds, intent.price_version)
            if intent.checkpointed:
                self._marks[intent.entry.id.int] = write_checkpoint(intent.entry)
        return found

    def __contains__(self, id: UUID) -> bool:
        """Whether this request is open."""
        return id.int in self._open

    @property
    def unsettled(self) -> int:
        """Requests that are open."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether the cap is reached; a drain makes it untrue."""
        if self.used >= self.cap and time.monotonic() >= self._look_at:
            self._look()
        return self.used >= self.cap

    @property
    def refusing(self) -> str:
        """Why no intent is taken now, "" if one is: for readiness and metrics."""
        return self.failing or (_FULL if self.full else "")

    def intend(self, entry: Entry, bounds: Mapping[Any, int], price_version: int | str = 0) -> None:
        """Before the dispatch. Raises SpoolUnavailable: then there must be none. Again for the same request, it replaces
        what was said before."""
        record, key = write_intent(entry, bounds, price_version), entry.id.int
        with self._lock:
            if self.used >= self.cap or self.failing or self._full or self._closed:
                self._admit()
            try:
                self._append(record)
            except OSError as error:
                raise self._refuse(entry, error, uncertain=self._broken()) from error
            known = key in self._open
            self._open[key] = record
            self._marks.pop(key, None)
            segment = self._segment
        if self.fsync and segment is not None:
            self._sync(entry, segment, known)

    def _sync(self, entry: Entry, segment: Segment, known: bool) -> None:
        try:
            segment.sync(segment.end)
        except OSError as error:
            with self._lock:
                if not known:
                    self._open.pop(entry.id.int, None)
                raise self._refuse(entry, error, uncertain=True) from error

    def checkpoint(self, entry: Entry) -> None:
        """What is known of an open request by now, its tokens above all. Never raises; a failing disk takes none."""
        record, key = write_checkpoint(entry), entry.id.int
        with self._lock, suppress(OSError):
            if key in self._open and not self._closed and not self._resting():
                self._append(record)
                self._marks[key] = record

    def settle(self, entry: Entry) -> None:
        """What became of a request, also of one that was never dispatched. Never raises."""
        record, key = write_settlement(entry), entry.id.int
        with self._lock:
            known = self._open.pop(key, None) is not None
            self._marks.pop(key, None)
            if self._closed:
                self._lose(entry)
            elif not self._put(record):
                if known or len(self._waiting) < _MOST_WAITING:
                    self._waiting += record
                else:
                    self._lose(entry)

    def flush(self) -> bool:
        """Write what waits in memory and try a failing disk; False when it takes nothing."""
        with self._lock:
            return not (self.failing or self._waiting) or (not self._closed and self._put(write_void(_NOBODY)))

    def close(self) -> None:
        """Let go of the directory. What is open stays open: to others this owner is dead. Harmless twice."""
        with self._lock:
            if self._closed:
                return
            self._try_at = 0.0
            written = not self._waiting or self._put(write_void(_NOBODY))
            self._closed = True
            if not written:
                log.critical("closed a spool before all was written: what is missing counts as interrupted")
            elif not self._open and not self._broken():
                self._mark_closed()
            if self._segment is not None:
                self._segment.close()
        _living.discard(self)
        self.held.release()

    def _mark_closed(self) -> None:
        with suppress(OSError):  # it only spares others a scan
            if self.fsync and self._segment is not None:
                self._segment.sync(self._segment.end)
            (self.held.directory / CLOSED).touch(mode=0o600)

    def _admit(self) -> None:
        if self._closed:
            raise SpoolUnavailable("it is closed")
        if self._resting():
            raise SpoolUnavailable(self.failing)
        if self.full:
            if not self._full:
                log.critical("the spool is full: it refuses requests until it is drained", extra={"cap": self.cap})
            self._full = True
            raise SpoolUnavailable(_FULL)
        if self._full:
            log.warning("the spool has room again")
            self._full = False

    def _broken(self) -> bool:
        return self._segment is not None and self._segment.broken

    def _resting(self) -> bool:
        return bool(self.failing) and time.monotonic() < self._try_at

    def _put(self, record: bytes) -> bool:
        if self.failing and self._resting():
            return False
        try:
            self._append(record)
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _refuse(self, entry: Entry, error: OSError, uncertain: bool) -> SpoolUnavailable:
        """Where the intent may be there, what is written next says that it is void, or what it was before."""
        if uncertain:
            self._waiting += self._open.get(entry.id.int) or write_void(entry.id)
        return self._fail(error)

    def _fail(self, error: OSError) -> SpoolUnavailable:
        failure = unavailable(error)
        if not self.failing:
            log.critical(str(failure), exc_info=error, extra={"spool": str(self.held.directory)})
        self.failing, self._try_at = failure.reason, time.monotonic() + _RETRY
        return failure

    def _lose(self, entry: Entry) -> None:
        self.lost += 1
        if not self.lost & (self.lost - 1):  # at 1, 2, 4, 8 and so on: there may be thousands a second
            log.critical("entries that nobody can store", extra={"lost": self.lost, "entry": repr(entry)})

    def _append(self, record: bytes) -> None:
        """Write what waits and ``record``, both or neither."""
        segment = self._segment
        if segment is None or self._waiting or segment.broken or segment.end + len(record) > segment.limit:
            self._append_more(segment, record)
        else:
            segment.write(record)
            self.used += len(record)
        if self.failing:
            log.warning("the spool can be written again", extra={"spool": str(self.held.directory)})
            self.failing = ""

    def _append_more(self, segment: Segment | None, record: bytes) -> None:
        data = bytes(self._waiting) + record
        try:
            if segment is None or segment.broken or segment.end + len(data) > segment.limit:
                self._roll(segment, data)
            else:
                segment.write(data)
        except OSError as error:
            if segment is None or segment.broken or error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            segment.write(data)  # a process that is short of descriptors can use the one that it has
        self._waiting.clear()
        self.used += len(data)

    def _roll(self, previous: Segment | None, data: bytes) -> None:
        """Begin the next segment with all that is open and ``data``."""
        directory, number = self.held.directory, self._number + 1
        (directory / CLOSED).unlink(missing_ok=True)
        start = b"".join((write_header(self.held.owner, number), *self._open.values(), *self._marks.values()))
        limit = max(self.segment_bytes, 2 * len(start))
        segment = Segment(directory, number, start + data, limit, fsync=self.fsync)
        # The previous one is sealed now: whatever fails from here on, nothing more is written there.
        self._segment, self._number = segment, number
        segment.succeed(previous)
        self._look()
        self.used -= len(data)

    def _look(self) -> None:
        self._look_at = time.monotonic() + _RETRY
        with suppress(OSError):
            self.used = size(self.held.root)

    def _after_fork(self) -> None:
        """The child of an owner is none: it must neither write nor wait for a lock that a thread of its parent held."""
        self._lock, self._closed = Lock(), True
        if self._segment is not None:
            self._segment.abandon()


_living: set[Spool] = set()


def _after_fork() -> None:
    while _living:
        _living.pop()._after_fork()


os.register_at_fork(after_in_child=_after_fork)


def recover(root: Path, owner: str, **options: Any) -> Spool | None:
    """A dead owner's spool with what it left ``interrupted``: settle each and close it. None when the owner lives, when
    somebody else recovers it or when it is gone. Dying on the way is safe: the next one gets what is still open."""
    held = hold(root, owner)
    return None if held is None else Spool(held, **options)
