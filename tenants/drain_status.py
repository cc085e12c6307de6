"""How far the drain is, told to all processes of a machine by a file in the spool's root. No Django here."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tenants import spool_reader
from tenants.spool_reader import Batch, Position, backlog

FILE = "drain.json"


@dataclass(frozen=True, slots=True)
class Status:
    """``rows`` that wait, exact where they are few; ``bytes`` of the spools that have not been read; ``oldest_at``, the end
    of the request that has waited longest, 0 if none has. ``failures`` in a row, ``failed`` in all; ``written``,
    ``refused`` (rows that no database takes) and ``interrupted`` since the drain has started. ``told_at`` says when."""

    rows: int = 0
    bytes: int = 0
    oldest_at: float = 0.0
    failures: int = 0
    failed: int = 0
    written: int = 0
    refused: int = 0
    interrupted: int = 0
    told_at: float = 0.0

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest row has waited."""
        return max(0.0, time.time() - self.oldest_at) if self.oldest_at else 0.0


class Backlog:
    """What waits in the spools of ``root``, whose rows are stored by ``limit`` at once."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self._starts: dict[str, Position] = {}
        self._waiting: dict[str, tuple[int, float]] = {}

    def keep(self, owners: list[str]) -> None:
        """These are all that there are."""
        self._starts = {owner: self._starts.get(owner, Position(owner)) for owner in owners}
        self._waiting = {owner: self._waiting.get(owner, (0, 0.0)) for owner in owners}

    def start(self, position: Position) -> None:
        """All before it is stored."""
        self._starts[position.owner] = position
        self._waiting[position.owner] = 0, 0.0

    def count(self, batch: Batch) -> int:
        """How many entries wait, of which these are the first: exact where they are all, else by the bytes that the others
        take."""
        columns, start = batch.columns, self._starts[batch.position.owner]
        rows = len(columns)
        if rows >= self.limit:
            behind = backlog(self.root, [batch.position])
            rows += rows * behind // max(1, backlog(self.root, [start]) - behind)
        oldest = columns["created_at"][0] + columns["duration_us"][0] / 1e6 if rows else 0.0
        self._waiting[start.owner] = rows, oldest
        return rows

    def look(self) -> None:
        """Count what waits of all of them."""
        for start in self._starts.values():
            with suppress(OSError):
                self.count(spool_reader.read(self.root, start, self.limit))

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self._waiting.values())

    @property
    def bytes(self) -> int:
        return backlog(self.root, list(self._starts.values()))

    @property
    def oldest_at(self) -> float:
        return min((oldest for rows, oldest in self._waiting.values() if rows), default=0.0)


def read(root: Path) -> Status:
    """What was told last; zeros if nothing was."""
    try:
        return Status(**json.loads((root / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Status()


def write(root: Path, status: Status) -> None:
    """Tell it to whoever reads. A disk that is full keeps what was told before."""
    made = root / f"{FILE}.new"
    with suppress(OSError):
        made.write_text(json.dumps(asdict(status)))
        made.replace(root / FILE)
