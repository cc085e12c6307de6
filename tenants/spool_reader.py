"""The drain's side of a spool, in any process, while the owner writes or when it is dead.

The drain reads a batch from the position that its database knows, stores the rows and the new position in one
transaction, then acknowledges: what is behind the position is unlinked. Any step may be repeated, by several drains at
once: positions only grow, and an entry that is read twice has the same id. Entries come at least once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tenants.columns import Columns
from tenants.entry import FIELDS, Entry
from tenants.spool_owners import CLOSED, hold, remove
from tenants.spool_records import (
    CHECKPOINT,
    DAMAGE,
    HEADER,
    INTENT,
    SETTLEMENT,
    VOID,
    Intent,
    Record,
    plain,
    read_entry,
    read_fields,
    read_intent,
    read_values,
    scan,
    settlements,
)
from tenants.spool_segment import following, path_of, segments

log = logging.getLogger(__name__)

_CHUNK, _HEADER = 1 << 20, 1 << 14


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """All before it has been read. Of one owner's, the greater is the later."""

    owner: str
    segment: int = 0
    offset: int = 0


@dataclass(slots=True)
class Batch:
    """What was settled, in the order of settlement, and where the next begins."""

    position: Position
    columns: Columns = field(default_factory=Columns)

    @property
    def entries(self) -> list[Entry]:
        """Made anew by each call."""
        return self.columns.entries


def read(root: Path, position: Position, limit: int = 1000) -> Batch:
    """At most ``limit`` entries behind ``position``. Store the batch's position even if there are none. Raises OSError."""
    batch = Batch(position)
    directory = root / position.owner
    while len(batch.columns) < limit:
        number = batch.position.segment
        # Whether it is sealed is asked before its end is looked for: nothing is added in between.
        successor = following(directory, number)
        try:
            if not _read_segment(directory, batch, limit, sealed=successor is not None):
                break
        except FileNotFoundError:
            pass  # before the first one, or another drain was quicker
        if successor is None:
            break
        batch.position = Position(position.owner, successor)
    return batch


def acknowledge(root: Path, position: Position) -> None:
    """The rows before ``position`` are committed: unlink the segments that end before it."""
    directory = root / position.owner
    for number in segments(directory)[:-1]:
        if number < position.segment:
            path_of(directory, number).unlink(missing_ok=True)


def retire(root: Path, position: Position) -> bool:
    """Remove the directory of a dead owner with nothing open and nothing behind ``position``, which is committed. False
    if it is not so, or if somebody else holds it. The database may then forget the position."""
    directory = root / position.owner
    if not (directory / CLOSED).exists():
        return False
    held = hold(root, position.owner)
    if held is None:
        return False
    try:
        if not (directory / CLOSED).exists() or not ended(directory, position):
            return False
        remove(held)
        return True
    finally:
        held.release()


def backlog(root: Path, positions: Sequence[Position]) -> int:
    """Bytes that wait behind ``positions``."""
    waiting = 0
    for position in positions:
        for number in segments(root / position.owner):
            with suppress(FileNotFoundError):
                size = path_of(root / position.owner, number).stat().st_size
                read = position.offset if number == position.segment else 0
                waiting += max(0, size - read) if number >= position.segment else 0
    return waiting


def interrupted(directory: Path) -> list[Intent]:
    """What a dead owner left open, oldest first. Its torn tail is cut. The caller holds it. Raises OSError."""
    while True:
        found: dict[int, Intent] = {}
        numbers = segments(directory)
        try:
            for number in numbers:
                _follow(path_of(directory, number), found, last=number == numbers[-1])
        except FileNotFoundError:
            continue  # a drain has unlinked it, and with it what settles intents of those before
        return list(found.values())


def _follow(path: Path, found: dict[int, Intent], *, last: bool) -> None:
    data = path.read_bytes()
    names: Sequence[str] = FIELDS
    for record in scan(data, final=True):
        kind = plain(record.kind)
        if kind == HEADER:
            names = read_fields(record)
        elif kind == INTENT:
            found[record.id] = read_intent(record, names)
        elif kind == CHECKPOINT and record.id in found:
            found[record.id] = replace(found[record.id], entry=read_entry(record, names), checkpointed=True)
        elif kind in (SETTLEMENT, VOID):
            found.pop(record.id, None)
        elif kind == DAMAGE:
            _report(path, record.start, record)
            if last and record.end == len(data):
                os.truncate(path, record.start)


def ended(directory: Path, position: Position) -> bool:
    """Whether nothing is behind ``position``."""
    numbers = segments(directory)
    if not numbers:
        return True
    batch = read(directory.parent, position, 1)
    size = path_of(directory, numbers[-1]).stat().st_size
    return not batch.columns and (batch.position.segment, batch.position.offset) >= (numbers[-1], size)


def _read_segment(directory: Path, batch: Batch, limit: int, *, sealed: bool) -> bool:
    """Read on in the batch's segment; whether all of it that is there has been read."""
    path = path_of(directory, batch.position.segment)
    with path.open("rb") as file:
        names = _names(file.read(_HEADER))
        size = os.fstat(file.fileno()).st_size
        whole = False
        while len(batch.columns) < limit and batch.position.offset < size:
            file.seek(batch.position.offset)
            before = batch.position
            _take(path, batch, limit, file.read() if whole else file.read(_CHUNK), names, final=whole and sealed)
            if batch.position != before:
                whole = False
            elif whole:
                return False  # a record that is being written
            else:
                whole = True  # a long record, or none
        return batch.position.offset >= size


def _names(beginning: bytes) -> Sequence[str]:
    first = next(scan(beginning, final=False), None)
    return read_fields(first) if first and plain(first.kind) == HEADER else FIELDS


def _take(path: Path, batch: Batch, limit: int, data: bytes, names: Sequence[str], *, final: bool) -> None:
    base, columns = batch.position, batch.columns
    end = settlements(data, limit - len(columns), columns.add) if names is FIELDS else 0
    for record in scan(data, final, end) if len(columns) < limit else ():
        kind = plain(record.kind)
        if kind == SETTLEMENT:
            columns.add(record.id, read_values(record, names))
        elif kind == DAMAGE:
            _report(path, base.offset + record.start, record)
        end = record.end
        if len(columns) >= limit:
            break
    batch.position = Position(base.owner, base.segment, base.offset + end)


def _report(path: Path, offset: int, damage: Record) -> None:
    lost = damage.end - damage.start
    log.error("a spool is damaged", extra={"spool": str(path), "offset": offset, "bytes_lost": lost})
