"""Monthly partitions of usage rows on PostgreSQL; none on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from tenants import partitions
from tenants.drain import write
from tenants.models import Usage
from tenants.partitions import Month, ahead, first_id, month_of
from tenants.uuid7 import uuid7
from tests.admin_site import add_usage, usage_id
from tests.usage_entries import an_entry, assert_rollups_are_the_sum_of_the_rows

POSTGRES = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def postgres(test: object) -> object:
    for mark in POSTGRES:
        test = mark(test)
    return test


def tables_of_rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM tenants_usage GROUP BY 1")
        return dict(cursor.fetchall())


def indexes() -> set[str]:
    """By what they are on, whatever the schema and whether partitioned."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'tenants_usage'::regclass")
        return {row[0].replace(" ON ONLY ", " ON ") for row in cursor.fetchall()}


def checks() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'tenants_usage'::regclass"
        )
        return {row[0] for row in cursor.fetchall()}


def test_months() -> None:
    december = Month(2026, 12)
    assert december.following == Month(2027, 1) and december.table == "tenants_usage_p202612"
    assert month_of(datetime(2026, 12, 31, 23, 30, tzinfo=UTC)) == december
    assert month_of(datetime.fromisoformat("2027-01-01T00:30+01:00")) == december
    assert ahead(datetime(2026, 11, 5, tzinfo=UTC)) == [Month(2026, 11), december, Month(2027, 1)]
    first = usage_id(datetime(2026, 12, 1, tzinfo=UTC))
    assert december.lower <= first < december.upper and usage_id(datetime(2027, 1, 1, tzinfo=UTC)) >= december.upper
    assert first_id(datetime(1950, 1, 1, tzinfo=UTC)) == UUID(int=0)
    now = timezone.now()
    assert month_of(now).lower < uuid7() < month_of(now).upper


@pytest.mark.django_db
def test_sqlite_has_none() -> None:
    if connection.vendor == "sqlite":
        assert partitions.there(connection) == [] == partitions.make_ahead(timezone.now())


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", "tenants", check=True, dry_run=True, verbosity=0)


@postgres
def test_rows_go_where_their_ids_say() -> None:
    now = timezone.now()
    assert set(partitions.there(connection)) >= set(ahead(now))
    write([an_entry(), an_entry(id=UUID(int=5)), an_entry(id=usage_id(datetime(2099, 1, 1, tzinfo=UTC)))])
    write([an_entry(id=usage_id(month.first)) for month in ahead(now)])
    found = tables_of_rows()
    assert found.pop("tenants_usage_default") == 2
    assert found == {month.table: 1 + (month == month_of(now)) for month in ahead(now)}


@postgres
def test_an_id_is_stored_once_over_all_partitions() -> None:
    entries = [an_entry(), an_entry(id=UUID(int=7)), an_entry()]
    write(entries[:2])
    write(entries)
    write([*entries, entries[0]])
    assert Usage.objects.count() == 3
    assert_rollups_are_the_sum_of_the_rows()
    with pytest.raises(IntegrityError), transaction.atomic():
        Usage.objects.create(id=entries[1].id, created_at=timezone.now(), status=200)


@pytest.fixture
def later() -> Iterator[Month]:
    month = Month(2098, 3)
    yield month
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {month.table}")


@postgres
def test_a_month_takes_what_the_default_partition_had_of_it(later: Month) -> None:
    entries = [an_entry(id=usage_id(later.first + timedelta(days=day))) for day in (0, 30, 31)]
    write(entries)
    assert partitions.make([later]) == [later] and partitions.make([later]) == []
    assert tables_of_rows() == {later.table: 2, "tenants_usage_default": 1}
    write(entries)
    assert Usage.objects.count() == 3
    assert len(indexes()) == index_count(later.table)


def index_count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_index WHERE indrelid = %s::regclass", [table])
        return int(cursor.fetchone()[0])


@postgres
def test_the_months_ahead_are_made_once() -> None:
    now = timezone.now()
    third = ahead(now)[-1]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {third.table}")
    assert partitions.make_ahead(now) == [third] and partitions.make_ahead(now) == []


@postgres
def test_one_table_and_back_loses_nothing() -> None:
    old = datetime(2024, 2, 10, tzinfo=UTC)
    write([an_entry(), an_entry(id=usage_id(old)), an_entry(id=UUID(int=9))])
    rows, known, bounds = list(Usage.objects.values()), indexes(), checks()
    with connection.schema_editor() as editor:
        partitions.unpartition(editor)
    try:
        assert partitions.there(connection) == [] and partitions.make_ahead(timezone.now()) == []
        assert list(Usage.objects.values()) == rows and indexes() == known and checks() == bounds
        write([an_entry()])
        rows = list(Usage.objects.values())
    finally:
        with connection.schema_editor() as editor:
            partitions.partition(editor, timezone.now())
    assert list(Usage.objects.values()) == rows and indexes() == known and checks() == bounds
    assert partitions.there(connection) == [Month(2024, 2), *ahead(timezone.now())]
    assert tables_of_rows()["tenants_usage_p202402"] == 1
    partitions.drop(connection, Month(2024, 2))


@postgres
def test_the_admin_lists_rows_of_several_partitions_in_order(admin_client: Client) -> None:
    now = timezone.now()
    made = [add_usage(at) for at in (datetime(2024, 2, 1, tzinfo=UTC), now, now + timedelta(days=40))]
    reply = admin_client.get("/admin/tenants/usage/")
    assert [row.pk for row in reply.context["cl"].result_list] == [row.pk for row in reversed(made)]
