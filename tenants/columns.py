"""Entries on their way from a spool to a database, column by column. No Django here.

An ``Entry`` costs about as much to make as its row to store, and a check of one value as much as one of a whole column:
so nothing on this way looks at a single entry unless something is odd about one of its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tenants.entry import FIELDS, Entry
from tenants.spool_records import with_id


class Columns:
    """``ids`` and, in the same order, the values of FIELDS: as an ``Entry`` has them, or as JSON has told them."""

    __slots__ = ("_columns", "ids", "values")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.values: list[Sequence[Any]] = []
        self._columns: dict[str, Sequence[Any]] | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Columns:
        """Raises AttributeError where an id is none."""
        made = cls()
        for entry in entries:
            made.add(entry.id.int, entry.values())
        return made

    def add(self, id: int, values: Sequence[Any]) -> None:
        self.ids.append(id)
        self.values.append(values)
        self._columns = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Sequence[Any]:
        if self._columns is None:
            by_place = zip(*self.values, strict=True) if self.values else ((),) * len(FIELDS)
            self._columns = dict(zip(FIELDS, by_place, strict=True))
        return self._columns[name]

    def replace(self, name: str, column: Sequence[Any]) -> None:
        """From now on a column reads so; ``values`` and ``entries`` stay as they are."""
        if len(column) != len(self[name]):
            raise ValueError("A column has one value for each entry.")
        assert self._columns is not None
        self._columns[name] = column

    @property
    def entries(self) -> list[Entry]:
        """Made anew by each call."""
        return [with_id(number, values) for number, values in zip(self.ids, self.values, strict=True)]
