"""Old usage rows go, their sums stay; and so do rows from which something may still be computed."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tenants import partitions, prune, upkeep
from tenants.compared import Span
from tenants.drain import write
from tenants.ledger import Entry
from tenants.ledger_check import check
from tenants.models import Budget, Tenant, Usage, UsageHour
from tenants.reports import BY, report
from tests.admin_site import usage_id
from tests.usage_entries import an_entry

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
_number = 0


def entry_of(at: datetime, **facts: Any) -> Entry:
    global _number
    _number += 1
    return an_entry(id=usage_id(at, _number), created_at=at.timestamp(), **facts)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def rows(now: datetime) -> list[Entry]:
    """One of each of the last hundred days, the newest first."""
    entries = [entry_of(now - day * DAY, cost=day, declared=["prod"]) for day in range(100)]
    write(entries)
    return entries


def last(days: int, now: datetime, **options: Any) -> prune.Count:
    count = prune.Count()
    for count in prune.prune(prune.plan(days, now), **options):  # noqa: B007
        pass
    return count


def costs() -> list[int]:
    return sorted(cost or 0 for cost in Usage.objects.values_list("cost", flat=True))


def test_old_rows_go_and_reports_stay(rows: list[Entry], now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "BATCH", 7)
    before = {by: report(now - 200 * DAY, now + DAY, by) for by in BY}
    assert last(30, now, dry=True).rows == 69 and Usage.objects.count() == 100 and prune.kept_since() is None
    assert last(30, now).rows == 69
    assert costs() == list(range(31))
    assert {by: report(now - 200 * DAY, now + DAY, by) for by in BY} == before
    assert [each.shown for each in check(Span())] == [[]] * 8
    assert last(30, now).rows == 0 and last(90, now).rows == 0
    assert prune.kept_since() == prune.plan(30, now).cutoff


def test_damage_behind_what_is_kept_is_still_found(rows: list[Entry], now: datetime) -> None:
    last(30, now)
    Usage.objects.filter(cost=30).delete()
    assert any(each.differ for each in check(Span()))


def test_rows_of_a_period_that_goes_on_stay(now: datetime) -> None:
    acme, other = (Tenant.objects.create(name=name) for name in ("acme", "other"))
    Budget.objects.create(tenant=acme, name="for good", amount=1, period="total", enabled=False)
    facts = {"begins_at": now - 40 * DAY, "ends_at": now + DAY}
    Budget.objects.create(tenant=other, name="project", amount=1, period="fixed", **facts)
    write([entry_of(now - day * DAY, tenant_id=acme.pk, cost=1) for day in (1, 50)])
    write([entry_of(now - day * DAY, tenant_id=other.pk, cost=2) for day in (1, 20, 50)])
    write([entry_of(now - day * DAY, tenant_id=999, cost=3) for day in (1, 20)])
    output = StringIO()
    call_command("pruneusage", "--days", "10", stdout=output)
    assert costs() == [1, 1, 2, 2, 3]
    text = output.getvalue()
    assert "2 rows from before" in text and "2 older rows stay" in text
    assert "acme: for good, since 1970-01-01" in text and "other: project, since" in text


def test_corrections_and_what_they_correct_go_together(now: datetime) -> None:
    old, older = entry_of(now - 40 * DAY, cost=100), entry_of(now - 41 * DAY, cost=200)
    late = entry_of(now - DAY, cost=-1, kind="correction", corrects=old.id)
    early = entry_of(now - 39 * DAY, cost=-2, kind="correction", corrects=old.id)
    gone = entry_of(now - 38 * DAY, cost=-3, kind="correction", corrects=older.id)
    write([old, older, late, early, gone])
    assert last(30, now, dry=True).corrections == 2
    count = last(30, now)
    assert (count.rows, count.corrections) == (2, 2) and costs() == [-2, -1, 100]
    assert last(0 + 1, now + 30 * DAY).rows == 3 and costs() == []


def test_what_has_a_clock_that_stepped_back_stays(now: datetime) -> None:
    entry = entry_of(now - 40 * DAY)
    entry.created_at = now.timestamp()
    write([entry])
    assert last(30, now).rows == 0 and Usage.objects.count() == 1


@pytest.mark.parametrize("days", [0, -1, 10**6, 10**12])
def test_days_that_make_no_sense(days: int) -> None:
    with pytest.raises(CommandError, match="Rows are kept for 1 to"):
        call_command("pruneusage", "--days", str(days))


def test_a_dry_run_says_what_would_go(rows: list[Entry]) -> None:
    output = StringIO()
    call_command("pruneusage", "--days", "30", "--dry-run", stdout=output)
    assert output.getvalue().startswith("69 rows from before ") and "would go" in output.getvalue()
    assert Usage.objects.count() == 100


@pytest.mark.django_db(transaction=True)
def test_upkeep_prunes_if_it_is_told_to(rows: list[Entry], now: datetime, settings: LazySettings) -> None:
    async_to_sync(upkeep.tidy)(now)
    assert Usage.objects.count() == 100
    settings.GATEWAY_USAGE_DAYS = 30
    async_to_sync(upkeep.tidy)(now)  # not due
    assert Usage.objects.count() == 100
    async_to_sync(upkeep.tidy)(now + upkeep.EVERY)
    assert Usage.objects.count() <= 32 and UsageHour.objects.count() == 100


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_whole_months_go_with_their_partitions(now: datetime) -> None:
    months = [partitions.month_of(now)]
    for _ in range(3):
        months.insert(0, partitions.month_of(months[0].first - DAY))
    partitions.make(months)
    entries = [entry_of(month.first + number * DAY, cost=1) for month in months for number in range(3)]
    correction = entry_of(now, kind="correction", corrects=entries[3].id, cost=-1)
    write([*entries, correction])
    days = (now - months[2].first - DAY).days  # the cutoff lies in the third month
    assert last(days, now, dry=True).months == months[:1]
    count = last(days, now)
    assert count.months == months[:1] and count.corrections == 1
    assert months[0] not in partitions.there(connection) and months[1] in partitions.there(connection)
    ids: set[UUID] = set(Usage.objects.values_list("id", flat=True))
    assert not ids & {entry.id for entry in (*entries[:3], *entries[4:6])} and entries[3].id in ids
    write([entries[0]])  # what comes late has a place
    assert Usage.objects.filter(pk=entries[0].id).exists()
    for month in partitions.there(connection):
        if month < partitions.month_of(now):
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {month.table}")
