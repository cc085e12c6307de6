"""The admin of budgets: what is typed, what is shown, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import ApiKey, Budget, LeaseCounter, LeaseWindow, Notice, Project, Tenant
from tests.admin_site import EVIL, form_data
from tests.budget_windows import NANO, holder, window

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
ADD, LIST = "admin:tenants_budget_add", "admin:tenants_budget_changelist"


def change(client: Client, budget: Budget, **typed: Any) -> Any:
    """What comes of saving its form, with these fields typed anew."""
    url = reverse("admin:tenants_budget_change", args=[budget.pk])
    return client.post(url, form_data(client.get(url)) | typed, follow=True)


def add(client: Client, tenant: Tenant, **typed: Any) -> Any:
    url = reverse(ADD)
    given = {"tenant": tenant.pk, "name": "new", "amount": "1"}
    return client.post(url, form_data(client.get(url)) | given | typed)


def errors(reply: Any) -> dict[str, Any]:
    return dict(reply.context["adminform"].form.errors)


def test_dollars_come_and_go_exactly(admin_client: Client, tenant: Tenant) -> None:
    reply = add(admin_client, tenant, amount="12.000000001", thresholds="50 80% 100", emails="a@x.org, b@x.org")
    assert reply.status_code == 302, errors(reply)
    budget = Budget.objects.get()
    assert (budget.amount, budget.thresholds, budget.emails) == (12_000_000_001, [50, 80, 100], ["a@x.org", "b@x.org"])
    assert LeaseCounter.objects.get(name=budget.counter).cap == budget.amount
    page = admin_client.get(reverse("admin:tenants_budget_change", args=[budget.pk]))
    assert form_data(page)["amount"] == "12.000000001"
    change(admin_client, budget)
    budget.refresh_from_db()
    assert (budget.amount, budget.generation, budget.thresholds) == (12_000_000_001, 1, [50, 80, 100])


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"amount": "-1"}, "amount", "No less than nothing"),
        ({"amount": "1000000001"}, "amount", "too much"),
        ({"amount": "0.0000000001"}, "amount", "at most 9"),
        ({"amount": ""}, "amount", "required"),
        ({"zone": "Europe/Atlantis"}, "zone", "no time zone"),
        ({"zone": "../../etc/passwd"}, "zone", "no time zone"),
        ({"first_day": "31"}, "first_day", "from 1 to 28 or on its last"),
        ({"period": "week", "first_day": "-1"}, "first_day", "from 1 (Monday) to 7"),
        ({"period": "fixed"}, "begins_at", "has a beginning and an end"),
        ({"period": "year"}, "period", "not one of the available choices"),
        ({"thresholds": "100 80"}, "thresholds", "rising"),
        ({"thresholds": "80 80"}, "thresholds", "rising"),
        ({"thresholds": "0"}, "thresholds", "from 1 to 1000"),
        ({"thresholds": "half"}, "thresholds", "whole percents"),
        ({"emails": "nobody"}, "emails", "no e-mail address"),
        ({"webhook": "javascript:alert(1)"}, "webhook", "valid URL"),
        ({"webhook": "ftp://x.org/"}, "webhook", "http"),
        ({"of": "project"}, "project", "Say which"),
        ({"of": "tag", "tag": "a b"}, "tag", "1 to 64"),
    ],
)
def test_what_is_refused_names_its_field(
    admin_client: Client, tenant: Tenant, typed: dict[str, str], field: str, words: str
) -> None:
    reply = add(admin_client, tenant, **typed)
    assert reply.status_code == 200 and not Budget.objects.exists()
    found = errors(reply)
    assert list(found) == [field] and words in str(found[field])


def test_what_is_hidden_says_nothing(admin_client: Client, tenant: Tenant, project: Project) -> None:
    hidden = {"project": project.pk, "tag": "a b", "begins_at_0": "2026-02-01", "begins_at_1": "x"}
    assert add(admin_client, tenant, **hidden, end_user="eve").status_code == 302
    budget = Budget.objects.get()
    assert (budget.project, budget.tag, budget.end_user, budget.begins_at) == (None, "", "", None)


def test_a_fixed_period_ends_after_it_begins(admin_client: Client, tenant: Tenant) -> None:
    typed = {"begins_at_0": "2026-02-01", "begins_at_1": "00:00", "ends_at_0": "2026-01-01", "ends_at_1": "00:00"}
    assert list(errors(add(admin_client, tenant, period="fixed", **typed))) == ["ends_at"]


def test_names_are_one_tenants_own(admin_client: Client, budget: Budget) -> None:
    twin = add(admin_client, budget.tenant, name=budget.name)
    assert "already exists" in twin.content.decode()
    other = Budget.objects.create(tenant=budget.tenant, name="weekly", amount=1)
    assert list(errors(change(admin_client, other, name=budget.name))) == ["name"]
    foreign = Tenant.objects.create(name="globex")
    assert add(admin_client, foreign, name=budget.name).status_code == 302


def test_another_tenants_project_and_key(admin_client: Client, project: Project, key: ApiKey) -> None:
    foreign = Tenant.objects.create(name="globex")
    for field, row in (("project", project), ("key", key)):
        found = errors(add(admin_client, foreign, of=field, **{field: row.pk}))
        assert list(found) == [field] and "another tenant" in str(found[field])


def test_the_list_shows_the_window_of_now(admin_client: Client, budget: Budget) -> None:
    row = window(budget, spent=81 * NANO, granted=5 * NANO)
    window(budget, spent=7 * NANO, start=row.start - 40 * 86400)
    text = admin_client.get(reverse(LIST)).content.decode()
    assert "$81.0000" in text and "$5.0000" in text and "$14.0000" in text and "81&nbsp;%" in text and "UTC" in text


def test_each_end_user_alone(admin_client: Client, tenant: Tenant) -> None:
    budget = Budget.objects.create(tenant=tenant, name="each", of="end_user", amount=10 * NANO)
    window(budget, spent=2 * NANO, subject="ann")
    window(budget, spent=9 * NANO, subject="bob")
    text = admin_client.get(reverse(LIST)).content.decode()
    assert "$11.0000 by 2" in text and "$1.0000 at least" in text and "90&nbsp;%" in text


def test_a_page_of_many_takes_as_many_queries(admin_client: Client, tenant: Tenant, project: Project) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(reverse(LIST)).status_code == 200
        return len(asked)

    for n in range(3):
        window(Budget.objects.create(tenant=tenant, name=f"first {n}", amount=NANO), spent=n)
    few = queries()
    for n in range(60):
        of = {"of": "project", "project": project} if n % 2 else {}
        window(Budget.objects.create(tenant=tenant, name=f"more {n}", amount=NANO, period="day", **of), spent=n)
    assert queries() == few


def test_the_page_shows_what_was(admin_client: Client, budget: Budget) -> None:
    row = window(budget, spent=60 * NANO, granted=5 * NANO)
    window(budget, spent=77 * NANO, start=0)
    holder(row, "host-1/77")
    start = {"counter": budget.counter, "start": row.start, "spent": 80 * NANO, "cap": budget.amount}
    Notice.objects.create(budget_id=budget.pk, percent=80, error="webhook: status 500", **start)
    text = admin_client.get(reverse("admin:tenants_budget_change", args=[budget.pk])).content.decode()
    for words in ("$60.00", "$77.00", "host-1/77", "$5.00", "webhook: status 500", "Begins anew on day 1", "$35.00"):
        assert words in text, words


def test_a_cap_below_what_is_spent(admin_client: Client, budget: Budget) -> None:
    window(budget, spent=60 * NANO)
    text = change(admin_client, budget, amount="59.999999999").content.decode()
    assert "Nothing is left of it" in text and "$60.00 of $59.999999999 are spent" in text and "until it renews" in text
    assert LeaseCounter.objects.get(name=budget.counter).cap == 59_999_999_999
    assert LeaseWindow.objects.get().spent == 60 * NANO
    assert "Nothing is left" not in change(admin_client, budget, amount="61", name="x").content.decode()


def test_deleted_its_history_stays(admin_client: Client, budget: Budget) -> None:
    window(budget, spent=1)
    url = reverse("admin:tenants_budget_delete", args=[budget.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Budget.objects.exists() and not LeaseCounter.objects.exists() and LeaseWindow.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("period=week&zone=Europe/Berlin&first_day=1", "on Monday 00:00 Europe/Berlin"),
        ("period=month&zone=X&first_day=1", "no time zone"),
        ("period=month&zone=UTC&first_day=31", "from 1 to 28"),
        ("period=month&zone=UTC&first_day=x", "whole number"),
        ("period=fixed&first_day=1&begins_at_0=x&begins_at_1=y", "valid date"),
        ("period=fixed&first_day=1", "beginning and an end"),
        ("", "whole number"),
    ],
)
def test_the_preview(admin_client: Client, typed: str, words: str) -> None:
    reply = admin_client.get(reverse("admin:tenants_budget_preview") + "?" + typed)
    assert reply.status_code == 200 and words in str(reply.json().values())


def test_hostile_names_are_text(admin_client: Client, tenant: Tenant) -> None:
    budget = Budget.objects.create(tenant=tenant, name=EVIL, of="end_user", amount=NANO)
    row = window(budget, spent=1, granted=1, subject=EVIL)
    holder(row, EVIL[:50])
    Notice.objects.create(
        budget_id=budget.pk, counter="b", subject=EVIL, start=0, percent=1, spent=1, cap=1, error=EVIL
    )
    pages = [reverse(LIST), *(reverse(f"admin:tenants_budget_{name}", args=[budget.pk]) for name in PAGES)]
    for url in pages:
        text = admin_client.get(url).content.decode()
        assert EVIL not in text and "<script>alert" not in text and "&lt;script&gt;" in text, url


PAGES = ("change", "increase", "rotate", "history", "delete")


def test_closed_to_strangers_and_clerks(client: Client, budget: Budget) -> None:
    urls = [reverse("admin:tenants_budget_preview"), reverse(LIST), reverse(ADD)]
    urls += [reverse(f"admin:tenants_budget_{name}", args=[budget.pk]) for name in PAGES]
    for url in urls:
        assert client.get(url)["location"].startswith(reverse("admin:login")), url
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert [client.get(url).status_code for url in urls] == [403] * len(urls)
    assert client.post(urls[4], {"amount": "1"}).status_code == 403
