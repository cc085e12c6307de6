"""The way of usage rows into the database: exact, once, whatever fails on the way."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from tenants import drain as drain_module
from tenants.drain import Drain, write
from tenants.ledger import Entry, Ledger
from tenants.models import Usage, UsageDay, UsageHour
from tenants.rows import MOST_COST, TAGS
from tenants.statements import writing
from tests.usage_entries import MIDNIGHT, an_entry, assert_rollups_are_the_sum_of_the_rows, random_entries

pytestmark = pytest.mark.django_db
threaded = pytest.mark.django_db(transaction=True)
PATIENCE = 30.0


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def drain(ledger: Ledger) -> Iterator[Drain]:
    made = Drain(ledger, interval=0.01)
    yield made
    made.stop(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def full_entry() -> Entry:
    """An entry in which no field has its default, nor the value of another."""
    values: dict[str, Any] = {}
    for number, field in enumerate(dataclasses.fields(Entry), 1):
        values[field.name] = number if "int" in str(field.type) else f"{field.name}-é"[:10]
    values |= {"created_at": 1_767_225_600.123456, "stream": True, "estimated": True, "tags": ["a", "ü", "\U0001f600"]}
    values |= {"id": UUID(int=7 << 76 | 2 << 62 | 5), "corrects": UUID(int=7 << 76 | 2 << 62 | 4), "kind": "charge"}
    return Entry(**values)


# One batch


def test_every_field_is_stored_as_it_was() -> None:
    entry = full_entry()
    assert write([entry]) == 0
    row = Usage.objects.get()
    expected = dataclasses.asdict(entry) | {"created_at": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)}
    assert {name: getattr(row, name) for name in expected} == expected


def test_a_time_on_the_second_is_stored_as_django_stores_it() -> None:
    write([an_entry(created_at=MIDNIGHT)])
    assert Usage.objects.filter(created_at=datetime.fromtimestamp(MIDNIGHT, UTC)).count() == 1


def test_rollups_are_the_sum_of_the_rows_over_many_batches() -> None:
    entries = random_entries(600)
    for first in range(0, 600, 150):
        write(entries[first : first + 150])
    assert Usage.objects.count() == 600
    assert_rollups_are_the_sum_of_the_rows()


def test_a_correction_adds_money_but_no_request() -> None:
    charge = an_entry(cost=1000, input_tokens=50, duration_us=5000)
    write([charge, an_entry(kind="correction", corrects=charge.id, cost=-300, input_tokens=-10, duration_us=7)])
    assert_rollups_are_the_sum_of_the_rows()
    day = UsageDay.objects.get()
    assert (day.requests, day.cost, day.input_tokens, day.duration_us) == (1, 700, 40, 5000)


def test_an_entry_is_stored_once_however_often_it_is_written() -> None:
    entries = random_entries(60)
    write(entries[:40])
    write(entries[20:])
    write([*entries, entries[0]])
    assert Usage.objects.count() == 60
    assert_rollups_are_the_sum_of_the_rows()


def test_the_same_entry_twice_in_one_batch_is_stored_once() -> None:
    entry = an_entry(input_tokens=5)
    assert write([entry, entry]) == 0
    assert Usage.objects.count() == 1
    assert_rollups_are_the_sum_of_the_rows()


def test_the_last_name_of_a_key_stays_in_its_rollup() -> None:
    write([an_entry(key="old")])
    write([an_entry(key="new")])
    assert UsageHour.objects.get().key == "new" and UsageHour.objects.get().requests == 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", "a\ufffdb"),
        ("x" * 300, "x" * 255),
        ("é" * 300, "é" * 255),
        ("a\ud800b", "a?b"),
        ("\U0001f600", "\U0001f600"),
        ("'; DROP TABLE tenants_usage; --", "'; DROP TABLE tenants_usage; --"),
        ("%s \\N \\x41 \t\r\n", "%s \\N \\x41 \t\r\n"),
    ],
)
def test_hostile_text_is_stored_as_far_as_it_can_be(text: str, kept: str) -> None:
    assert write([an_entry(), an_entry(end_user=text, route=text, model=text, tags=[text]), an_entry()]) == 0
    row = Usage.objects.exclude(model="").get()
    assert (row.end_user, row.route, row.model, row.tags) == (kept, kept, kept, [kept])
    assert_rollups_are_the_sum_of_the_rows()


def test_too_many_tags_are_cut() -> None:
    write([an_entry(tags=[f"tag-{number}" for number in range(1000)])])
    assert Usage.objects.get().tags == [f"tag-{number}" for number in range(TAGS)]


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "duration_us", "first_byte_us", "cost", "status"])
def test_an_impossible_count_is_cut_and_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert write([an_entry(), an_entry(request_id="odd", **{name: 2**70})]) == 0
    row = Usage.objects.get(request_id="odd")
    assert 0 < getattr(row, name) <= MOST_COST
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(row.id) == caplog.records[0].__dict__["id"] and str(2**70) == caplog.records[0].__dict__["value"]
    assert_rollups_are_the_sum_of_the_rows()


@pytest.mark.parametrize(
    "poison",
    [
        {"id": "no id"},
        {"id": None},
        {"created_at": float("nan")},
        {"created_at": 1e18},
        {"input_tokens": "many"},
        {"input_tokens": None},
        {"cost": 1.5j},
        {"tags": object()},
        {"status": None},
    ],
)
def test_an_entry_that_cannot_be_stored_blocks_no_other(
    poison: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = random_entries(10)
    assert write([*good[:5], an_entry(request_id="poison", **poison), *good[5:]]) == 1
    assert Usage.objects.count() == 10
    assert_rollups_are_the_sum_of_the_rows()
    assert ["poison" in record.__dict__["entry"] for record in caplog.records] == [True]


@threaded
def test_writers_at_the_same_time_lose_no_sum() -> None:
    """Several workers add to the same rollups; each has its own connection."""
    entries = random_entries(800, hours=2)
    failures: list[Exception] = []

    def work(mine: list[Entry]) -> None:
        try:
            for first in range(0, len(mine), 20):
                write(mine[first : first + 20])
        except Exception as error:
            failures.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work, args=(entries[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and Usage.objects.count() == 800
    assert_rollups_are_the_sum_of_the_rows()


# The thread


@threaded
def test_what_is_recorded_is_stored_without_asking(ledger: Ledger, drain: Drain) -> None:
    drain.start()
    for entry in random_entries(30):
        ledger.record(entry)
    until(lambda: Usage.objects.count() == 30)
    assert_rollups_are_the_sum_of_the_rows()


@threaded
def test_flush_returns_when_all_is_stored(ledger: Ledger) -> None:
    drain = Drain(ledger, interval=PATIENCE, batch=40)
    drain.start()
    for entry in random_entries(100):
        ledger.record(entry)
    assert drain.flush(PATIENCE) and Usage.objects.count() == 100
    assert (drain.written, drain.refused, drain.failures) == (100, 0, 0) and drain.seconds > 0
    assert drain.stop(PATIENCE)


@threaded
def test_stop_stores_what_is_left_and_ends_the_thread(ledger: Ledger) -> None:
    drain = Drain(ledger, interval=PATIENCE)
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


@threaded
def test_it_waits_while_another_process_writes(ledger: Ledger, drain: Drain) -> None:
    ledger.record(an_entry())
    with writing("default"):
        drain.start()
        until(lambda: len(ledger) == 0)  # taken, and waiting for the lock
        assert not drain.flush(0.2) and Usage.objects.count() == 0
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


@threaded
@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("closed")])
def test_with_the_database_away_all_is_kept_and_said_once(
    error: Exception, ledger: Ledger, drain: Drain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(error)
    monkeypatch.setattr(drain_module, "writing", broken.writing)
    entries = random_entries(50)
    for entry in entries:
        ledger.record(entry)
    drain.start()
    until(lambda: drain.failures >= 4)
    assert len(errors(caplog)) == 1 and not drain.flush(0.01)
    broken.times = 0
    assert drain.flush(PATIENCE) and Usage.objects.count() == 50 and len(ledger) == 0
    assert len(errors(caplog)) == 1 and "again" in caplog.records[-1].message
    assert_rollups_are_the_sum_of_the_rows()


@threaded
def test_one_stale_connection_is_no_error(
    ledger: Ledger, drain: Drain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        drain_module, "writing", Broken(OperationalError("server closed the connection"), times=1).writing
    )
    ledger.record(an_entry())
    drain.start()
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1 and caplog.records == []


@threaded
def test_a_commit_whose_answer_was_lost_is_not_counted_twice(
    ledger: Ledger, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(OperationalError("lost"), times=1, after_commit=True)
    monkeypatch.setattr(drain_module, "writing", broken.writing)
    for entry in random_entries(40):
        ledger.record(entry)
    drain.start()
    assert drain.flush(PATIENCE) and broken.tries > 1
    assert Usage.objects.count() == 40
    assert_rollups_are_the_sum_of_the_rows()


@threaded
def test_stop_without_a_database_keeps_the_entries_and_says_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drain_module, "writing", Broken(OperationalError("away")).writing)
    drain = Drain(ledger, interval=0.01)
    ledger.record(an_entry())
    drain.start()
    assert not drain.stop(0.3)
    assert len(ledger) == 1 and "CRITICAL" in [record.levelname for record in caplog.records]


@threaded
def test_a_table_that_is_missing_is_waited_for(ledger: Ledger, drain: Drain) -> None:
    """The gateway may be up before `migrate` is."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(UsageDay, "tenants_usageday", "tenants_elsewhere")
    try:
        ledger.record(an_entry())
        drain.start()
        until(lambda: drain.failures >= 2)
        assert Usage.objects.count() == 0
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(UsageDay, "tenants_elsewhere", "tenants_usageday")
    assert drain.flush(PATIENCE) and Usage.objects.count() == 1 and drain.refused == 0
    assert_rollups_are_the_sum_of_the_rows()


@threaded
@pytest.mark.postgres
def test_it_survives_the_end_of_its_connection(ledger: Ledger, drain: Drain) -> None:
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
