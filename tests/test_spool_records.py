"""A spool's bytes: what was written is read, and what is damaged costs no more than itself."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenants.entry import FIELDS, Entry
from tenants.spool_records import (
    CHECKPOINT,
    DAMAGE,
    HEADER,
    INTENT,
    MARK,
    MOST,
    SETTLEMENT,
    SMALLEST,
    Record,
    plain,
    read_entry,
    read_fields,
    read_intent,
    scan,
    write_checkpoint,
    write_header,
    write_intent,
    write_settlement,
    write_void,
)
from tests.spool_entries import BOUNDS, entries, numbered, values

RECORDS = [
    write_header("owner", 1),
    write_intent(numbered(1, model="a", tags=["x"]), BOUNDS, 4),
    write_intent(numbered(2, model="\ud800"), {}, "4b"),
    write_checkpoint(numbered(1, output_tokens=17)),
    write_settlement(numbered(1, output_tokens=2**80)),
    write_void(UUID(int=2)),
]
WHOLE = b"".join(RECORDS)
ENDS = [len(b"".join(RECORDS[:count])) for count in range(len(RECORDS) + 1)]


def found(data: bytes, *, final: bool = True) -> list[Record]:
    return list(scan(data, final))


def texts(data: bytes) -> list[bytes]:
    """The bytes of each record that is found."""
    return [data[record.start : record.end] for record in found(data) if record.kind != DAMAGE]


@given(entries(), st.dictionaries(st.integers(0, 2**31), st.integers(0, 2**63 - 1)), st.integers(0) | st.text())
def test_what_was_written_is_read(entry: Entry, bounds: dict[int, int], price_version: int | str) -> None:
    data = write_intent(entry, bounds, price_version) + write_checkpoint(entry) + write_settlement(entry)
    intent, checkpoint, settlement = found(data)
    assert [plain(record.kind) for record in (intent, checkpoint, settlement)] == [INTENT, CHECKPOINT, SETTLEMENT]
    read = read_intent(intent)
    assert (read.bounds, read.price_version, read.checkpointed) == (bounds, price_version, False)
    assert values(read.entry) == values(read_entry(checkpoint)) == values(read_entry(settlement)) == values(entry)


def test_budgets_may_have_names() -> None:
    assert read_intent(found(write_intent(Entry(), {"tenant:3:day": 5}, 0))[0]).bounds == {"tenant:3:day": 5}


@pytest.mark.parametrize("final", [True, False])
def test_cut_at_every_byte_all_whole_records_are_read_and_the_rest_is_told(final: bool) -> None:
    for cut in range(len(WHOLE) + 1):
        whole = [end for end in ENDS if end <= cut]
        records = found(WHOLE[:cut], final=final)
        damage = [(record.start, record.end) for record in records if record.kind == DAMAGE]
        assert [record.end for record in records if record.kind != DAMAGE] == whole[1:]
        assert damage == ([(whole[-1], cut)] if final and whole[-1] < cut else [])


@given(st.binary(min_size=1, max_size=200))
def test_garbage_behind_the_records_is_damage_and_nothing_else(garbage: bytes) -> None:
    records = found(WHOLE + garbage)
    assert texts(WHOLE + garbage) == RECORDS
    assert records[-1].kind == DAMAGE and (records[-1].start, records[-1].end) == (len(WHOLE), len(WHOLE + garbage))


@given(st.integers(0, len(RECORDS)), st.binary(min_size=1, max_size=200))
@example(3, bytes([MARK, MARK]))
@example(3, RECORDS[1][:40])
def test_garbage_between_records_costs_none_of_them(place: int, garbage: bytes) -> None:
    data = b"".join(RECORDS[:place]) + garbage + b"".join(RECORDS[place:])
    assert texts(data) == RECORDS


def test_zeros_that_a_loss_of_power_left_cost_only_what_they_replaced() -> None:
    data = WHOLE[: ENDS[2]] + bytes(ENDS[4] - ENDS[2]) + WHOLE[ENDS[4] :]
    assert texts(data) == RECORDS[:2] + RECORDS[4:]
    assert texts(bytes(10_000)) == []


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_costs_its_record_and_no_other(place: int, change: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= change
    hit = next(number for number, end in enumerate(ENDS[1:]) if place < end)
    assert texts(bytes(data)) == RECORDS[:hit] + RECORDS[hit + 1 :]


@given(st.binary(max_size=400))
def test_any_bytes_are_told_apart_without_a_gap(data: bytes) -> None:
    records = found(data)
    assert [record.start for record in records] == [0, *(record.end for record in records)][: len(records)]
    assert not data or records[-1].end == len(data)


def test_no_text_of_a_client_is_a_record() -> None:
    forged = write_settlement(numbered(666, cost=0))
    data = bytearray(write_settlement(numbered(1, model=forged.decode("latin-1"), tags=[forged.decode("latin-1")])))
    assert forged not in bytes(data)
    data[3] ^= 1
    assert [record.kind for record in found(bytes(data))] == [DAMAGE]


def test_a_record_with_an_impossible_length_is_damage() -> None:
    record = bytearray(RECORDS[1])
    for length in (0, 15, MOST + 1, 2**32 - 1):
        record[2:6] = length.to_bytes(4, "little")
        assert found(bytes(record))[0].kind == DAMAGE
    assert found(RECORDS[1][: SMALLEST - 1])[0].kind == DAMAGE


def test_the_header_names_the_columns() -> None:
    header = found(write_header("owner", 9))[0]
    assert plain(header.kind) == HEADER and header.id == 9 and read_fields(header) is FIELDS
    assert tuple(Entry().told()) == ("id", *FIELDS)


def test_what_another_version_wrote_is_read_by_the_names_of_its_columns() -> None:
    written = found(write_settlement(numbered(5, model="m", output_tokens=3)))[0]
    known = dict(zip(FIELDS, orjson.loads(written.payload), strict=True))
    del known["tags"], known["cost"]
    known = {"of the future": [1], **dict(reversed(known.items()))}
    other = written._replace(payload=orjson.dumps(list(known.values())))
    assert values(read_entry(other, tuple(known))) == values(numbered(5, model="m", output_tokens=3))


def test_what_is_no_value_of_its_column_is_kept_as_text_for_the_drain_to_refuse() -> None:
    broken = numbered(1, corrects="no id", tags=[b"bytes"], model={"not": "text"})
    read = read_entry(found(write_settlement(broken))[0])
    assert read.corrects == "no id" and read.tags == [str(b"bytes")]


def test_texts_beyond_all_columns_are_cut() -> None:
    long = "é" * MOST
    record = found(write_intent(numbered(1, model=long, tags=[long] * 50, cost=5), BOUNDS, 2))[0]
    intent = read_intent(record)
    assert intent.bounds == BOUNDS and intent.price_version == 2 and intent.entry.cost == 5
    assert intent.entry.model == long[:1_000] and intent.entry.tags == [long[:1_000]] * 32
    odd = read_entry(found(write_settlement(numbered(1, model="\ud800" * MOST, corrects=UUID(int=7))))[0])
    assert odd.model == "\ud800" * 1_000 and odd.corrects == UUID(int=7)


def test_bounds_are_never_cut() -> None:
    with pytest.raises(ValueError, match="bounds"):
        write_intent(Entry(), dict.fromkeys(range(200_000), 10**9), 0)
