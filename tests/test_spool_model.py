"""Writers, drains and recoveries in any order, with deaths, torn writes and failing disks between, against a model."""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenants.spool import Spool, recover
from tenants.spool_owners import SpoolUnavailable, orphans, owners, tidy
from tenants.spool_reader import Batch, acknowledge, read, retire
from tenants.spool_records import write_checkpoint, write_settlement
from tenants.spool_segment import path_of, segments
from tests.spool_entries import BOUNDS, Drained, die, numbered, opened, values
from tests.spool_faults import Faulty, install, tear

MOST_OWNERS = 4
FORGED = write_settlement(numbered(10**9, model="never written"))


@dataclass
class Owner:
    """What one owner's directory should hold. ``open`` maps requests to the tokens they had at their last checkpoint;
    ``waiting`` was settled while the disk took nothing."""

    spool: Spool
    alive: bool = True
    open: dict[int, int] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    waiting: dict[int, int | None] = field(default_factory=dict)

    def look(self) -> None:
        """What waited is in the file once nothing waits."""
        if self.waiting and not self.spool._waiting:
            self.settled += self.waiting
            self.waiting.clear()

    def died(self) -> None:
        self.alive = False
        self.open |= {number: tokens for number, tokens in self.waiting.items() if tokens is not None}
        self.waiting.clear()


