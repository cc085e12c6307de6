"""The list of requests: read-only, never counted, always by an index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tenants.figures import dollars, duration, rounded
from tenants.models import Tenant, Usage, UsageDay
from tests.admin_site import EVIL, add_usage

pytestmark = pytest.mark.django_db

LIST = "/admin/tenants/usage/"


def sqlite_plan(sql: str) -> str:
    if connection.vendor != "sqlite":  # whose planner looks at the size of the table, and here it is tiny
        return "INDEX"
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return " | ".join(row[3] for row in cursor.fetchall())


def shown(client: Client, **query: Any) -> list[str]:
    reply = client.get(LIST, query)
    assert reply.status_code == 200
    return [row.request_id for row in reply.context["cl"].result_list]


@pytest.fixture
def rows() -> None:
    now = timezone.now()
    add_usage(now - timedelta(days=40), request_id="old", tenant_id=1, route="fast", provider_id=5, interrupted=True)
    add_usage(
        now - timedelta(days=2), request_id="days", tenant_id=2, error_kind="timeout", status=504, bound_exceeded=True
    )
    facts = {"error_kind": "cancelled", "route": "slow", "provider_id": 6, "end_user": "ann/é", "cost": 5}
    add_usage(now - timedelta(minutes=5), request_id="now", tenant_id=1, **facts)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["now", "days", "old"]),
        ({"period": "hour"}, ["now"]),
        ({"period": "week"}, ["now", "days"]),
        ({"error": "any"}, ["now", "days"]),
        ({"error": "timeout"}, ["days"]),
        ({"tenant": "1"}, ["now", "old"]),
        ({"tenant": "1", "period": "month"}, ["now"]),
        ({"route": "fast"}, ["old"]),
        ({"provider": "6"}, ["now"]),
        ({"provider": "x'"}, ["now", "days", "old"]),
        ({"tenant": "x"}, ["now", "days", "old"]),
        ({"marked": "interrupted"}, ["old"]),
        ({"marked": "exceeded"}, ["days"]),
        ({"marked": "unpriced"}, ["old"]),
        ({"marked": "x"}, ["now", "days", "old"]),
        ({"end_user": "ann/é"}, ["now"]),
        ({"end_user": "ann/é", "tenant": "1"}, ["now"]),
        ({"end_user": "ann"}, []),
        ({"period": "x"}, ["now", "days", "old"]),
        ({"q": "days"}, ["days"]),
        ({"q": "day"}, []),
        ({"q": "DAYS"}, []),
    ],
)
def test_filters_find_by_index_and_nothing_counts(
    admin_client: Client, rows: None, query: dict[str, str], found: list[str]
) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert shown(admin_client, **query) == found
    on_usage = [entry["sql"] for entry in captured if 'FROM "tenants_usage"' in entry["sql"]]
    assert on_usage
    for sql in on_usage:
        assert "COUNT(" not in sql
        plan = sqlite_plan(sql)
        assert "INDEX" in plan, plan
        # Exactly one request id has few rows to sort; everything else comes in order.
        assert "TEMP B-TREE" not in plan or "q" in query, plan


def test_pages_go_on_without_a_total(admin_client: Client) -> None:
    for _ in range(60):
        add_usage()
    first, second = shown(admin_client), shown(admin_client, p=2)
    assert (len(first), len(second)) == (50, 10) and not set(first) & set(second)
    text = admin_client.get(LIST).content.decode()
    assert "9999999999" not in text.replace(",", "")


def test_filter_choices(admin_client: Client) -> None:
    Tenant.objects.create(name="acme")
    UsageDay.objects.create(
        start=timezone.now(), tenant_id=1, tenant="acme", key_id=1, key="k", route=EVIL, provider_id=3, provider=EVIL
    )
    text = admin_client.get(LIST).content.decode()
    assert "?tenant=" in text and "&lt;script&gt;" in text and EVIL not in text and "<script>alert" not in text


def test_an_end_user_is_a_link_to_what_he_asked_for(admin_client: Client) -> None:
    row = add_usage(end_user="a&b/é")
    for url in (LIST, reverse("admin:tenants_usage_change", args=[row.pk])):
        text = admin_client.get(url).content.decode()
        assert f'href="{LIST}?end_user=a%26b%2F%C3%A9"' in text and "a&amp;b/é</a>" in text


def test_nobody_writes(client: Client) -> None:
    row = add_usage(request_id="r-1", cost=1_234_567_890, end_user=EVIL)
    clerk = User.objects.create(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__model="usage"))
    client.force_login(clerk)
    page = reverse("admin:tenants_usage_change", args=[row.pk])
    text = client.get(page).content.decode()
    assert "$1.23456789" in text and "&lt;script&gt;" in text and EVIL not in text
    for url in (reverse("admin:tenants_usage_add"), page, reverse("admin:tenants_usage_delete", args=[row.pk])):
        assert client.post(url, {"post": "yes", "status": "1"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert Usage.objects.get().status == 200


def test_every_column_stands_on_the_page(admin_client: Client) -> None:
    values: dict[str, Any] = {
        field.name: f"value-of-{field.name}"[: field.max_length]
        for field in Usage._meta.fields
        if field.get_internal_type() == "CharField" and field.name != "kind"
    }
    row = add_usage(**values)
    text = admin_client.get(reverse("admin:tenants_usage_change", args=[row.pk])).content.decode()
    missing = [
        field.name
        for field in Usage._meta.fields
        if field.get_internal_type() == "CharField" and f"value-of-{field.name}"[: field.max_length] not in text
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (None, "no price"),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (1_500_000_000, "$1.50"),
        (-2_000_000_000, "-$2.00"),
        (1_234_000_000_000_000, "$1,234,000.00"),
    ],
)
def test_dollars_are_exact(nano: int | None, text: str) -> None:
    assert dollars(nano) == text


def test_sums_are_rounded() -> None:
    assert [rounded(nano) for nano in (0, 49_999, 50_001, 1_234_567_890_000)] == [
        "$0.0000",
        "$0.0000",
        "$0.0001",
        "$1,234.5679",
    ]


@pytest.mark.parametrize(("microseconds", "text"), [(None, "-"), (1500, "1.5 ms"), (2_500_000, "2.50 s")])
def test_durations(microseconds: int | None, text: str) -> None:
    assert duration(microseconds) == text
