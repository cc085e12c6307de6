"""The usage report against sums counted anew from the rows, and its CSV file."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.drain import write
from tenants.models import ApiKey, Tenant, Usage, UsageDay, UsageHour
from tenants.reports import BY, Row, as_csv, fits, report, whole_hours
from tests import rollup_seed
from tests.usage_entries import MIDNIGHT, TOKENS, an_entry, random_entries

pytestmark = pytest.mark.django_db
START = datetime.fromtimestamp(MIDNIGHT, UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
IDENTITY: dict[str, Callable[[Usage], list[Any]]] = {
    "tenant": lambda row: [(row.tenant, row.tenant_id, "")],
    "project": lambda row: [(row.project, row.project_id, row.tenant)],
    "key": lambda row: [(row.key, row.key_id, row.tenant)],
    "model": lambda row: [(row.route, None, "")],
    "provider": lambda row: [(row.provider, row.provider_id, "")],
    "tag": lambda row: [(tag, None, row.tenant) for tag in row.declared],
    "day": lambda row: [(f"{row.created_at:%Y-%m-%d}", None, "")],
}


def expected(rows: list[Usage], by: str) -> dict[Any, tuple[list[int], list[int]]]:
    """By group: the sums of a report's row, and the durations in order."""
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 9)
    durations: dict[Any, list[int]] = defaultdict(list)
    for row in rows:
        bad = row.status >= 400 or bool(row.error_kind)
        unpriced = row.cost is None and (row.status < 400 or row.input_tokens > 0 or row.output_tokens > 0)
        facts = [1, bad, *(getattr(row, name) for name in TOKENS), row.cost or 0, unpriced]
        for group in IDENTITY[by](row):
            sums[group] = [a + b for a, b in zip(sums[group], facts, strict=True)]
            durations[group].append(row.duration_us)
    return {group: (sums[group], sorted(durations[group])) for group in sums}


def assert_equal(found: list[Row], rows: list[Usage], by: str) -> None:
    known = expected(rows, by)
    names = ("requests", "errors", *TOKENS, "cost", "unpriced")
    assert {(row.name, row.id, row.tenant): [getattr(row, name) for name in names] for row in found} == {
        group: sums for group, (sums, _) in known.items()
    }
    for row in found:
        durations = known[row.name, row.id, row.tenant][1]
        for share, told in ((0.5, row.p50_us), (0.95, row.p95_us)):
            exact = durations[ceil(share * len(durations)) - 1]
            assert told is not None and (abs(told - exact) <= 0.05 * exact or exact < 1000 == told)


@pytest.fixture
def rows(db: None) -> list[Usage]:
    write(random_entries(1500, hours=100))
    return list(Usage.objects.all())


PERIODS = {
    "all": (START, START + 100 * HOUR),
    "whole days": (START + DAY, START + 3 * DAY),
    "ragged": (START + 5 * HOUR, START + 3 * DAY + 7 * HOUR),
    "over midnight": (START + 20 * HOUR, START + 28 * HOUR),
    "within a day": (START + 30 * HOUR, START + 33 * HOUR),
    "until midnight": (START + 30 * HOUR, START + 2 * DAY),
    "from midnight": (START + DAY, START + DAY + 3 * HOUR),
}


@pytest.mark.parametrize("by", BY)
def test_a_report_is_the_sum_of_its_rows(rows: list[Usage], by: str) -> None:
    for start, end in PERIODS.values():
        within = [row for row in rows if start <= row.created_at < end]
        assert within
        assert_equal(report(start, end, by), within, by)


FILTERS: list[dict[str, str | int]] = [
    {"tenant": "tenant-1"},
    {"tenant": 1},
    {"key": "key-1"},
    {"key": 21},
    {"model": "gpt-*"},
    {"provider": "provider-1"},
    {"provider": 0},
    {"tenant": "tenant-2", "key": "key-0", "model": "slow"},
    {"project": "project-11"},
    {"project": 0},
    {"tag": "prod"},
    {"tag": "nightly", "tenant": 2},
]
COLUMNS = {
    "tenant": ("tenant_id", "tenant"),
    "project": ("project_id", "project"),
    "key": ("key_id", "key"),
    "model": ("", "route"),
    "provider": ("provider_id", "provider"),
}


