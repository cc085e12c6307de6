"""The drain's thread: what it does when the database is away, slow or back, and when it is told to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from tenants import drain as drain_module
from tenants.drain_loop import Drain
from tenants.models import Usage, UsageDay
from tenants.spool_owners import owners
from tenants.spooled import SpooledLedger
from tenants.statements import writing
from tests.usage_entries import an_entry, assert_rollups_are_the_sum_of_the_rows, random_entries

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 30.0


@pytest.fixture
def ledger(tmp_path: Path) -> SpooledLedger:
    return SpooledLedger(tmp_path / "spool")


@pytest.fixture
def drain(ledger: SpooledLedger) -> Iterator[Drain]:
    made = Drain(ledger.root, interval=0.01)
    yield made
    made.stop(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_what_is_recorded_is_stored_without_asking(ledger: SpooledLedger, drain: Drain) -> None:
    drain.start()
    for entry in random_entries(30):
        ledger.record(entry)
    until(lambda: Usage.objects.count() == 30)
    assert_rollups_are_the_sum_of_the_rows()


def test_flush_returns_when_all_is_stored(ledger: SpooledLedger) -> None:
    drain = Drain(ledger.root, interval=PATIENCE, batch=40)
    drain.start()
    for entry in random_entries(100):
        ledger.record(entry)
    assert drain.flush(PATIENCE) and Usage.objects.count() == 100
    spools = drain.spools
    assert (spools.written, spools.refused, spools.failures) == (100, 0, 0) and spools.seconds > 0
    assert drain.stop(PATIENCE)


def test_stop_stores_what_is_left_and_ends_the_thread(ledger: SpooledLedger) -> None:
    drain = Drain(ledger.root, interval=PATIENCE)
    drain.start()
    thread = drain._thread
    for entry in random_entries(1500):
        ledger.record(entry)
    assert drain.stop(PATIENCE) and Usage.objects.count() == 1500
    assert thread is not None and not thread.is_alive()
    assert drain.stop(PATIENCE)
    drain.start()
    ledger.record(an_entry())
    assert drain.stop(PATIENCE) and Usage.objects.count() == 1501


def test_it_waits_while_another_process_writes(ledger: SpooledLedger, drain: Drain) -> None:
    ledger.record(an_entry())
    with writing("default"):
        drain.start()
        assert not drain.flush(0.2) and Usage.objects.count() == 0
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1


def test_one_of_many_drains(ledger: SpooledLedger, drain: Drain) -> None:
    other = Drain(ledger.root, interval=0.01)
    drain.start()
    until(drain._alone)
    other.start()
    ledger.record(an_entry())
    assert drain.flush(PATIENCE) and not other.flush(0.1) and other.spools.written == 0
    assert drain.stop(PATIENCE)
    ledger.record(an_entry())
    until(lambda: Usage.objects.count() == 2)
    assert other.spools.written == 1 and other.stop(PATIENCE)


def test_one_that_never_had_its_turn_leaves_it_to_the_other(ledger: SpooledLedger, drain: Drain) -> None:
    drain.start()
    until(drain._alone)
    other = Drain(ledger.root)
    other.start()
    assert other.stop(PATIENCE)


def test_stop_ends_the_leases_and_takes_the_directory_away(ledger: SpooledLedger) -> None:
    drain = Drain(ledger.root, interval=PATIENCE)
    drain.start()
    ledger.record(an_entry())
    assert ledger.close() and drain.stop(PATIENCE)
    assert Usage.objects.count() == 1 and owners(ledger.root) == []


def test_a_turn_that_fails_altogether_is_tried_again(
    ledger: SpooledLedger, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(drain.spools, "turn", lambda **_: 1 / 0)
        drain.start()
        until(lambda: drain.spools.failures >= 3)
    ledger.record(an_entry())
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1


# Failure


class Broken:
    """Stands before ``writing``: fails ``times`` times with ``error``, before or after what was written is committed."""

    def __init__(self, error: Exception, *, times: int = 10**9, after_commit: bool = False) -> None:
        self.error, self.times, self.after_commit, self.tries = error, times, after_commit, 0

    @contextmanager
    def writing(self, using: str) -> Iterator[Any]:
        self.tries += 1
        fails = self.tries <= self.times
        if fails and not self.after_commit:
            raise self.error
        with writing(using) as statements:
            yield statements
        if fails:
            raise self.error


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("closed")])
def test_with_the_database_away_all_is_kept_and_said_once(
    error: Exception,
    ledger: SpooledLedger,
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken(error)
    monkeypatch.setattr(drain_module, "writing", broken.writing)
    entries = random_entries(50)
    for entry in entries:
        ledger.record(entry)
    drain.start()
    until(lambda: drain.spools.failures >= 4)
    assert len(errors(caplog)) == 1 and not drain.flush(0.01)
    broken.times = 0
    assert drain.flush(PATIENCE) and Usage.objects.count() == 50 and len(ledger) == 0
    assert len(errors(caplog)) == 1 and "again" in caplog.records[-1].message
    assert_rollups_are_the_sum_of_the_rows()


def test_one_stale_connection_is_no_error(
    ledger: SpooledLedger, drain: Drain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        drain_module, "writing", Broken(OperationalError("server closed the connection"), times=1).writing
    )
    ledger.record(an_entry())
    drain.start()
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1 and caplog.records == []


def test_a_commit_whose_answer_was_lost_is_not_counted_twice(
    ledger: SpooledLedger, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(OperationalError("lost"), times=1, after_commit=True)
    monkeypatch.setattr(drain_module, "writing", broken.writing)
    for entry in random_entries(40):
        ledger.record(entry)
    drain.start()
    assert drain.flush(PATIENCE) and drain.spools.failed == broken.tries == 1
    assert Usage.objects.count() == 40
    assert_rollups_are_the_sum_of_the_rows()


def test_stop_without_a_database_keeps_the_entries_and_says_so(
    ledger: SpooledLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drain_module, "writing", Broken(OperationalError("away")).writing)
    drain = Drain(ledger.root, interval=0.01)
    ledger.record(an_entry())
    drain.start()
    assert not drain.stop(0.3)
    assert len(ledger) == 1 and "kept for the next start" in caplog.records[-1].message
    monkeypatch.undo()
    later = Drain(ledger.root)
    later.start()
    assert later.flush(PATIENCE) and later.stop(PATIENCE) and Usage.objects.count() == 1


def test_a_table_that_is_missing_is_waited_for(ledger: SpooledLedger, drain: Drain) -> None:
    """The gateway may be up before `migrate` is."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(UsageDay, "tenants_usageday", "tenants_elsewhere")
    try:
        ledger.record(an_entry())
        drain.start()
        until(lambda: drain.spools.failures >= 2)
        assert Usage.objects.count() == 0
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(UsageDay, "tenants_elsewhere", "tenants_usageday")
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1 and drain.spools.refused == 0
    assert_rollups_are_the_sum_of_the_rows()


@pytest.mark.postgres
def test_it_survives_the_end_of_its_connection(ledger: SpooledLedger, drain: Drain) -> None:
    ledger.record(an_entry())
    drain.start()
    assert drain.flush(PATIENCE)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
        assert cursor.fetchone()[0] >= 1
    ledger.record(an_entry())
    assert drain.flush(PATIENCE) and Usage.objects.count() == 2
    assert_rollups_are_the_sum_of_the_rows()
