"""The spool of a living process, and what others may do with it meanwhile."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tenants import spool as spools
from tenants.spool import recover
from tenants.spool_owners import Held, SpoolUnavailable, dead, hold, orphans, owners
from tenants.spool_reader import Position, backlog, read, retire
from tenants.spool_segment import path_of, segments
from tests.spool_entries import BOUNDS, SMALL, Drained, die, fill, ids, numbered, opened, values
from tests.spool_faults import tear


def test_settled_entries_are_read_in_their_order_while_the_owner_writes(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    position = Position(spool.held.owner)
    assert read(tmp_path, position).entries == []
    spool.intend(numbered(1, model="m"), BOUNDS)
    spool.intend(numbered(2), BOUNDS)
    batch = read(tmp_path, position)
    assert batch.entries == [] and spool.unsettled == 2
    spool.settle(numbered(2))
    spool.settle(numbered(3, status=401))  # was never dispatched
    spool.settle(numbered(1, model="m", cost=5))
    later = read(tmp_path, batch.position)
    assert ids(later) == [2, 3, 1] and values(later.entries[2]) == values(numbered(1, model="m", cost=5))
    assert read(tmp_path, later.position).entries == [] and spool.unsettled == 0
    assert ids(read(tmp_path, position, 2)) == [2, 3]
    assert ids(read(tmp_path, read(tmp_path, position, 2).position)) == [1]


def test_an_intent_and_a_settlement_are_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    before = path_of(spool.held.directory, 1).stat().st_size
    spool.settle(numbered(1))
    assert 0 < before < path_of(spool.held.directory, 1).stat().st_size == spool.used


def test_full_segments_get_successors_and_drained_ones_are_unlinked(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    drained = Drained()
    for number in range(200):
        spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
    directory = spool.held.directory
    numbers = segments(directory)
    assert len(numbers) > 10 and max(path_of(directory, number).stat().st_size for number in numbers) <= SMALL
    assert backlog(tmp_path, [Position(spool.held.owner)]) == spool.used
    drained.drain(tmp_path, limit=7)
    assert drained.order == list(range(200))
    assert segments(directory) == numbers[-1:]  # the one that is written to stays
    assert backlog(tmp_path, list(drained.positions.values())) == 0


def test_what_is_open_is_carried_and_survives_the_unlinking_of_its_segment(tmp_path: Path) -> None:
    spool, drained = opened(tmp_path), Drained()
    spool.intend(numbered(1, model="long"), BOUNDS, 4)
    spool.intend(numbered(2, model="unmarked"), BOUNDS)
    spool.checkpoint(numbered(2, output_tokens=7))
    spool.intend(numbered(2, model="again"), {9: 9}, "v2")
    spool.checkpoint(numbered(1, model="long", output_tokens=10))
    spool.checkpoint(numbered(1, model="long", output_tokens=20))
    spool.checkpoint(numbered(77, output_tokens=5))  # nobody knows it
    for number in range(100, 200):
        spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
        drained.drain(tmp_path)
    assert min(segments(spool.held.directory)) > 3
    die(spool)
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None
    first, second = recovered.interrupted
    assert (first.entry.output_tokens, first.bounds, first.price_version) == (20, BOUNDS, 4) and first.checkpointed
    assert (second.entry.model, second.bounds, second.price_version) == ("again", {9: 9}, "v2")
    assert not second.checkpointed


def test_many_open_requests_do_not_make_every_record_a_segment(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(200):
        spool.intend(numbered(number), BOUNDS)
    before = max(segments(spool.held.directory))
    for number in range(200, 400):
        spool.settle(numbered(number))
    assert max(segments(spool.held.directory)) - before <= 2
    assert spool.used < 20 * os.path.getsize(path_of(spool.held.directory, before))


def test_recovery_gives_what_is_open_until_it_is_settled(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(1, 6):
        spool.intend(numbered(number), BOUNDS)
    spool.settle(numbered(3))
    assert recover(tmp_path, spool.held.owner) is None and not dead(tmp_path, spool.held.owner)
    die(spool)
    owner = spool.held.owner
    assert orphans(tmp_path) == [owner] and dead(tmp_path, owner)

    for left in ([1, 2, 4, 5], [4, 5], [4, 5]):
        recovered = recover(tmp_path, owner)
        assert recovered is not None and recover(tmp_path, owner) is None
        assert [intent.entry.id.int for intent in recovered.interrupted] == left
        for intent in recovered.interrupted:
            if intent.entry.id.int < 4:
                recovered.settle(intent.entry)
        die(recovered)
    recovered = recover(tmp_path, owner)
    assert recovered is not None
    for intent in recovered.interrupted:
        recovered.settle(intent.entry)
    recovered.close()
    assert orphans(tmp_path) == [] and owners(tmp_path) == [owner]  # what it holds waits for the drain

    drained = Drained()
    drained.drain(tmp_path)
    assert drained.order == [3, 1, 2, 4, 5] and owners(tmp_path) == []
    assert recover(tmp_path, owner) is None


def test_recovery_while_a_drain_unlinks_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(500), BOUNDS)
    spool.intend(numbered(501), BOUNDS)
    first = max(segments(spool.held.directory))
    while max(segments(spool.held.directory)) == first:
        spool.settle(numbered(1))
    spool.settle(numbered(500))  # where it was intended it looks open
    while max(segments(spool.held.directory)) == first + 1:
        spool.settle(numbered(1))
    die(spool)
    real = Path.read_bytes

    def slow(path: Path) -> bytes:
        data = real(path)
        Drained().drain(tmp_path)
        return data

    monkeypatch.setattr(Path, "read_bytes", slow)
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None and [intent.entry.id.int for intent in recovered.interrupted] == [501]


def test_a_recovered_spool_that_is_closed_again_has_nothing_open(tmp_path: Path) -> None:
    spool = fill(tmp_path, 3)
    spool.close()
    spool.close()
    assert orphans(tmp_path) == [] and dead(tmp_path, spool.held.owner)
    again = recover(tmp_path, spool.held.owner)
    assert again is not None and again.interrupted == []
    again.intend(numbered(50), BOUNDS)  # it may be gone on with, and then counts as open
    die(again)
    assert orphans(tmp_path) == [spool.held.owner]


def test_only_what_is_over_and_read_is_retired(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    owner, end = spool.held.owner, read(tmp_path, Position(spool.held.owner)).position
    assert not retire(tmp_path, end)  # it lives
    spool.close()
    assert not retire(tmp_path, end)  # something is open
    recovered = recover(tmp_path, owner)
    assert recovered is not None
    recovered.settle(recovered.interrupted[0].entry)
    assert not retire(tmp_path, end)  # somebody holds it
    recovered.close()
    assert not retire(tmp_path, end)  # there is an entry to be read
    end = read(tmp_path, end).position
    last = path_of(spool.held.directory, max(segments(spool.held.directory)))
    tear(last, b"what is this?")
    assert not retire(tmp_path, end)  # there is something that nobody has read
    os.truncate(last, end.offset)
    held = hold(tmp_path, owner)
    assert held is not None and not retire(tmp_path, end)
    held.release()
    assert not retire(tmp_path, replace(end, offset=end.offset - 1))
    assert retire(tmp_path, end) and not retire(tmp_path, end) and list(tmp_path.iterdir()) == []


def test_an_owner_that_comes_back_to_life_meanwhile_is_not_retired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = fill(tmp_path, 1)
    spool.close()
    end = read(tmp_path, Position(spool.held.owner)).position

    def late(root: Path, owner: str) -> Held | None:
        again = recover(root, owner)
        assert again is not None
        again.intend(numbered(5), BOUNDS)
        die(again)
        return hold(root, owner)

    monkeypatch.setattr("tenants.spool_reader.hold", late)
    assert not retire(tmp_path, end) and orphans(tmp_path) == [spool.held.owner]


def test_beyond_the_cap_intents_are_refused_and_settlements_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spools, "_RETRY", 0)
    other = opened(tmp_path)
    spool = opened(tmp_path, cap=40_000)
    number = 0
    with pytest.raises(SpoolUnavailable, match="it is full"):
        for number in range(1_000):
            spool.intend(numbered(number), BOUNDS)
    with pytest.raises(SpoolUnavailable):
        spool.intend(numbered(number), BOUNDS)
    assert 10 < number < 999 and spool.unsettled == number and spool.full and spool.refusing == "it is full"
    assert spool.used >= 40_000 and [record.levelname for record in caplog.records] == ["CRITICAL"]
    for settled in range(number):
        spool.settle(numbered(settled))
    assert spool.full
    drained = Drained()
    drained.drain(tmp_path)
    assert drained.order == list(range(number)) and not spool.full and spool.refusing == ""
    spool.intend(numbered(number), BOUNDS)
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "WARNING"]
    other.close()


def test_the_cap_is_of_all_owners_together(tmp_path: Path) -> None:
    spool = fill(tmp_path, 100)
    spool.close()
    with pytest.raises(SpoolUnavailable, match="full"):
        opened(tmp_path, cap=spool.used).intend(numbered(1), BOUNDS)


def test_a_closed_spool_takes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    spool.close()
    with pytest.raises(SpoolUnavailable, match="closed"):
        spool.intend(numbered(2), BOUNDS)
    spool.checkpoint(numbered(1))
    spool.settle(numbered(1))
    assert spool.lost == 1 and [record.levelno for record in caplog.records] == [logging.CRITICAL]
    recovered = recover(tmp_path, spool.held.owner)  # it counts as interrupted
    assert recovered is not None and [intent.entry.id.int for intent in recovered.interrupted] == [1]


def test_threads_share_a_spool(tmp_path: Path) -> None:
    spool = opened(tmp_path)

    def work(first: int) -> None:
        for number in range(first, first + 300):
            spool.intend(numbered(number), BOUNDS)
            spool.checkpoint(numbered(number))
            spool.settle(numbered(number))

    threads = [threading.Thread(target=work, args=(1_000 * each,)) for each in range(4)]
    drained = Drained()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drained.drain(tmp_path, limit=50)
    drained.drain(tmp_path)
    assert len(drained.order) == 1_200 and spool.unsettled == 0
    for each in range(4):
        mine = [number for number in drained.order if number // 1_000 == each]
        assert mine == sorted(mine)