class Machine(RuleBasedStateMachine):
    faulty: Faulty

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.faulty.heal()
        self.owners: dict[str, Owner] = {}
        self.entries: dict[int, Any] = {}
        self.drained = Drained()
        self.read: list[Batch] = []
        self.number = 0

    def _living(self, data: Any) -> Owner:
        living = [owner for owner in self.owners.values() if owner.alive]
        return data.draw(st.sampled_from(living)) if living else self._start()

    def _start(self) -> Owner:
        spool = opened(self.root, segment_bytes=2_000)
        owner = self.owners[spool.held.owner] = Owner(spool)
        return owner

    def _settle(self, owner: Owner, number: int) -> None:
        tokens = owner.open.pop(number, None)
        self.entries[number] = numbered(number, output_tokens=tokens or 0, cost=number, model="m" * (number % 90))
        owner.spool.settle(self.entries[number])
        if owner.spool._waiting:
            owner.waiting[number] = tokens
        else:
            owner.look()
            owner.settled.append(number)

    @precondition(lambda self: sum(owner.alive for owner in self.owners.values()) < MOST_OWNERS)
    @rule()
    def start(self) -> None:
        self._start()

    @rule(data=st.data(), size=st.integers(0, 300))
    def intend(self, data: Any, size: int) -> None:
        owner = self._living(data)
        self.number += 1
        try:
            owner.spool.intend(numbered(self.number, model="m" * size), BOUNDS, self.number)
        except SpoolUnavailable:
            assert self.faulty.errors
        else:
            owner.open[self.number] = 0
            owner.look()

    @rule(data=st.data())
    def checkpoint(self, data: Any) -> None:
        owner = self._living(data)
        if owner.open:
            number = data.draw(st.sampled_from(sorted(owner.open)))
            entry = numbered(number, output_tokens=owner.open[number] + 5)
            owner.spool.checkpoint(entry)
            if owner.spool._marks.get(number) == write_checkpoint(entry):
                owner.open[number] += 5
            owner.look()

    @rule(data=st.data(), many=st.integers(1, 6))
    def settle(self, data: Any, many: int) -> None:
        owner = self._living(data)
        for _ in range(min(many, len(owner.open))):
            self._settle(owner, data.draw(st.sampled_from(sorted(owner.open))))

    @rule(data=st.data())
    def settle_what_was_never_dispatched(self, data: Any) -> None:
        self.number += 1
        self._settle(self._living(data), self.number)

    @rule(room=st.none() | st.integers(0, 400), error=st.sampled_from([errno.ENOSPC, errno.EROFS, errno.EIO]))
    def fail(self, room: int | None, error: int) -> None:
        self.faulty.errors, self.faulty.room = {"write": error}, room

    @rule(data=st.data())
    def heal(self, data: Any) -> None:
        self.faulty.heal()
        owner = self._living(data)
        assert owner.spool.flush()
        owner.look()

    @rule(data=st.data(), tail=st.binary(max_size=60) | st.sampled_from([FORGED[:-1], FORGED[:30], bytes(500)]))
    def kill(self, data: Any, tail: bytes) -> None:
        owner = self._living(data)
        die(owner.spool)
        owner.died()
        numbers = segments(owner.spool.held.directory)
        if numbers:
            tear(path_of(owner.spool.held.directory, numbers[-1]), tail)
            (owner.spool.held.directory / f"{numbers[-1] + 1:08d}.new").write_bytes(FORGED)

    @rule(data=st.data())
    def close(self, data: Any) -> None:
        owner = self._living(data)
        if not self.faulty.errors:
            owner.spool.close()
            owner.look()
            owner.alive = False

    @rule(data=st.data(), settled=st.integers(0, 20), closed=st.booleans())
    def recover(self, data: Any, settled: int, closed: bool) -> None:
        dead = [owner for owner in self.owners.values() if not owner.alive]
        if not dead or self.faulty.errors:
            return
        owner = data.draw(st.sampled_from(dead))
        recovered = recover(self.root, owner.spool.held.owner, segment_bytes=2_000)
        if recovered is None:
            assert not owner.open and not (self.root / owner.spool.held.owner).exists()
            return
        left = {intent.entry.id.int: intent for intent in recovered.interrupted}
        assert {number: intent.entry.output_tokens for number, intent in left.items()} == owner.open
        assert all(intent.bounds == BOUNDS and intent.price_version == number for number, intent in left.items())
        owner.spool = recovered
        for number in list(left)[:settled]:
            self._settle(owner, number)
        (recovered.close if closed else lambda: die(recovered))()

    @rule(data=st.data(), limit=st.integers(1, 10))
    def read_a_batch(self, data: Any, limit: int) -> None:
        if self.owners:
            owner = data.draw(st.sampled_from(sorted(self.owners)))
            self.read.append(read(self.root, self.drained.position(owner), limit))

    @rule(data=st.data(), repeated=st.booleans())
    def commit_a_batch(self, data: Any, repeated: bool) -> None:
        """Any that was read, also one that another drain has overtaken, also twice."""
        if self.read:
            batch = data.draw(st.sampled_from(self.read))
            self.drained.commit(batch.entries, batch.position)
            if not repeated:
                self.read.remove(batch)

    @rule(data=st.data())
    def acknowledge(self, data: Any) -> None:
        if self.drained.positions:
            acknowledge(self.root, data.draw(st.sampled_from(list(self.drained.positions.values()))))

    @rule()
    def retire(self) -> None:
        for owner in owners(self.root):
            if retire(self.root, self.drained.position(owner)):
                assert not self.owners[owner].open and set(self.owners[owner].settled) <= set(self.drained.rows)
        tidy(self.root)

    @invariant()
    def nothing_was_made_up(self) -> None:
        for number in self.drained.order:
            assert values(self.drained.rows[number]) == values(self.entries[number])

    @invariant()
    def the_dead_are_known(self) -> None:
        alive = {name for name, owner in self.owners.items() if owner.alive}
        assert not alive & set(orphans(self.root)) and alive <= set(owners(self.root))
        unsettled = {name for name, owner in self.owners.items() if owner.open and not owner.alive}
        assert unsettled <= set(orphans(self.root))

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            for owner in self.owners.values():
                die(owner.spool)
            shutil.rmtree(self.root)

    def _end(self) -> None:
        self.faulty.heal()
        for owner in self.owners.values():
            if owner.alive:
                die(owner.spool)
                owner.died()
        for name in orphans(self.root):
            recovered = recover(self.root, name)
            assert recovered is not None
            owner = self.owners[name]
            owner.spool = recovered
            assert {intent.entry.id.int for intent in recovered.interrupted} == set(owner.open)
            for number in list(owner.open):
                self._settle(owner, number)
            recovered.close()
        self.drained.drain(self.root, limit=7)
        assert list(self.root.iterdir()) == [] and not any(owner.open for owner in self.owners.values())
        for owner in self.owners.values():
            mine = set(owner.settled)
            assert [number for number in self.drained.order if number in mine] == owner.settled
        assert len(self.drained.order) == sum(len(owner.settled) for owner in self.owners.values())


def test_any_order_of_events_keeps_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logging.disable(logging.CRITICAL)
    Machine.faulty = install(monkeypatch)
    try:
        state = Machine.TestCase
        state.settings = settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        state("runTest").runTest()
    finally:
        logging.disable(logging.NOTSET)
