"""Workers that hold money, and the release of those whose host is lost: in the admin and by command."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tenants.models import Budget, HeldLease, LeaseOwner, LeaseWindow
from tests.admin_site import EVIL
from tests.budget_windows import NANO, holder, window

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
LIST = "admin:tenants_leaseowner_changelist"
LONG_AGO = timezone.now() - timedelta(days=2)
NAME = "host_5F/1:a b"


@pytest.fixture
def lost(budget: Budget) -> LeaseOwner:
    row = window(budget, spent=NANO, granted=8 * NANO)
    owner = holder(row, NAME, 5 * NANO, seen_at=LONG_AGO)
    holder(row, NAME, 3 * NANO)
    return owner


def page(name: str, owner: str = NAME) -> str:
    return reverse(f"admin:tenants_leaseowner_{name}", args=[quote(owner)])


def freed() -> bool:
    return LeaseWindow.objects.get().granted == 0 and not HeldLease.objects.exists()


def test_who_holds_what(admin_client: Client, lost: LeaseOwner, budget: Budget) -> None:
    text = admin_client.get(reverse(LIST)).content.decode()
    assert "Workers that hold money" in text and NAME in text and "silent" in text
    text = admin_client.get(page("change")).content.decode()
    assert "acme: monthly" in text and "$8.00" in text and "Release: this host is lost" in text
    text = admin_client.get(reverse("admin:tenants_budget_change", args=[budget.pk])).content.decode()
    assert page("change") in text and "$8.00" in text
    assert admin_client.post(page("change"), {"name": "x"}).status_code == 403
    assert admin_client.get(reverse("admin:tenants_leaseowner_add")).status_code == 403
    assert admin_client.post(page("delete"), {"post": "yes"}).status_code == 403


def test_a_release_is_asked_for_by_name(admin_client: Client, lost: LeaseOwner) -> None:
    text = admin_client.get(page("release")).content.decode()
    assert "only when its host is lost for good" in text and "$8.00" in text and "may well be at work" not in text
    assert admin_client.post(page("release"), {"name": "other"}).status_code == 400
    assert not freed()
    reply = admin_client.post(page("release"), {"name": NAME}, follow=True)
    assert "is free again" in reply.content.decode() and "released" in reply.content.decode()
    lost.refresh_from_db()
    assert freed() and lost.ended_by == "admin" and lost.ended_at is not None
    assert "Released" in LogEntry.objects.get().change_message


def test_a_lively_one_is_warned_of(admin_client: Client, lost: LeaseOwner) -> None:
    LeaseOwner.objects.update(seen_at=timezone.now())
    assert "may well be at work" in admin_client.get(page("release")).content.decode()


def test_permissions(client: Client, lost: LeaseOwner) -> None:
    def login(*names: str) -> None:
        user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)

    for url in (reverse(LIST), page("change"), page("release")):
        assert client.get(url)["location"].startswith(reverse("admin:login"))
    login("change_budget", "view_budget", "view_leasewindow")
    assert [client.get(url).status_code for url in (reverse(LIST), page("change"), page("release"))] == [403] * 3
    login("view_leaseowner")
    assert client.get(page("change")).status_code == 200 and client.get(page("release")).status_code == 403
    assert client.post(page("release"), {"name": NAME}).status_code == 403 and not freed()
    login("change_leaseowner")
    assert client.get(page("change")).status_code == 200
    assert client.post(page("release"), {"name": NAME}).status_code == 302 and freed()


def test_an_unknown_one(admin_client: Client, lost: LeaseOwner) -> None:
    assert admin_client.get(page("release", "nobody")).status_code == 403
    assert LeaseOwner.objects.count() == 1


def test_hostile_names_and_limits_that_are_no_budgets(admin_client: Client) -> None:
    row = LeaseWindow.objects.create(counter=f"rpm.{EVIL[:40]}", subject=EVIL, start=0, granted=70)
    LeaseWindow.objects.create(counter="bx.1", start=0)
    holder(row, EVIL, 70)
    for url in (reverse(LIST), page("change", EVIL), page("release", EVIL)):
        text = admin_client.get(url).content.decode()
        assert "<script>alert" not in text and "&lt;script&gt;" in text
    assert "<td>70</td>" in text


def test_a_page_of_many_takes_as_many_queries(admin_client: Client, budget: Budget) -> None:
    row = window(budget)

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(reverse(LIST)).status_code == 200
        return len(asked)

    holder(row, "first")
    few = queries()
    for n in range(50):
        holder(row, f"more {n}")
    assert queries() == few


def test_the_command(lost: LeaseOwner) -> None:
    out = io.StringIO()
    with pytest.raises(CommandError, match="no worker nobody"):
        call_command("release_leases", "nobody")
    LeaseOwner.objects.update(seen_at=timezone.now())
    with pytest.raises(CommandError, match="may be at work"):
        call_command("release_leases", NAME)
    assert not freed()
    call_command("release_leases", NAME, "--force", "--by", "ann", stdout=out)
    assert out.getvalue() == f"freed $8.00 of acme: monthly\n{NAME} is released.\n"
    lost.refresh_from_db()
    assert freed() and lost.ended_by == "ann"
