"""The ledger over a spool: what it refuses, what it keeps in memory, and that nothing of it is lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tenants import drain_status
from tenants.drain_status import Status
from tenants.ledger import Entry
from tenants.spool_owners import SpoolUnavailable, owners
from tenants.spool_reader import Position, read
from tenants.spooled import DatabaseAway, SpooledLedger

BOUNDS = {"1/0/b1.1/": 500}


def spooled_ids(root: Path) -> list[Any]:
    return [entry.id for owner in owners(root) for entry in read(root, Position(owner), 10_000).entries]


def full(root: Path, **options: Any) -> SpooledLedger:
    """One whose spool takes no intent any more."""
    ledger = SpooledLedger(root, options={"cap": 1}, **options)
    ledger.record(Entry())
    ledger.record(Entry())
    assert ledger.refusing == "it is full"
    return ledger


def test_a_request_from_its_intent_to_its_row(tmp_path: Path) -> None:
    ledger, entry = SpooledLedger(tmp_path), Entry()
    ledger.intend(entry, BOUNDS, "v1")
    ledger.checkpoint(entry)
    assert spooled_ids(tmp_path) == [] and ledger.owner in owners(tmp_path)
    ledger.record(entry)
    assert spooled_ids(tmp_path) == [entry.id] and ledger.close() and ledger.close()


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    ledger, entry = full(tmp_path), Entry()
    with pytest.raises(SpoolUnavailable, match="full"):
        ledger.intend(entry, {})
    ledger.record(entry)
    assert entry.id not in spooled_ids(tmp_path) and len(ledger) > 0
    ledger.close()
    assert entry.id in spooled_ids(tmp_path)


def test_or_serves_what_no_budget_has_reserved_for(tmp_path: Path) -> None:
    ledger, entry = full(tmp_path, serve=True), Entry()
    ledger.intend(entry, {})
    with pytest.raises(SpoolUnavailable):
        ledger.intend(Entry(), BOUNDS)
    ledger.record(entry)
    ledger.flush()
    assert entry.id not in spooled_ids(tmp_path)
    assert ledger.spool is not None
    ledger.spool.cap = 1 << 30
    ledger.flush()
    assert entry.id in spooled_ids(tmp_path) and len(ledger) == 0


def test_what_has_an_intent_is_settled_in_a_full_spool_too(tmp_path: Path) -> None:
    ledger, entry = SpooledLedger(tmp_path), Entry()
    ledger.intend(entry, BOUNDS)
    assert ledger.spool is not None
    ledger.spool.cap = 1
    assert ledger.refusing
    ledger.record(entry)
    assert spooled_ids(tmp_path) == [entry.id]


def test_without_a_directory_it_waits_for_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "spool"
    place.write_text("in the way")
    ledger, entry = SpooledLedger(place), Entry()
    assert ledger.owner == "" and ledger.refusing and [each.levelname for each in caplog.records] == ["CRITICAL"]
    with pytest.raises(SpoolUnavailable):
        ledger.intend(entry, {})
    ledger.record(entry)
    ledger.flush()
    place.unlink()
    ledger.flush()
    assert spooled_ids(place) == [entry.id] and ledger.owner and not ledger.refusing
    ledger.intend(Entry(), BOUNDS)


def test_closed_without_one_it_says_what_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "spool"
    place.write_text("in the way")
    ledger = SpooledLedger(place)
    assert ledger.close()
    ledger.record(Entry())
    assert not ledger.close() and "lost" in caplog.records[-1].message


def test_with_the_database_away_it_takes_requests_for_a_declared_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ledger, patient = SpooledLedger(tmp_path, away_limit=60, serve=True), SpooledLedger(tmp_path)
    for _ in range(3):
        for each in (ledger, patient):
            each.away(True)
            each.intend(Entry(), {})
        now[0] += 30
    patient.intend(Entry(), {})
    with pytest.raises(DatabaseAway, match="too long"):
        ledger.intend(Entry(), {})
    ledger.away(False)
    ledger.intend(Entry(), {})


def test_its_length_is_what_waits_anywhere(tmp_path: Path) -> None:
    ledger = SpooledLedger(tmp_path)
    assert len(ledger) == 0 and ledger.status == Status()
    drain_status.write(tmp_path, Status(rows=41, bytes=9, oldest_at=1.0))
    assert len(ledger) == 41 and ledger.status.oldest_seconds > 10**9
    (tmp_path / drain_status.FILE).write_text("torn")
    assert len(ledger) == 0


def test_it_blocks_where_the_disk_is_waited_for(tmp_path: Path) -> None:
    assert SpooledLedger(tmp_path, options={"fsync": True}).blocks and not SpooledLedger(tmp_path).blocks
