"""Entries column by column: what is stored of many at once is what each alone would leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants import rollups
from tenants.columns import Columns
from tenants.entry import FIELDS, Entry
from tenants.rows import COLUMNS, Row, storable, table, tidy
from tenants.spool_reader import Position, read
from tenants.spool_records import scan, settlements, write_intent, write_settlement, write_void
from tests.spool_entries import entries, fill, numbered
from tests.usage_entries import an_entry, random_entries

ODD: dict[str, st.SearchStrategy[Any]] = {
    "model": st.text(max_size=300),
    "end_user": st.text(max_size=300),
    "charged_to": st.text(max_size=30),
    "tags": st.lists(st.text(max_size=5), max_size=40),
    "declared": st.lists(st.text(max_size=70), max_size=4),
    "input_tokens": st.integers(-(2**70), 2**70),
}


@st.composite
def odd_entries(draw: st.DrawFn) -> Entry:
    names = draw(st.sets(st.sampled_from(sorted(ODD)), max_size=2))
    return an_entry(**{name: draw(ODD[name]) for name in names})


def alone(entry: Entry, *, sqlite: bool) -> Row:
    return table(Columns.of([entry]), sqlite=sqlite)[0]


@settings(deadline=None)
@given(st.lists(odd_entries(), max_size=6), st.booleans())
def test_a_row_is_the_same_among_others(made: list[Entry], sqlite: bool) -> None:
    """However odd the others are."""
    assert table(Columns.of(made), sqlite=sqlite) == [alone(entry, sqlite=sqlite) for entry in made]


@settings(deadline=None)
@given(odd_entries())
def test_what_is_stored_fits_and_is_tidied_once(entry: Entry) -> None:
    told = dict(zip(COLUMNS, alone(entry, sqlite=True), strict=True))
    tidy(entry)
    assert told == dict(zip(COLUMNS, alone(entry, sqlite=True), strict=True))
    assert all(storable(text) for text in told.values() if isinstance(text, str))
    assert len(told["model"]) <= 255 and len(json.loads(told["tags"])) <= 32


@pytest.mark.parametrize(
    ("text", "good"), [("", 1), ("a", 1), ("é\U0001f600", 1), ("a\0", 0), ("é\0", 0), ("\ud800", 0)]
)
def test_what_databases_take(text: str, good: int) -> None:
    assert storable(text) is bool(good)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries(), max_size=4))
def test_columns_from_the_spool_are_those_of_the_entries(made: list[Entry]) -> None:
    found = Columns()
    data = b"".join(map(write_settlement, made))
    for record in scan(data, final=True):
        found.add(record.id, json.loads(record.payload))
    quick = Columns()
    settlements(data, len(made), quick.add)
    assert found.ids == [entry.id.int for entry in made] and quick.ids == found.ids[: len(quick)]
    assert found.entries == made


def test_the_quick_reader_stops_at_what_it_does_not_know() -> None:
    first, second, third = (write_settlement(numbered(number)) for number in (1, 2, 3))
    intent, void = write_intent(numbered(4), {"b": 1}, 0), write_void(numbered(4).id)
    odd = write_settlement(numbered(5, model="\ud800"))
    found = Columns()
    assert settlements(first + intent + void + second + odd + third, 9, found.add) == len(
        first + intent + void + second
    )
    assert found.ids == [1, 2] and len(found["model"]) == 2
    for broken in (first[:-1], first[:20], b"\0" + first, first[:-1] + b"\0", b""):
        assert settlements(second + broken, 9, Columns().add) == len(second)
    assert settlements(first + second, 1, Columns().add) == len(first)
    assert settlements(first, 0, Columns().add) == 0


def test_a_batch_ends_where_it_is_full(tmp_path: Path) -> None:
    spool = fill(tmp_path, 25)
    position, seen = Position(spool.held.owner), []
    while batch := read(tmp_path, position, 7).columns:
        seen.append(batch.ids)
        position = read(tmp_path, position, 7).position
    assert [len(ids) for ids in seen] == [7, 7, 7, 4] and [each for ids in seen for each in ids] == list(range(25))


def test_a_column_can_be_replaced_by_one_as_long() -> None:
    columns = Columns.of(random_entries(3))
    columns.replace("tags", [["a"], [], []])
    assert columns["tags"] == [["a"], [], []] and columns.entries[0].tags == []
    with pytest.raises(ValueError, match="one value for each"):
        columns.replace("tags", [])
    assert len(Columns()["model"]) == 0 and set(FIELDS) > set(COLUMNS) - {"id"}


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 99))
def test_sums_of_parts_are_sums_of_all(count: int, cut: int, seed: int) -> None:
    made = random_entries(count, seed=seed)
    for sums in (rollups.hourly, rollups.tagged):
        parts = [sums(Columns.of(part)) for part in (made[:cut], made[cut:])]
        whole = sums(Columns.of(made))
        assert {key: (each.sums, each.latency) for key, each in whole.items()} == {
            key: (
                [sum(pair) for pair in zip(*(part[key].sums for part in parts if key in part), strict=True)],
                sum(part[key].latency for part in parts if key in part),
            )
            for key in parts[0].keys() | parts[1].keys()
        }
