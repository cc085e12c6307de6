"""Budgets and increases by REST and by files for apply."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from routing.apply_read import Refused
from routing.models import Revision
from tenants.models import ApiKey, Budget, LeaseIncrease, LeaseWindow, Project, Tenant
from tests.admin_site import add_usage
from tests.api_site import api, client_of, no_throttle_left_over
from tests.apply_site import do
from tests.budget_windows import NANO, window

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
assert api and no_throttle_left_over  # fixtures
LIST = "api:budget-list"
SOON = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def url(budget: Budget, name: str = "detail", **more: Any) -> str:
    return reverse(f"api:budget-{name}", kwargs={"pk": budget.pk, **more})


def test_one_comes_changes_and_goes(api: APIClient, project: Project) -> None:
    body = {"tenant": "acme", "name": "shop", "amount": "12.000000001", "of": "project", "project": "shop"}
    made = api.post(reverse(LIST), body)
    assert made.status_code == 201 and made.json().items() >= body.items(), made.content
    budget = Budget.objects.get()
    assert (budget.amount, budget.project) == (12_000_000_001, project)
    changed = api.patch(url(budget), {"amount": 5, "period": "week", "zone": "Europe/Berlin", "thresholds": [50]})
    assert changed.status_code == 200, changed.content
    assert (changed.json()["amount"], changed.json()["period"]) == ("5.00", "week")
    whole = api.get(url(budget)).json()
    sent = {name: value for name, value in whole.items() if name != "now"}
    again = api.put(url(budget), sent)
    assert again.status_code == 200 and again.json() == whole, again.content
    assert api.delete(url(budget)).status_code == 204 and not Budget.objects.exists()


def test_what_stands_of_it(api: APIClient, budget: Budget) -> None:
    row = window(budget, spent=60 * NANO, granted=NANO)
    LeaseIncrease.objects.create(counter=budget.counter, amount=NANO, ends_at=SOON, reason="r", made_by="m")
    (listed,) = api.get(reverse(LIST)).json()["results"]
    now = listed["now"]
    assert (now["spent"], now["held"], now["left"], now["increase"]) == ("60.00", "1.00", "40.00", "1.00")
    assert now["percent"] == 59 and now["period_start"].endswith("-01T00:00:00Z") and row.start
    assert now == api.get(url(budget)).json()["now"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"amount": "-1"}, "amount", "No less than nothing"),
        ({"amount": -5}, "amount", "No less than nothing"),
        ({"amount": 1.5}, "amount", "as text"),
        ({"amount": True}, "amount", "as text"),
        ({"amount": "1e9"}, "amount", "digits"),
        ({"amount": 10**10}, "amount", "too much"),
        ({"amount": None}, "amount", "null"),
        ({"zone": "Mars/Olympus"}, "zone", "no time zone"),
        ({"first_day": 31}, "first_day", "from 1 to 28"),
        ({"period": "fixed"}, "begins_at", "beginning and an end"),
        ({"begins_at": "2026-01-01T00:00:00Z"}, "begins_at", "Only a fixed period"),
        ({"thresholds": [100, 80]}, "thresholds", "rising"),
        ({"thresholds": {}}, "thresholds", "list"),
        ({"emails": ["x"]}, "emails", "no e-mail address"),
        ({"tag": "red"}, "tag", "counts the tenant"),
        ({"end_user": "eve"}, "end_user", "counts the tenant"),
        ({"of": "tag"}, "tag", "Say which"),
        ({"project": "foreign", "of": "project"}, "project", "acme has no project foreign"),
        ({"key": "web"}, "key", "counts the tenant"),
        ({"secret": "whsec_short"}, "secret", "24 to 64"),
        ({"name": "monthly"}, "non_field_errors", "already exists"),
        ({"generation": 7}, "generation", "no such field"),
    ],
)
def test_what_is_refused(
    api: APIClient, budget: Budget, key: ApiKey, body: dict[str, Any], field: str, words: str
) -> None:
    foreign = Tenant.objects.create(name="globex")
    Project.objects.create(tenant=foreign, name="foreign")
    reply = api.post(reverse(LIST), {"tenant": "acme", "name": "x", "amount": "1", **body})
    assert reply.status_code == 400 and list(reply.json()) == [field] and words in str(reply.json()), reply.content
    assert Budget.objects.count() == 1


def test_it_stays_with_its_tenant(api: APIClient, budget: Budget) -> None:
    Tenant.objects.create(name="globex")
    reply = api.patch(url(budget), {"tenant": "globex"})
    assert reply.status_code == 400 and list(reply.json()) == ["tenant"]


def test_another_period_carries_over(api: APIClient, budget: Budget) -> None:
    add_usage(tenant_id=budget.tenant_id, cost=7)
    assert api.patch(url(budget), {"period": "total"}).json()["now"]["spent"] == "0.000000007"
    assert LeaseWindow.objects.get().start == 0


def test_secrets_are_told_once(api: APIClient, tenant: Tenant) -> None:
    made = api.post(reverse(LIST), {"tenant": "acme", "name": "x", "amount": "1", "webhook": "https://x.org/"}).json()
    budget = Budget.objects.get()
    assert made["secret"].startswith("whsec_") and budget.secret == made["secret"] not in budget.webhook_secret
    assert "secret" not in api.get(url(budget)).json()
    other = api.post(url(budget, "rotate")).json()["secret"]
    budget.refresh_from_db()
    assert budget.secret == other != made["secret"]
    assert "secret" not in api.patch(url(budget), {"secret": SECRET}).json()
    budget.refresh_from_db()
    assert budget.secret == SECRET


@pytest.mark.django_db(transaction=True)
def test_increases(api: APIClient, budget: Budget) -> None:
    page = url(budget, "increases")
    before = Revision.objects.count()
    made = api.post(page, {"amount": "2.5", "until": SOON, "reason": "a launch"})
    assert made.status_code == 201, made.content
    row = LeaseIncrease.objects.get()
    assert (row.amount, row.ends_at, row.counter, row.made_by) == (2_500_000_000, SOON, budget.counter, "user0")
    assert Revision.objects.count() == before + 1
    assert api.get(page).json() == [made.json()]
    ended = api.post(url(budget, "end", increase=row.pk))
    assert ended.status_code == 200 and ended.json()["until"] < made.json()["until"]
    row.refresh_from_db()
    assert row.ends_at <= timezone.now()
    assert api.post(url(budget, "end", increase=row.pk + 1)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1000000000"}, "amount"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"until": "2120-01-01T00:00:00Z"}, "until"),
        ({"until": "soon"}, "until"),
        ({"reason": ""}, "reason"),
        ({"made_by": "somebody else"}, ""),
    ],
)
def test_increases_that_are_refused(api: APIClient, budget: Budget, body: dict[str, Any], field: str) -> None:
    reply = api.post(url(budget, "increases"), {"amount": "1", "until": SOON, "reason": "r", **body})
    if field:
        assert reply.status_code == 400 and list(reply.json()) == [field]
    else:  # who did it is not typed
        assert reply.json()["made_by"] == "user0"


def test_permissions(budget: Budget) -> None:
    viewer, adder = client_of("tenants.view_budget"), client_of("tenants.add_budget", "tenants.view_budget")
    for client in (viewer, adder):
        assert client.get(url(budget, "increases")).status_code == 200
        assert client.post(url(budget, "increases"), {}).status_code == 403
        assert client.post(url(budget, "rotate")).status_code == 403
    assert client_of("tenants.change_budget").post(url(budget, "rotate")).status_code == 200


FILE = f"""
tenants:
  - name: acme
    keys: [{{name: web}}]
    budgets:
      - name: monthly
        amount: 12.50
        thresholds: [50, 100]
        webhook: https://x.org/hook
        secret: {SECRET}
        increases: [{{amount: 3, until: "{SOON.isoformat()}", reason: a launch}}]
      - {{name: web, of: key, key: web, amount: "0.000000001", hard: false, period: day, zone: Europe/Berlin}}