@pytest.mark.parametrize("by", BY)
def test_filters_narrow_it(rows: list[Usage], by: str) -> None:
    for filters in filter(partial(fits, by), FILTERS):
        tag = filters.get("tag")
        wanted = {COLUMNS[name][isinstance(value, str)]: value for name, value in filters.items() if name != "tag"}
        tagged = [row for row in rows if tag is None or tag in row.declared]
        within = [row for row in tagged if all(getattr(row, column) == value for column, value in wanted.items())]
        assert 0 < len(within) < len(rows)
        if by != "tag" or tag is None:
            assert_equal(report(*PERIODS["all"], by, filters), within, by)


def test_bounds_move_outwards_to_the_hour() -> None:
    write([an_entry(created_at=MIDNIGHT + 3599, input_tokens=1), an_entry(created_at=MIDNIGHT + 7200, input_tokens=10)])
    start, end = (
        START + timedelta(minutes=59, seconds=59, microseconds=999_999),
        START + timedelta(hours=1, microseconds=1),
    )
    assert whole_hours(start, end) == (START, START + 2 * HOUR)
    assert [row.input_tokens for row in report(start, end, "tenant")] == [1]
    assert [row.input_tokens for row in report(start, end + HOUR, "tenant")] == [11]


def test_the_calendar_may_be_asked_for_whole() -> None:
    write([an_entry()])
    whole = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert [row.requests for row in report(*whole, "day")] == [1]


def test_other_time_zones_are_understood() -> None:
    write([an_entry(created_at=MIDNIGHT - 1800)])
    there = datetime.fromisoformat(f"{START:%Y-%m-%d}T00:00:00+01:00")
    assert [row.name for row in report(there, there + HOUR, "day")] == [f"{START - DAY:%Y-%m-%d}"]


@pytest.mark.parametrize("start", [START + 100 * DAY, START + 200 * HOUR])
def test_nothing_found_and_turned_periods_are_empty(rows: list[Usage], start: datetime) -> None:
    assert report(start, start + DAY, "day") == [] and report(start, START, "tenant") == []


