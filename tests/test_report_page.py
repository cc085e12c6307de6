"""The usage report's page: periods, groupings, filters, escaping, and the CSV file, streamed."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import AsyncClient, Client
from django.utils import timezone

from tenants import histogram, report_table, reports
from tenants.models import ApiKey, TagDay, Tenant, UsageDay, UsageHour
from tenants.report_form import GROUPINGS, ReportForm, preset
from tests.admin_site import EVIL

pytestmark = pytest.mark.django_db

URL = "/admin/usage-report/"
DAY = datetime(2026, 3, 10, tzinfo=UTC)
CUSTOM = {"start": "2026-03-10T00:00", "end": "2026-03-12T00:00"}


def add(day: datetime, **values: Any) -> None:
    """One day's use by a key, as the drain would have summed it: the same in both tables."""
    given = {
        "tenant_id": 1,
        "tenant": "acme",
        "key_id": 1,
        "key": "web",
        "route": "fast",
        "provider_id": 1,
        "provider": "openai",
        "requests": 10,
        "errors": 1,
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost": 1_500_000_000,
        "latency": histogram.pack(10 * histogram.one(250_000)),
        **values,
    }
    UsageDay.objects.create(start=day, **given)
    UsageHour.objects.create(start=day + timedelta(hours=5), **given)


@pytest.fixture
def use() -> None:
    add(DAY)
    add(
        DAY,
        tenant_id=2,
        tenant=EVIL,
        key_id=2,
        key="=1+1",
        route="-slow",
        provider="@x",
        provider_id=2,
        cost=0,
        unpriced=3,
    )
    add(DAY + timedelta(days=1), key_id=3, key="cron", requests=5, errors=0)
    add(DAY + timedelta(days=5), tenant="later")


def cells(text: str) -> list[list[str]]:
    """The table's body, row by row."""
    body = text.split("<tbody>")[1].split("</tbody>")[0]
    return [re.findall(r"<td>(?:<a [^>]*>)?([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", body)]


def chart(text: str) -> Any:
    return json.loads(text.split('id="chart-data" type="application/json">')[1].split("</script>")[0])


EXPECTED = {
    "day": ["2026-03-10", "2026-03-11"],
    "tenant": ["acme", "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;amp;"],
    "model": ["fast", "-slow"],
    "provider": ["openai", "@x"],
}


@pytest.mark.parametrize("by", EXPECTED)
def test_groupings(admin_client: Client, use: None, by: str) -> None:
    text = admin_client.get(URL, {**CUSTOM, "by": by}).content.decode()
    assert [row[0] for row in cells(text)] == EXPECTED[by]
    assert sum(int(row[1]) for row in cells(text)) == 25
    assert "2026-03-10 00:00 to 2026-03-12 00:00 UTC" in text
    assert EVIL not in text and "<script>alert" not in text
    assert sum(chart(text)["good"]) == 23 and sum(chart(text)["errors"]) == 2


def test_keys_stand_with_their_tenant(admin_client: Client, use: None) -> None:
    text = admin_client.get(URL, {**CUSTOM, "by": "key"}).content.decode()
    assert {row[0] for row in cells(text)} >= {"acme · web", "acme · cron"}
    assert "?tenant=acme&amp;key=web&amp;by=model&amp;start=2026-03-10T00%3A00&amp;end=2026-03-12T00%3A00" in text


def test_numbers_and_totals(admin_client: Client, use: None) -> None:
    text = admin_client.get(URL, {**CUSTOM, "by": "tenant"}).content.decode()
    row = cells(text)[0]
    assert row[1:10] == ["15", "1", "2,000", "0", "0", "400", "0", "0", "$3.0000"]
    assert re.fullmatch(r"2\d\d\.\d ms", row[10]) and re.fullmatch(r"2\d\d\.\d ms", row[11])
    foot = re.findall(r"<td>([^<]*)", text.split("<tfoot>")[1].split("</tfoot>")[0])
    assert foot[:3] == ["Total", "25", "2"] and foot[8:10] == ["3", "$3.0000"]


@pytest.mark.parametrize(
    ("filters", "requests"),
    [
        ({"tenant": "acme"}, 15),
        ({"key": "web"}, 10),
        ({"model": "fast"}, 15),
        ({"provider": "@x"}, 10),
        ({"tenant": EVIL}, 10),
        ({"tenant": "acme", "model": "-slow"}, 0),
    ],
)
def test_filters(admin_client: Client, use: None, filters: dict[str, str], requests: int) -> None:
    Tenant.objects.create(name="acme")
    assert not ApiKey.objects.exists()
    text = admin_client.get(URL, {**CUSTOM, "by": "model", **filters}).content.decode()
    assert sum(int(row[1]) for row in cells(text) if len(row) > 1) == requests
    assert "<script>alert" not in text


