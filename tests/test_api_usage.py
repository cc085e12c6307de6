"""Usage in the REST API: the report, and the rows page by page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from tenants import histogram
from tenants.models import TagDay, UsageDay, UsageHour
from tests.admin_site import add_usage
from tests.api_site import (
    WRITE,
    api,
    client_of,
    no_throttle_left_over,
    rows,
)

pytestmark = pytest.mark.django_db
assert api and rows and no_throttle_left_over  # fixtures


def add_rollup(start: datetime, tenant: str, cost: int) -> None:
    values = {"tenant_id": len(tenant), "tenant": tenant, "key_id": 1, "key": "k", "route": "gpt-*", "provider_id": 1}
    latency = histogram.pack(histogram.one(250_000) * 4)
    sums = {"requests": 4, "errors": 1, "input_tokens": 40, "output_tokens": 20, "cost": cost, "latency": latency}
    UsageHour.objects.create(start=start.replace(minute=0), provider="main", **values, **sums)
    UsageDay.objects.create(start=start.replace(hour=0, minute=0), provider="main", **values, **sums)


def test_the_usage_report(api: APIClient) -> None:
    add_rollup(datetime(2026, 5, 1, 10, tzinfo=UTC), "acme", 700)
    add_rollup(datetime(2026, 5, 2, 11, tzinfo=UTC), "globex", 900)
    url = reverse("api:usage")
    found = api.get(url, {"start": "2026-05-01T00:30", "end": "2026-05-03T00:00:00Z", "by": "tenant"}).json()
    assert (found["start"], found["end"], found["by"]) == ("2026-05-01T00:00:00Z", "2026-05-03T00:00:00Z", "tenant")
    assert [row["name"] for row in found["rows"]] == ["globex", "acme"]
    row = found["rows"][1]
    assert {name: row[name] for name in ("requests", "errors", "input_tokens", "output_tokens", "cost")} == {
        "requests": 4,
        "errors": 1,
        "input_tokens": 40,
        "output_tokens": 20,
        "cost": 700,
    }
    assert abs(row["p50_us"] - 250_000) < 0.05 * 250_000
    asked = {"start": "2026-05-02T00:00", "end": "2026-05-03T00:00", "by": "day", "tenant": "acme"}
    assert api.get(url, asked).json()["rows"] == []
    assert api.get(url, {**asked, "tenant": "globex"}).json()["rows"][0]["name"] == "2026-05-02"
    assert api.get(url).json()["by"] == "day"
    assert client_of("tenants.view_tenant").get(url).status_code == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?by=colour", "by"),
        ("?period=never", "period"),
        ("?start=soon&end=later", "start"),
        ("?start=2026-05-02T00:00&end=2026-05-01T00:00", "end"),
        ("?tennant=acme", "tennant"),
        ("?tenant=%00", "tenant"),
    ],
)
def test_a_usage_report_that_is_not_understood(api: APIClient, query: str, field: str) -> None:
    response = api.get(reverse("api:usage") + query)
    assert response.status_code == 400
    assert field in response.json()


def test_the_usage_report_by_project_and_tag(api: APIClient) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    names = {"tenant_id": 4, "tenant": "acme", "project_id": 8, "project": "web", "key_id": 1, "key": "k", "route": "r"}
    sums = {"requests": 4, "cost": 7, "cache_read_tokens": 30, "cache_write_tokens": 2, "reasoning_tokens": 6}
    UsageDay.objects.create(start=start, provider_id=1, provider="p", **names, **sums)
    TagDay.objects.create(start=start, tenant_id=4, tenant="acme", tag="prod", **sums)
    url, asked = reverse("api:usage"), {"start": "2026-05-01T00:00", "end": "2026-05-02T00:00"}
    for query, name, number in (
        ({"by": "project"}, "web", 8),
        ({"by": "tag"}, "prod", None),
        ({"by": "tenant", "tag": "prod"}, "acme", 4),
        ({"by": "model", "project": "web"}, "r", None),
    ):
        (row,) = api.get(url, {**asked, **query}).json()["rows"]
        assert (row["name"], row["id"]) == (name, number) and {key: row[key] for key in sums} == sums
    for query in ({"by": "tag", "key": "k"}, {"by": "provider", "tag": "prod"}):
        assert api.get(url, {**asked, **query}).json().keys() == {"by"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("end_user=ann", ["ann"]),
        ("project_id=8", ["ann"]),
        ("interrupted=1", ["cut"]),
        ("bound_exceeded=true", ["over"]),
        ("without_price=1", ["over", "cut"]),
        ("without_price=0&interrupted=0", ["ann"]),
    ],
)
def test_usage_rows_of_some_kind(api: APIClient, query: str, found: list[str]) -> None:
    add_usage(request_id="ann", end_user="ann", project_id=8, cost=1)
    add_usage(request_id="cut", end_user="bob", interrupted=True)
    add_usage(request_id="over", bound_exceeded=True)
    page = api.get(f"{reverse('api:request-list')}?{query}").json()
    assert [row["request_id"] for row in page["results"]] == found


def test_usage_rows_page_by_page(api: APIClient) -> None:
    ids = [str(add_usage(tenant="acme", status=200 + n).pk) for n in range(5)]
    page = api.get(reverse("api:request-list") + "?page_size=2&tenant=acme").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"]:
        page = api.get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
    assert seen == sorted(ids, reverse=True)
    assert api.get(reverse("api:request-detail", kwargs={"pk": ids[0]})).json()["status"] == 200
    assert api.get(reverse("api:request-list") + "?cursor=nonsense").status_code == 404
    for method in WRITE:
        assert getattr(api, method)(reverse("api:request-detail", kwargs={"pk": ids[0]})).status_code == 405
