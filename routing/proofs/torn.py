"""Tears the last record of dead processes' spools, as a loss of power might."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tenants.spool_owners import owners
from tenants.spool_records import INTENT, plain, scan
from tenants.spool_segment import path_of, segments

MOST = 4


@dataclass(slots=True)
class Torn:
    """``lost`` are requests of which nothing else was written: not even that they were begun."""

    torn: int = 0
    lost: set[str] = field(default_factory=set)


def tear(root: Path) -> Torn:
    """Call it when all owners are dead."""
    found = Torn()
    for owner in owners(root):
        numbers = segments(root / owner)
        if numbers and found.torn < MOST:
            _tear(path_of(root / owner, numbers[-1]), found)
    return found


def _tear(path: Path, found: Torn) -> None:
    data = path.read_bytes()
    records = list(scan(data, final=True))
    if len(records) < 2:  # the first one is the segment's header
        return
    last = records[-1]
    if found.torn % 2:
        path.write_bytes(data[: last.end - 3])
    else:
        path.write_bytes(data[: last.end - 3] + b"\0" * 3)
    found.torn += 1
    if plain(last.kind) == INTENT and all(record.id != last.id for record in records[:-1]):
        found.lost.add(str(UUID(int=last.id)))