def test_projects_and_tags(admin_client: Client, use: None) -> None:
    add(DAY, project_id=4, project="shop", key_id=9, requests=7)
    sums = {"tenant_id": 1, "tenant": "acme", "requests": 4, "cost": 5, "cache_read_tokens": 30, "reasoning_tokens": 6}
    TagDay.objects.create(start=DAY, tag=EVIL, **sums)
    text = admin_client.get(URL, {**CUSTOM, "by": "project", "tenant": "acme"}).content.decode()
    assert [row[:2] for row in cells(text)] == [["acme", "15"], ["acme · shop", "7"]]
    assert "?tenant=acme&amp;project=shop&amp;by=key" in text
    text = admin_client.get(URL, {**CUSTOM, "by": "key", "project": "shop"}).content.decode()
    assert [row[1] for row in cells(text)] == ["7"]
    text = admin_client.get(URL, {**CUSTOM, "by": "tag"}).content.decode()
    assert [row[1:8] for row in cells(text)] == [["4", "0", "0", "30", "0", "0", "6"]]
    assert EVIL not in text and "by=day" in text


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"period": "custom"}, "from when until when"),
        ({"start": "2026-03-12T00:00", "end": "2026-03-10T00:00"}, "later than the beginning"),
        ({"start": "9998-01-01T00:00", "end": "9999-12-31T23:59"}, "years from 2000"),
        ({"start": "0001-01-01T00:00", "end": "2026-01-01T00:00"}, "years from 2000"),
        ({"start": "yesterday", "end": "today"}, "valid date"),
        ({"period": "eon"}, "valid choice"),
        ({"by": EVIL}, "valid choice"),
        ({"tenant": "x\x00"}, "Null characters"),
        ({"tenant": "x" * 64}, "at most 63"),
        ({"by": "tag", "model": "fast"}, "only the tenant and the day"),
        ({"by": "key", "tag": "prod"}, "only the tenant and the day"),
    ],
)
def test_wrong_questions_are_form_errors(admin_client: Client, asked: dict[str, str], error: str) -> None:
    for extra in ({}, {"format": "csv"}):
        reply = admin_client.get(URL, {**asked, **extra})
        assert reply.status_code == 400 and error in reply.content.decode()
        assert "<script>alert" not in reply.content.decode()


def test_periods() -> None:
    now = datetime(2026, 3, 1, 10, 20, tzinfo=UTC)
    found = {name: preset(name, now) for name in ("today", "24h", "7d", "30d", "month", "last-month")}
    assert {name: (f"{start:%m-%d %H}", f"{end:%m-%d %H}") for name, (start, end) in found.items()} == {
        "today": ("03-01 00", "03-01 11"),
        "24h": ("02-28 11", "03-01 11"),
        "7d": ("02-23 00", "03-01 11"),
        "30d": ("01-31 00", "03-01 11"),
        "month": ("03-01 00", "03-01 11"),
        "last-month": ("02-01 00", "03-01 00"),
    }


def test_what_is_asked_for_when_nothing_is() -> None:
    form = ReportForm({})
    assert form.is_valid()
    query = form.query()
    assert (query.by, query.filters) == ("day", {})
    assert query.start <= timezone.now() - timedelta(days=6) and query.end > timezone.now()


def test_groupings_are_those_of_the_report() -> None:
    assert {name for name, _ in GROUPINGS} == set(reports.BY)


def test_a_long_table_is_cut_but_its_total_is_not(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, use: None
) -> None:
    monkeypatch.setattr(report_table, "MOST", 1)
    text = admin_client.get(URL, {**CUSTOM, "by": "provider"}).content.decode()
    assert len(cells(text)) == 1 and "and 1 more" in text and "<td>25</td>" in text


CSV = {**CUSTOM, "by": "key", "format": "csv"}


def test_csv(admin_client: Client, use: None) -> None:
    reply: Any = admin_client.get(URL, CSV)
    assert reply["content-type"] == "text/csv; charset=utf-8"
    assert reply["content-disposition"] == 'attachment; filename="usage-by-key-20260310-20260312.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode())))
    assert {row["name"] for row in rows} == {"web", "cron", "'=1+1"}
    assert sum(int(row["requests"]) for row in rows) == 25


@pytest.mark.django_db(transaction=True)
def test_csv_is_streamed_on_asgi_too(admin_user: User, use: None) -> None:
    client = AsyncClient()
    client.force_login(admin_user)

    async def fetch() -> bytes:
        reply: Any = await client.get(URL, CSV)
        assert reply.is_async
        content = b"".join([piece async for piece in reply.streaming_content])
        await sync_to_async(connections.close_all)()  # of the thread that answered
        return content

    assert asyncio.run(fetch()).count(b"\r\n") == 4


def test_only_those_who_may_see_usage(client: Client, use: None) -> None:
    assert client.get(URL)["location"].startswith("/admin/login/")
    clerk = User.objects.create(username="clerk", is_staff=True)
    client.force_login(clerk)
    for query in ({}, {"format": "csv"}):
        assert client.get(URL, query).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_usage"))
    assert client.get(URL).status_code == 200


def test_the_index_sums_up_the_last_day(admin_client: Client) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    sums = {"requests": 1234, "errors": 617, "input_tokens": 9_000_001, "cost": 2_500_000_000}
    names = {"tenant_id": 1, "tenant": "t", "key_id": 1, "key": "k", "route": EVIL, "provider_id": 1, "provider": "p"}
    UsageHour.objects.create(start=hour, **names, **sums)
    UsageDay.objects.create(start=hour.replace(hour=0), **names, **sums)  # what the last hour of a day is read from
    text = admin_client.get("/admin/").content.decode()
    assert "1,234" in text and "50.0% of requests" in text and "9,000,001" in text and "$2.5000" in text
    assert "&lt;script&gt;alert" in text and "<script>alert" not in text
