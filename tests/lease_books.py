"""Two stores of leases for tests: what ``tenants.lease_store`` promises, written anew in plain Python, and itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from django.db import connection

from tenants import lease_store
from tenants.labels import apart, read_label
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseWindow
from tenants.lease_statements import shortages
from tenants.leases import Ask, Grant, Key


class Books(Protocol):
    """``now`` is seconds by the wall clock."""

    def define(self, counter: str, cap: int, seconds: int = 0) -> None: ...
    def exchange(self, owner: str, asks: Sequence[Ask], now: float) -> list[Grant]: ...
    def settle(self, owner: str, charges: Iterable[tuple[str, int]], sequence: int, now: float) -> None: ...
    def end(self, owner: str, quiet: float, now: float) -> int: ...
    def shortages(self, owner: str, now: float) -> list[Key]: ...
    def state(self, world: str) -> State:
        """Of all whose names begin with ``world``."""


class State(NamedTuple):
    """What is granted and spent by window, and what is granted by owner and lease."""

    windows: dict[Key, tuple[int, int]]
    held: dict[tuple[str, int], int]


@dataclass
class Row:
    granted: int = 0
    settled: int = 0
    closed: bool = False

    @property
    def left(self) -> int:
        return max(0, self.granted - self.settled)


@dataclass
class MemoryBooks:
    divisor: int = 8
    caps: dict[str, tuple[int, int]] = field(default_factory=dict)
    granted: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    spent: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    short: dict[Key, float] = field(default_factory=dict)
    rows: dict[tuple[str, int], tuple[Key, Row]] = field(default_factory=dict)
    exchanged: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    through: defaultdict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    ended: set[str] = field(default_factory=set)

    def define(self, counter: str, cap: int, seconds: int = 0) -> None:
        self.caps[counter] = (cap, seconds)

    def exchange(self, owner: str, asks: Sequence[Ask], now: float) -> list[Grant]:
        if owner in self.ended:
            raise lease_store.OwnerEnded(owner)
        last = max(ask.sequence for ask in asks)
        if last <= self.exchanged[owner]:
            return []
        self.exchanged[owner] = last
        grants = []
        for ask in sorted(asks, key=lambda ask: (ask.counter, ask.subject, ask.start)):
            key = (ask.counter, ask.subject, ask.start)
            if ask.last and (owner, ask.number) not in self.rows:
                grants.append(Grant(ask.number, ask.sequence, 0, 0, 0))
            else:
                grants.append(self._exchange(key, self.rows.setdefault((owner, ask.number), (key, Row()))[1], ask, now))
        self._tidy()
        return grants

    def _exchange(self, key: Key, row: Row, ask: Ask, now: float) -> Grant:
        before = row.left
        # Give back first: what has been charged beyond what is kept is nobody's to give.
        row.granted = max(ask.keep, row.settled)
        self.granted[key] += row.left - before
        missing = ask.keep - row.granted
        pool = self.caps[key[0]][0] - self.granted[key] - self.spent[key]
        least, need, want = (max(0, amount + missing) for amount in (ask.least, ask.need, ask.want))
        given = min(pool, max(need, min(want, pool // self.divisor))) if pool >= least else 0
        if pool < least:
            self.short[key] = now + 2
        row.granted += given
        self.granted[key] += given
        row.closed = ask.last
        others = self.granted[key] - row.left
        return Grant(ask.number, ask.sequence, row.granted, max(0, pool - given), max(0, others), given >= least)

    def settle(self, owner: str, charges: Iterable[tuple[str, int]], sequence: int, now: float) -> None:
        if sequence <= self.through[owner]:
            return
        self.through[owner] = sequence
        for text, amount in apart(charges):
            label = read_label(text)
            key, row = self.rows.get((owner, label.number), ((label.counter, label.subject, label.start), Row()))
            before = row.left
            row.settled += amount
            self.granted[key] += row.left - before
            self.spent[key] += amount
        self._tidy()

    def _tidy(self) -> None:
        self.rows = {name: (key, row) for name, (key, row) in self.rows.items() if row.left or not row.closed}

    def end(self, owner: str, quiet: float, now: float) -> int:
        self.ended.add(owner)
        mine = {name: row for name, row in self.rows.items() if name[0] == owner}
        for name, (key, row) in mine.items():
            if self.caps[key[0]][1] <= quiet:
                self.granted[key] -= row.left
                del self.rows[name]
        return sum(name in self.rows for name in mine)

    def shortages(self, owner: str, now: float) -> list[Key]:
        held = {key for name, (key, row) in self.rows.items() if name[0] == owner and not row.closed}
        return [key for key in held if self.short.get(key, 0) > now]

    def state(self, world: str) -> State:
        windows = {key: (self.granted[key], self.spent[key]) for key in self.granted.keys() | self.spent.keys()}
        return State(windows, {name: row.granted for name, (_, row) in self.rows.items()})


@dataclass
class DatabaseBooks:
    workers: int = 4

    def define(self, counter: str, cap: int, seconds: int = 0) -> None:
        LeaseCounter.objects.update_or_create(name=counter, defaults={"cap": cap, "seconds": seconds})

    def exchange(self, owner: str, asks: Sequence[Ask], now: float) -> list[Grant]:
        return lease_store.exchange(connection, owner, asks, _at(now), self.workers)

    def settle(self, owner: str, charges: Iterable[tuple[str, int]], sequence: int, now: float) -> None:
        lease_store.settle(connection, owner, charges, sequence, _at(now))

    def end(self, owner: str, quiet: float, now: float) -> int:
        return lease_store.end(connection, owner, _at(now), quiet=quiet)

    def shortages(self, owner: str, now: float) -> list[Key]:
        return shortages(connection, owner, _at(now))

    def state(self, world: str) -> State:
        windows = LeaseWindow.objects.filter(counter__startswith=world)
        held = HeldLease.objects.filter(owner__startswith=world)
        return State(
            {(row.counter, row.subject, row.start): (row.granted, row.spent) for row in windows},
            {(row.owner, row.number): row.granted for row in held},
        )


def _at(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
