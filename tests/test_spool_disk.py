"""A spool on a disk that is full, read-only or broken, and afterwards."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tenants.spool import recover
from tenants.spool_owners import SpoolUnavailable, claim, owners
from tenants.spool_reader import Position, read
from tenants.spool_segment import path_of, segments
from tests.spool_entries import BOUNDS, die, left, numbered, opened, rows
from tests.spool_faults import Faulty, install


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    return install(monkeypatch)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EFBIG, "the disk is full"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "the disk fails"),
        (errno.ESTALE, os.strerror(errno.ESTALE).lower()),
    ],
)
def test_a_failing_disk_refuses_intents_keeps_settlements_and_is_tried_again(
    number: int, reason: str, tmp_path: Path, faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path)
    for each in (1, 2, 3):
        spool.intend(numbered(each), BOUNDS)
    faulty.errors = {"write": number}
    for each in (10, 11):
        with pytest.raises(SpoolUnavailable) as caught:
            spool.intend(numbered(each), BOUNDS)
        assert caught.value.reason == spool.failing == spool.refusing == reason
    spool.settle(numbered(1))
    spool.checkpoint(numbered(2, output_tokens=5))
    spool.settle(numbered(20, status=503))  # the refusal has a row of its own
    assert not spool.flush() and rows(tmp_path, spool) == [] and spool.unsettled == 2
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    faulty.heal()
    assert spool.flush() and spool.failing == "" and rows(tmp_path, spool) == [1, 20]
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "WARNING"]
    spool.intend(numbered(30), BOUNDS)
    assert left(tmp_path, spool) == [2, 3, 30]


def test_an_intent_is_enough_to_go_on(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    faulty.errors = {"write": errno.ENOSPC}
    spool.settle(numbered(1))
    faulty.heal()
    spool.intend(numbered(2), BOUNDS)
    assert rows(tmp_path, spool) == [1] and left(tmp_path, spool) == [2]


def test_what_waited_comes_first(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path)
    for number in (1, 2, 3):
        spool.settle(numbered(number))
        faulty.errors = {"write": errno.ENOSPC} if number == 1 else {}
    assert rows(tmp_path, spool) == [1, 2, 3]


def test_a_failing_disk_is_not_tried_all_the_time(
    tmp_path: Path, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.spool._RETRY", 3_600)
    spool = opened(tmp_path)
    spool.settle(numbered(1))
    faulty.errors = {"write": errno.ENOSPC}
    tried = len(faulty.calls)
    for number in range(100):
        with pytest.raises(SpoolUnavailable, match="disk is full"):
            spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
    assert len(faulty.calls) == tried + 1
    faulty.heal()
    spool.close()  # the last try
    assert len(rows(tmp_path, spool)) == 101


def test_a_short_write_leaves_nothing_of_itself(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    path = path_of(spool.held.directory, 1)
    whole = path.read_bytes()
    for room in range(1, 150, 7):
        faulty.errors, faulty.room = {"write": errno.ENOSPC}, room
        with pytest.raises(SpoolUnavailable):
            spool.intend(numbered(2), BOUNDS)
        assert path.read_bytes() == whole
    faulty.heal()
    spool.settle(numbered(1))
    assert segments(spool.held.directory) == [1]
    assert rows(tmp_path, spool) == [1] and left(tmp_path, spool) == []


def test_a_short_write_that_goes_on_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = install(monkeypatch)
    real = os.write
    monkeypatch.setattr(faulty, "write", lambda fd, data: real(fd, data[:50]), raising=False)
    spool = opened(tmp_path)
    for number in range(1, 40):
        spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
    assert rows(tmp_path, spool) == list(range(1, 40))


def test_what_cannot_even_be_cut_off_is_left_behind_and_declared_void(
    tmp_path: Path, faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    faulty.errors = {"write": errno.EIO, "ftruncate": errno.EIO}
    faulty.room = 10
    with pytest.raises(SpoolUnavailable, match="the disk fails"):
        spool.intend(numbered(2), BOUNDS)
    with pytest.raises(SpoolUnavailable, match="the disk fails"):
        spool.intend(numbered(1), {9: 9})  # more for a request that has been dispatched
    faulty.heal()
    spool.settle(numbered(3))
    assert segments(spool.held.directory) == [1, 2]
    caplog.clear()
    assert rows(tmp_path, spool) == [3] and [record.message for record in caplog.records] == ["a spool is damaged"]
    die(spool)
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None
    assert [(intent.entry.id.int, intent.bounds) for intent in recovered.interrupted] == [(1, BOUNDS)]


def test_a_spool_that_is_closed_with_its_disk_full_is_recovered(
    tmp_path: Path, faulty: Faulty, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    faulty.errors = {"write": errno.ENOSPC}
    spool.settle(numbered(1))
    spool.close()
    assert caplog.records[-1].levelname == "CRITICAL"
    faulty.heal()
    recovered = recover(tmp_path, spool.held.owner)
    assert recovered is not None and [intent.entry.id.int for intent in recovered.interrupted] == [1]


def test_refusals_do_not_fill_the_memory(tmp_path: Path, faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.spool._MOST_WAITING", 10_000)
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    faulty.errors = {"write": errno.ENOSPC}
    for number in range(100, 200):
        spool.settle(numbered(number, status=503))
    spool.settle(numbered(1))  # this one was dispatched
    faulty.heal()
    assert spool.flush()
    kept = rows(tmp_path, spool)
    assert kept[-1] == 1 and kept[:-1] == list(range(100, 99 + len(kept))) and spool.lost == 101 - len(kept) > 30


def test_a_process_without_descriptors_goes_on_in_the_segment_that_it_has(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path)
    spool.settle(numbered(0))
    faulty.errors = {"open": errno.EMFILE}
    for number in range(1, 50):
        spool.intend(numbered(number), BOUNDS)
        spool.settle(numbered(number))
    assert segments(spool.held.directory) == [1] and spool.failing == ""
    faulty.heal()
    spool.settle(numbered(50))
    assert segments(spool.held.directory) == [1, 2] and rows(tmp_path, spool) == list(range(51))


def test_a_directory_that_somebody_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.spool._RETRY", 0)
    spool = opened(tmp_path)
    spool.settle(numbered(1))
    shutil.rmtree(tmp_path)
    with pytest.raises(SpoolUnavailable, match="its directory is gone"):
        for number in range(100):
            spool.intend(numbered(number), BOUNDS)
    assert owners(tmp_path) == [] and read(tmp_path, Position(spool.held.owner)).entries == []


def test_a_place_where_no_directory_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnavailable, match="not a directory"):
        claim(tmp_path / "file" / "spool")
    claim(tmp_path / "spool", "worker-1")
    with pytest.raises(SpoolUnavailable, match="exists already"):
        claim(tmp_path / "spool", "worker-1")
    with pytest.raises(ValueError, match="not the name of a directory"):
        claim(tmp_path / "spool", "../worker")
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["worker-1"]
