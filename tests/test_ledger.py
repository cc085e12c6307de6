"""Entries, their ids, and the buffer between requests and the drain."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants import uuid7 as ids
from tenants.ledger import Entry, Ledger
from tenants.models import Usage
from tenants.uuid7 import uuid7

ROOT = Path(__file__).resolve().parent.parent


def test_an_entry_is_a_usage_row_column_for_column() -> None:
    columns = [field.attname for field in Usage._meta.concrete_fields]
    assert list(Entry.__slots__) == [*columns, "charges", "bound", "if_interrupted"]


def test_in_memory_nothing_comes_before_the_dispatch() -> None:
    ledger, entry = Ledger(), Entry()
    ledger.intend(entry, {"1/0/b1.1/": 5}, "v1")
    ledger.checkpoint(entry)
    assert not ledger.blocks and len(ledger) == 0


def test_an_id_is_a_uuid7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    assert made == UUID(str(made)) and made.version == 7 and made.variant == RFC_4122
    assert 0 <= (made.int >> 80) - before < 60_000
    assert len({hash(made), hash(UUID(bytes=made.bytes))}) == 1


def test_ids_grow_and_never_repeat() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert all(a < b for a, b in itertools.pairwise(made))


def test_ids_grow_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    before = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600_000_000_000)
    later = [uuid7() for _ in range(100)]
    assert before < later[0] and sorted(set(later)) == later
    assert {made.version for made in later} == {7} and {made.variant for made in later} == {RFC_4122}


@given(st.integers(0, 2**47), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1))
def test_the_next_id_is_greater_and_well_formed(milliseconds: int, high: int, low: int) -> None:
    last = milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    following = UUID(int=ids._after(last))
    assert following.int > last and following.version == 7 and following.variant == RFC_4122


def test_the_next_id_carries_into_the_time() -> None:
    last = 5 << 80 | 7 << 76 | (2**12 - 1) << 64 | 2 << 62 | (2**62 - 1)
    assert ids._after(last) == 6 << 80 | 7 << 76 | 2 << 62


def test_forked_workers_make_different_ids() -> None:
    code = """
import os, sys
from tenants.uuid7 import uuid7
uuid7()
for _ in range(4):
    if not os.fork():
        os.write(1, "".join(f"{uuid7().int & (1 << 62) - 1}\\n" for _ in range(100)).encode())
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    made = done.stdout.split()
    assert len(made) == 400 and len(set(made)) == 400


def test_entries_come_out_in_order_and_go_back_to_the_front() -> None:
    ledger = Ledger()
    entries = [Entry(request_id=str(number)) for number in range(5)]
    for entry in entries:
        ledger.record(entry)
    taken = ledger.take(3)
    assert taken == entries[:3] and len(ledger) == 2
    ledger.put_back(taken)
    assert len(ledger) == 5 and ledger.take(100) == entries and ledger.take(1) == []


def test_beyond_the_cap_nothing_is_dropped_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(cap=20)
    for _ in range(20):
        ledger.record(Entry())
    assert caplog.records == []
    ledger.record(Entry())
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    ledger.record(Entry())
    assert len(caplog.records) == 1  # not for each entry
    ledger.record(Entry())
    assert len(caplog.records) == 2 and len(ledger) == 23  # but again a tenth later
    assert len(ledger.take(100)) == 23
    for _ in range(21):
        ledger.record(Entry())
    assert len(caplog.records) == 3  # the next time anew


def test_threads_may_record_while_one_takes() -> None:
    ledger = Ledger()
    each, writers = 5_000, 4

    def write() -> None:
        for _ in range(each):
            ledger.record(Entry())

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    taken: list[Entry] = []
    deadline = time.monotonic() + 60
    while len(taken) < each * writers and time.monotonic() < deadline:
        taken += ledger.take(100)
    for thread in threads:
        thread.join()
    assert len({entry.id for entry in taken}) == each * writers and len(ledger) == 0
