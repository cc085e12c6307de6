"""Sums of usage rows, by key and by tag: exact whatever the order, the batches and what comes twice."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.compared import Span
from tenants.drain import write
from tenants.ledger import Entry
from tenants.ledger_check import check
from tenants.models import TagDay, TagHour, Usage, UsageDay, UsageHour
from tests.usage_entries import MIDNIGHT, an_entry, assert_rollups_are_the_sum_of_the_rows

pytestmark = pytest.mark.django_db
TAGS = ["prod", "nightly", "other", "ä", "x" * 64]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    tenant, project = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    return an_entry(
        created_at=MIDNIGHT + draw(st.integers(0, 3 * 86_400)),
        tenant_id=tenant,
        tenant=f"tenant-{tenant}",
        project_id=project,
        project="p" * project,
        kind=draw(st.sampled_from(["charge", "charge", "attempt", "correction"])),
        status=draw(st.sampled_from([200, 429])),
        error_kind=draw(st.sampled_from(["", "cancelled"])),
        cost=draw(st.none() | st.integers(-5, 10**12)),
        input_tokens=draw(st.integers(0, 10**6)),
        reasoning_tokens=draw(st.integers(0, 10)),
        duration_us=draw(st.integers(0, 10**10)),
        declared=draw(st.lists(st.sampled_from(TAGS), max_size=4)),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries(), max_size=12), st.data())
def test_rows_are_hours_are_days_are_tags_in_any_order_and_batch(made: list[Entry], data: st.DataObject) -> None:
    for model in (Usage, UsageHour, UsageDay, TagHour, TagDay):
        model._default_manager.all().delete()
    again = data.draw(st.lists(st.sampled_from(made), max_size=4) if made else st.just([]))
    order = data.draw(st.permutations([*made, *map(copy.deepcopy, again)]))
    while order:
        size = data.draw(st.integers(1, len(order)))
        batch, order = order[:size], order[size:]
        assert write(batch) == 0
    assert Usage.objects.count() == len(made)
    assert_rollups_are_the_sum_of_the_rows()
    assert [each.shown for each in check(Span())] == [[]] * 8


def test_a_request_counts_once_in_each_of_its_tags() -> None:
    write([an_entry(declared=["prod", "other", "prod"], cost=7), an_entry(declared=["prod"], cost=5), an_entry(cost=1)])
    for model in (TagHour, TagDay):
        found = model._default_manager.order_by("tag").values_list("tenant", "tag", "requests", "cost")
        assert list(found) == [("acme", "other", 1, 7), ("acme", "prod", 2, 12)]
    assert sorted(Usage.objects.values_list("declared", flat=True)) == [[], ["prod"], ["prod", "other"]]


def test_a_correction_corrects_its_tags_too() -> None:
    charge = an_entry(declared=["prod"], cost=100, input_tokens=5)
    write([charge, an_entry(kind="correction", corrects=charge.id, declared=["prod"], cost=-40, input_tokens=0)])
    day = TagDay.objects.get()
    assert (day.requests, day.cost, day.input_tokens) == (1, 60, 5)


@pytest.mark.parametrize("tag", ["a\0b", "x" * 300, "a\ud800", "'; DROP TABLE", "%s \\N", "\U0001f600" * 70])
def test_odd_tags_are_stored_as_far_as_they_can_be(tag: str) -> None:
    assert write([an_entry(declared=[tag, tag])]) == 0
    assert len(TagHour.objects.get().tag) <= 64
    assert_rollups_are_the_sum_of_the_rows()
