"""The way of usage rows into the database: exact, once, whatever fails on the way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from tenants.drain import write
from tenants.ledger import Entry
from tenants.models import Usage, UsageDay, UsageHour
from tenants.rows import MOST_COST, TAGS
from tests.usage_entries import MIDNIGHT, an_entry, assert_rollups_are_the_sum_of_the_rows, random_entries

pytestmark = pytest.mark.django_db
threaded = pytest.mark.django_db(transaction=True)


def full_entry() -> Entry:
    """An entry in which no field has its default, nor the value of another."""
    values: dict[str, Any] = {}
    for number, (name, usual) in enumerate(Entry().told().items(), 1):
        values[name] = number if usual is None or type(usual) is int else f"{name}-é"[:10]
    values |= dict.fromkeys(("stream", "estimated", "interrupted", "bound_exceeded"), True)
    values |= {"created_at": 1_767_225_600.123456, "tags": ["a", "ü", "\U0001f600"], "declared": ["a", "other"]}
    values |= {"charges": {"0/0/b1.1/": 5}}
    values |= {"id": UUID(int=7 << 76 | 2 << 62 | 5), "corrects": UUID(int=7 << 76 | 2 << 62 | 4), "kind": "charge"}
    return Entry(**values)


# One batch


def test_every_field_is_stored_as_it_was() -> None:
    entry = full_entry()
    assert write([entry]) == 0
    row = Usage.objects.get()
    columns = {field.attname for field in Usage._meta.fields}
    told = {name: value for name, value in entry.told().items() if name in columns}
    assert entry.told().keys() - columns == {"charges", "bound", "if_interrupted"}
    expected = told | {"created_at": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)}
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
    good, bad = random_entries(10), an_entry(request_id="poison")
    for name, value in poison.items():
        setattr(bad, name, value)
    assert write([*good[:5], bad, *good[5:]]) == 1
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
