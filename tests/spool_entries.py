"""Entries for a spool, and drains that keep what they read as a database would."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from tenants.ledger import Entry
from tenants.spool import Spool, recover
from tenants.spool_owners import claim, owners
from tenants.spool_reader import Batch, Position, acknowledge, read, retire

BOUNDS = {3: 1_000_000, 7: 2_500_000_000}
SMALL = 4_096
"""Bytes of a segment that is full after a few requests."""


def numbered(number: int, **columns: Any) -> Entry:
    return Entry(UUID(int=number), created_at=float(number), request_id=f"request {number}", **columns)


def values(entry: Entry) -> dict[str, Any]:
    return entry.told()


TEXTS = st.text(st.characters(), max_size=20)
#: Of the columns whose default is None, those that may hold it.
OR_NONE = {"corrects", "cost", "first_byte_us", "bound"}
_BY_TYPE = {
    "str": TEXTS,
    "bool": st.booleans(),
    "float": st.floats(0, 1e11),
    "int": st.integers(-(2**70), 2**70),
    "int | None": st.none() | st.integers(0, 2**63 - 1),
    "UUID | None": st.none() | st.uuids(),
    "UUID": st.uuids(),
    "list[str]": st.lists(TEXTS, max_size=3),
    "dict[str, int]": st.dictionaries(TEXTS, st.integers(0, 2**63 - 1), max_size=3),
}


def entries() -> st.SearchStrategy[Entry]:
    """Anything that a client or an upstream may put into one."""
    return st.builds(Entry, **{name: _BY_TYPE[kind] for name, kind in _annotations().items()})


def _annotations() -> dict[str, str]:
    """Of Entry, as they stand in the source: machine code has other ones."""
    tree = ast.parse(Path("tenants/entry.py").read_text())
    made = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    told = {each.arg: ast.unparse(each.annotation) for each in made.args.args if each.annotation is not None}
    return {name: kind if name in OR_NONE else kind.removesuffix(" | None") for name, kind in told.items()}


def opened(root: Path, **options: Any) -> Spool:
    return Spool(claim(root), **({"segment_bytes": SMALL} | options))


def ids(batch: Batch) -> list[int]:
    return [entry.id.int for entry in batch.entries]


def fill(root: Path, count: int) -> Spool:
    spool = opened(root)
    for number in range(count):
        spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
    return spool


def die(spool: Spool) -> None:
    """What is left of a spool when its process is killed: its files as they are, and no lock."""
    spool._closed = True
    if spool._segment:
        spool._segment.close()
    spool.held.release()


def rows(root: Path, spool: Spool) -> list[int]:
    return [entry.id.int for entry in read(root, Position(spool.held.owner)).entries]


def left(root: Path, spool: Spool) -> list[int]:
    """What is open after the owner's death."""
    die(spool)
    recovered = recover(root, spool.held.owner)
    assert recovered is not None
    return [intent.entry.id.int for intent in recovered.interrupted]


@dataclass
class Drained:
    """A database of rows and positions, which changes both at once."""

    rows: dict[int, Entry] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)

    def position(self, owner: str) -> Position:
        return self.positions.get(owner, Position(owner))

    def commit(self, entries: Iterable[Entry], position: Position) -> None:
        for entry in entries:
            if entry.id.int in self.rows:
                assert values(self.rows[entry.id.int]) == values(entry)
            else:
                self.rows[entry.id.int] = entry
                self.order.append(entry.id.int)
        if position > self.position(position.owner):
            self.positions[position.owner] = position

    def drain(self, root: Path, limit: int = 1000) -> None:
        """All that can be read now."""
        for owner in owners(root):
            while True:
                batch = read(root, self.position(owner), limit)
                self.commit(batch.entries, batch.position)
                acknowledge(root, batch.position)
                if not batch.entries:
                    break
            retire(root, self.position(owner))


class Rows:
    """The same in an SQLite file, for several processes of which any may be killed."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        self.connection.executescript(
            """
            PRAGMA synchronous=OFF;
            CREATE TABLE IF NOT EXISTS row (id TEXT PRIMARY KEY, error_kind TEXT, tokens INTEGER, other INTEGER);
            CREATE TABLE IF NOT EXISTS position (owner TEXT PRIMARY KEY, segment INTEGER, place INTEGER);
            """
        )

    def position(self, owner: str) -> Position:
        found = self.connection.execute("SELECT segment, place FROM position WHERE owner = ?", (owner,)).fetchone()
        return Position(owner, *(found or ()))

    def commit(self, entries: Sequence[Entry], position: Position) -> None:
        """``other`` counts readings of a row that were not as the first."""
        rows = [(entry.id.hex, entry.error_kind, entry.output_tokens) for entry in entries]
        with self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO row VALUES (?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET other = other"
                " + (error_kind <> excluded.error_kind OR tokens <> excluded.tokens)",
                rows,
            )
            connection.execute(
                "INSERT INTO position VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE SET segment = excluded.segment,"
                " place = excluded.place WHERE (excluded.segment, excluded.place) > (segment, place)",
                (position.owner, position.segment, position.offset),
            )

    def all(self) -> dict[str, tuple[str, int, int]]:
        return {name: tuple(rest) for name, *rest in self.connection.execute("SELECT * FROM row")}
