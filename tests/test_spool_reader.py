"""What a drain and a recovery make of damaged segments and of positions from other times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenants.spool import recover
from tenants.spool_owners import owners
from tenants.spool_reader import Position, acknowledge, read
from tenants.spool_segment import following, path_of, segments
from tests.spool_entries import BOUNDS, Drained, die, fill, ids, numbered, opened


def test_acknowledging_is_harmless_at_any_time(tmp_path: Path) -> None:
    spool = fill(tmp_path, 100)
    position = Position(spool.held.owner)
    acknowledge(tmp_path, position)
    acknowledge(tmp_path, Position("nobody", 5))
    batch = read(tmp_path, position, 50)
    acknowledge(tmp_path, batch.position)
    acknowledge(tmp_path, batch.position)
    acknowledge(tmp_path, position)
    rest = read(tmp_path, position)  # a drain that knows nothing goes on where there is something
    assert ids(rest)[-50:] == list(range(50, 100))
    acknowledge(tmp_path, Position(spool.held.owner, 10**6))  # of a database that is newer than the spool
    assert len(segments(spool.held.directory)) == 1
    spool.settle(numbered(100))
    assert ids(read(tmp_path, batch.position))[-1] == 100


def test_a_listing_may_miss_what_is_made_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = fill(tmp_path, 60)
    directory = spool.held.directory
    first, missed, *later = segments(directory)
    assert later
    hidden = path_of(directory, missed).rename(directory / "not yet there")

    def listing(directory: Path) -> list[int]:
        if hidden.exists():
            hidden.rename(path_of(directory, missed))
        return [first, *later]

    monkeypatch.setattr("tenants.spool_segment.segments", listing)
    assert ids(read(tmp_path, Position(spool.held.owner, first))) == list(range(60))
    path_of(directory, missed).unlink()  # another drain has read it
    assert following(directory, first) == later[0] and following(directory, later[-1]) is None


def test_a_drain_that_has_read_what_a_loss_of_power_took(tmp_path: Path) -> None:
    spool, drained = fill(tmp_path, 60), Drained()
    spool.intend(numbered(70), BOUNDS)
    kept = path_of(spool.held.directory, max(segments(spool.held.directory)))
    data = kept.read_bytes()
    while max(segments(spool.held.directory)) == int(kept.stem):
        spool.settle(numbered(60))
    drained.drain(tmp_path)
    die(spool)
    path_of(spool.held.directory, int(kept.stem) + 1).unlink()
    kept.write_bytes(data)
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None
    recovered.settle(numbered(70))
    recovered.settle(numbered(71))
    recovered.close()
    drained.drain(tmp_path)
    assert sorted(drained.order) == [*range(61), 70, 71] and owners(tmp_path) == []


def test_a_torn_tail_is_cut_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = fill(tmp_path, 3)
    spool.intend(numbered(9), BOUNDS)
    die(spool)
    path = path_of(spool.held.directory, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-300:-1])
    drained = Drained()
    drained.drain(tmp_path)
    assert drained.order == [0, 1, 2] and caplog.records == []  # the rest might still be written
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None and [intent.entry.id.int for intent in recovered.interrupted] == [9]
    assert [record.levelname for record in caplog.records] == ["ERROR"] and path.read_bytes() == whole
    assert (caplog.records[0].__dict__["offset"], caplog.records[0].__dict__["bytes_lost"]) == (len(whole), 299)
    recovered.settle(numbered(9))
    recovered.close()
    drained.drain(tmp_path)
    assert drained.order == [0, 1, 2, 9] and len(caplog.records) == 1 and owners(tmp_path) == []


def test_damage_within_a_segment_is_told_and_passed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = fill(tmp_path, 60)
    path = path_of(spool.held.directory, 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    batch = read(tmp_path, Position(spool.held.owner))
    missing = set(range(60)) - set(ids(batch))
    assert len(missing) <= 1 and ids(batch) == sorted(ids(batch)) and ids(batch)[-1] == 59
    assert [record.message for record in caplog.records] == ["a spool is damaged"]


def test_a_record_longer_than_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.spool_reader._CHUNK", 100)
    spool = opened(tmp_path)
    for number in range(30):
        spool.settle(numbered(number, decision="x" * 50 * number))
    assert ids(read(tmp_path, Position(spool.held.owner))) == list(range(30))
    path = path_of(spool.held.directory, max(segments(spool.held.directory)))
    os.truncate(path, path.stat().st_size - 1)
    assert ids(read(tmp_path, Position(spool.held.owner))) == list(range(29))