@pytest.mark.parametrize(
    ("by", "filters", "start"),
    [
        ("hour", {}, START),
        ("tenant", {"status": "200"}, START),
        ("tenant", {"model": 5}, START),
        ("day", {"tag": 5}, START),
        ("tag", {"model": "fast"}, START),
        ("key", {"tag": "prod"}, START),
        ("tenant", {}, START.replace(tzinfo=None)),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(by: str, filters: dict[str, Any], start: datetime) -> None:
    with pytest.raises(ValueError, match="report"):
        report(start, START + DAY, by, filters)


def test_days_come_in_order_with_the_idle_ones_between() -> None:
    write([an_entry(created_at=MIDNIGHT + 3 * 86400 + 60), an_entry(created_at=MIDNIGHT + 60)])
    found = report(START - DAY, START + 9 * DAY, "day")
    assert [(row.name, row.requests) for row in found] == [
        ("2026-03-31", 1),
        ("2026-04-01", 0),
        ("2026-04-02", 0),
        ("2026-04-03", 1),
    ]
    assert found[1] == Row("2026-04-01")


def test_anything_else_comes_by_cost_then_requests() -> None:
    write([an_entry(route="cheap", cost=1), an_entry(route="dear", cost=5)])
    write([an_entry(route="busy", cost=0), an_entry(route="busy", cost=0), an_entry(route="idle")])
    assert [row.name for row in report(START, START + DAY, "model")] == ["dear", "cheap", "busy", "idle"]


def test_keys_of_the_same_name_stay_apart_and_tell_their_tenant() -> None:
    write(
        [
            an_entry(key_id=1, key="main", tenant_id=1, tenant="a"),
            an_entry(key_id=2, key="main", tenant_id=2, tenant="b"),
        ]
    )
    assert sorted((row.name, row.tenant, row.id) for row in report(START, START + DAY, "key")) == [
        ("main", "a", 1),
        ("main", "b", 2),
    ]


def test_what_has_no_project_stands_by_its_tenant() -> None:
    write([an_entry(cost=1), an_entry(cost=2, tenant_id=2, tenant="b"), an_entry(cost=4, project_id=9, project="web")])
    found = report(START, START + DAY, "project")
    assert [(row.name, row.id, row.tenant, row.cost) for row in found] == [
        ("web", 9, "acme", 4),
        ("", 0, "b", 2),
        ("", 0, "acme", 1),
    ]


def test_tags_of_the_same_name_stay_apart_and_one_is_found_by_tenant_and_day() -> None:
    write([an_entry(declared=["prod", "other"], cost=3), an_entry(declared=["prod"], cost=1, tenant_id=2, tenant="b")])
    found = [(row.name, row.tenant, row.cost) for row in report(START, START + DAY, "tag")]
    assert found == [("other", "acme", 3), ("prod", "acme", 3), ("prod", "b", 1)]
    of_one = {"tag": "prod"}
    assert [row.cost for row in report(START, START + DAY, "tenant", of_one)] == [3, 1]
    assert [row.cost for row in report(START, START + DAY, "day", {**of_one, "tenant": "b"})] == [1]
    assert [row.cost for row in report(START, START + DAY, "tag", of_one)] == [3, 1]


def test_a_renamed_key_is_one_row_under_its_last_name_and_found_by_it() -> None:
    tenant = Tenant.objects.create(name="acme")
    key = ApiKey.objects.create(tenant=tenant, name="new", digest="d")
    facts = {"tenant_id": tenant.pk, "key_id": key.pk}
    write([an_entry(key="zold", **facts), an_entry(key="new", created_at=MIDNIGHT + 90_000, **facts)])
    for filters in ({}, {"key": "new"}):
        assert [(row.name, row.requests) for row in report(START, START + 3 * DAY, "key", filters)] == [("new", 2)]


def test_a_report_reads_rollups_only_in_as_many_queries_however_much_there_is(rows: list[Usage]) -> None:
    counts = []
    for filters in ({}, {"tenant": "tenant-1"}):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            report(*PERIODS["ragged"], "key", filters)
        assert all("tenants_usagehour" in query["sql"] or "tenants_usageday" in query["sql"] for query in queries)
        assert any("tenants_usageday" in query["sql"] for query in queries)
        counts.append(len(queries))
    assert counts == [6, 6]


def test_the_seeded_month_is_what_it_says() -> None:
    assert rollup_seed.seed(2000, days=3, combinations=150) == UsageHour.objects.count() + UsageDay.objects.count()
    assert [row.requests for row in report(rollup_seed.FIRST, rollup_seed.FIRST + 3 * DAY, "day")] == [666, 667, 667]
    assert len(report(rollup_seed.FIRST, rollup_seed.FIRST + 3 * DAY, "key")) == 100


# CSV


def parsed(rows: list[Row]) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(as_csv(rows)).splitlines(keepends=True)))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=cmd|"/c calc"!A1'])
def test_a_formula_in_a_name_is_neutralised(name: str) -> None:
    line = parsed([Row(name, tenant=name)])[0]
    assert line["name"] == f"'{name}" and line["tenant"] == f"'{name}"


@pytest.mark.parametrize("name", ["", "plain", 'a "quoted", name\nwith = inside', "ünï 日本"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert parsed([Row(name)])[0]["name"] == name


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (12_345_678_901, "12.345678901"),
        (10**24 + 7, "1000000000000000.000000007"),
    ],
)
def test_costs_are_exact_dollars(cost: int, text: str) -> None:
    assert parsed([Row("x", cost=cost)])[0]["cost_usd"] == text


def test_numbers_stay_numbers() -> None:
    line = parsed([Row("x", 7, "", 10, -2, 3, 4, 5, 6, 7, 8, 9, 1_234_567_891, None)])[0]
    assert line == {
        "name": "x",
        "id": "7",
        "tenant": "",
        "requests": "10",
        "errors": "-2",
        "input_tokens": "3",
        "output_tokens": "4",
        "cache_read_tokens": "5",
        "cache_write_tokens": "6",
        "reasoning_tokens": "7",
        "cost_usd": "0.000000008",
        "unpriced": "9",
        "p50_ms": "1234567.891",
        "p95_ms": "",
    }


def test_the_file_is_streamed() -> None:
    asked = iter(range(10**9))
    lines = as_csv(Row(str(number)) for number in asked)
    assert [next(lines).split(",")[0] for _ in range(3)] == ["name", "0", "1"]
    assert next(asked) == 2


def test_random_names_survive_a_spreadsheet() -> None:
    chosen = random.Random(1)
    names = ["".join(chosen.choice("=+-@\t\r\n',\";a ") for _ in range(6)) for _ in range(500)]
    for name, line in zip(names, parsed([Row(name) for name in names]), strict=True):
        assert line["name"].removeprefix("'") == name.removeprefix("'") and line["name"][:1] not in tuple("=+-@\t\r")
