"""A spool that outlives the loss of power."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest

from tenants.spool_owners import SpoolUnavailable
from tenants.spool_segment import segments
from tests.spool_entries import BOUNDS, Drained, left, numbered, opened, rows
from tests.spool_faults import Faulty, install


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    return install(monkeypatch)


def test_with_fsync_an_intent_is_on_the_disk_before_it_is_dispatched(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path, fsync=True)
    for number in range(1, 40):
        faulty.calls.clear()
        spool.intend(numbered(number), BOUNDS)
        assert faulty.calls[-1] in ("fdatasync", "fsync") and "write" in faulty.calls
        faulty.calls.clear()
        spool.settle(numbered(number))
        assert "fdatasync" not in faulty.calls or "open" in faulty.calls  # only a new segment is synced
    assert len(segments(spool.held.directory)) > 2
    spool.close()
    drained = Drained()
    drained.drain(tmp_path)
    assert drained.order == list(range(1, 40))


@pytest.mark.parametrize("function", ["fdatasync", "fsync"])
def test_what_could_not_be_synced_is_refused_and_void(function: str, tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path, fsync=True)
    spool.intend(numbered(1), BOUNDS)
    number = 2
    faulty.errors = {function: errno.EIO}
    with pytest.raises(SpoolUnavailable, match="the disk fails"):
        for number in range(2, 100):
            spool.intend(numbered(number), BOUNDS)
    with pytest.raises(SpoolUnavailable, match="the disk fails"):
        spool.intend(numbered(500), BOUNDS)
    spool.settle(numbered(1))
    faulty.heal()
    before = max(segments(spool.held.directory))
    spool.intend(numbered(600), BOUNDS)
    assert max(segments(spool.held.directory)) > before
    assert rows(tmp_path, spool)[:1] == [1]
    assert left(tmp_path, spool) == [*range(2, number), 600]


def test_threads_that_wait_for_the_disk_share_a_wait(tmp_path: Path, faulty: Faulty) -> None:
    spool = opened(tmp_path, fsync=True, segment_bytes=1 << 20)
    spool.intend(numbered(0), BOUNDS)
    begun, go_on, syncs = threading.Event(), threading.Event(), []

    def slow(fd: int) -> None:
        syncs.append(fd)
        begun.set()
        assert go_on.wait(30)

    faulty.fdatasync = slow  # type: ignore[attr-defined]
    threads = [threading.Thread(target=spool.intend, args=(numbered(each), BOUNDS)) for each in range(1, 9)]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while spool.unsettled < 9:
        time.sleep(0)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(syncs) == 2