"""


def test_a_file(tenant: Tenant) -> None:
    lines = do(FILE)
    assert "created budget acme/monthly" in lines and "created increase a launch" in lines
    monthly, web = Budget.objects.order_by("name")
    assert (monthly.amount, monthly.secret, web.amount, web.key) == (12_500_000_000, SECRET, 1, ApiKey.objects.get())
    assert LeaseIncrease.objects.get().amount == 3 * NANO
    assert do(FILE) == []
    assert do(FILE.replace("12.50", "13")) == ["changed budget acme/monthly: amount"]
    assert do(FILE) == ["changed budget acme/monthly: amount"]
    assert do(FILE.replace("amount: 3", "amount: 4")) == ["changed increase a launch: amount"]
    assert do(FILE) == ["changed increase a launch: amount"]
    assert do(FILE.replace("period: day", "period: week")) == ["changed budget acme/web: period"]
    assert Budget.objects.get(name="web").generation == 2
    assert do(FILE.replace("period: day", "period: week").replace("[{amount", "[] #"), prune=True) == [
        "ended increase a launch of monthly"
    ]
    assert LeaseIncrease.objects.get().ends_at <= timezone.now()
    assert do("tenants: [{name: acme, budgets: []}]", prune=True) == [
        "deleted budget acme/monthly",
        "deleted budget acme/web",
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("amount: -1", "amount: No less than nothing"),
        ("amount: 1, zone: Nowhere", "zone: 'Nowhere' is no time zone"),
        ("amount: 1, of: key, key: other", "key: acme has no key other"),
        ("amount: 1, thresholds: [9, 8]", "thresholds: Give rising"),
        ("amount: 1, increase: []", "Did you mean increases"),
        ('amount: 1, increases: [{amount: 1, until: "2020-01-01T00:00Z", reason: r}]', "until: That is over"),
    ],
)
def test_files_that_are_refused(tenant: Tenant, wrong: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        do(f"tenants: [{{name: acme, budgets: [{{name: b, {wrong}}}]}}]")
    assert not Budget.objects.exists()
