"""What is known of one request: its columns in one order, wherever they are told."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.entry import FIELDS, Entry
from tenants.uuid7 import uuid7, written
from tests.spool_entries import entries


@given(entries())
def test_values_are_told_by_name_and_in_order(entry: Entry) -> None:
    assert dict(zip(FIELDS, entry.values(), strict=True)) == {name: getattr(entry, name) for name in FIELDS}
    assert Entry(entry.id, *entry.values()) == Entry(**entry.told()) == entry


@given(entries())
def test_a_copy_differs_in_what_is_named_alone(entry: Entry) -> None:
    other = entry.but(status=418)
    assert other.told() == {**entry.told(), "status": 418} and (other == entry) is (entry.status == 418)


def test_entries_share_no_list_and_have_their_own_ids() -> None:
    one, other = Entry(), Entry()
    one.tags.append("a")
    one.declared.append("a")
    one.charges["1/0/b/"] = 1
    assert (other.tags, other.declared, other.charges) == ([], [], {}) and one.id < other.id
    assert "tags=['a']" in repr(one)


def test_what_is_no_column_is_refused() -> None:
    with pytest.raises(TypeError):
        Entry(colour="red")  # type: ignore[call-arg]


@given(st.uuids() | st.builds(uuid7) | st.just(UUID(int=0)))
def test_an_id_is_written_as_ever(id: UUID) -> None:
    assert written(id) == str(id)
