"""The admin's pages of one budget: raised for a while, a new webhook secret."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from routing.models import Revision
from tenants.lease_store import exchange
from tenants.leases import Ask
from tenants.models import Budget, LeaseIncrease
from tests.admin_site import form_data
from tests.budget_windows import NANO, window
from tests.test_budget_admin import add, change

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
TYPED = {
    "amount": "2.5",
    "until_0": f"{timezone.now() + timedelta(days=3):%Y-%m-%d}",
    "until_1": "12:00",
    "reason": "why",
}


def page(budget: Budget, name: str = "increase") -> str:
    return reverse(f"admin:tenants_budget_{name}", args=[budget.pk])


def granted(budget: Budget, amount: int, sequence: int) -> int:
    """What a worker gets of it."""
    start = window_start(budget)
    ask = Ask(sequence, sequence, budget.counter, "", start, 0, amount, amount, amount)
    return exchange(connection, "one", [ask], timezone.now())[0].granted


def window_start(budget: Budget) -> int:
    found = budget.windows().window(timezone.now().timestamp())
    assert found is not None
    return found.start


def test_raised_until_ended_early(admin_client: Client, budget: Budget) -> None:
    window(budget, spent=100 * NANO)
    assert granted(budget, NANO, 1) == 0
    text = admin_client.post(page(budget), TYPED, follow=True).content.decode()
    assert "Raised by $2.50 until" in text and "$97.5" not in text
    row = LeaseIncrease.objects.get()
    assert (row.amount, row.reason, row.made_by, row.counter) == (2_500_000_000, "why", "admin", budget.counter)
    assert granted(budget, NANO, 2) == NANO and granted(budget, 2 * NANO, 3) == 0
    listed = admin_client.get(reverse("admin:tenants_budget_changelist")).content.decode()
    assert "$100.0000 + $2.5000" in listed
    text = admin_client.post(page(budget), {"end": row.pk}, follow=True).content.decode()
    assert "has ended" in text and "over" in text
    assert granted(budget, NANO, 4) == 0
    assert "had ended already" in admin_client.post(page(budget), {"end": row.pk}, follow=True).content.decode()
    told = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert len(told) == 2 and "Raised by $2.50 until" in told[0] and "why" in told[0] and "Ended early" in told[1]
    assert Revision.objects.exists()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"amount": "0"}, "More than nothing."),
        ({"amount": "-1"}, "No less than nothing"),
        ({"amount": "999999999"}, "Together with the budget that is too much"),
        ({"until_0": "2020-01-01"}, "That is over"),
        ({"until_0": "2220-01-01"}, "at most ten years"),
        ({"until_0": "someday"}, "valid date"),
        ({"until_0": ""}, "required"),
        ({"reason": " "}, "required"),
        ({"reason": "x" * 501}, "500 characters"),
    ],
)
def test_what_is_refused(admin_client: Client, budget: Budget, typed: dict[str, str], words: str) -> None:
    reply = admin_client.post(page(budget), TYPED | typed)
    assert reply.status_code == 400 and words in reply.content.decode()
    assert not LeaseIncrease.objects.exists()


def test_another_budgets_increase_is_not_ended(admin_client: Client, budget: Budget) -> None:
    other = Budget.objects.create(tenant=budget.tenant, name="other", amount=1)
    admin_client.post(page(other), TYPED)
    row = LeaseIncrease.objects.get()
    for wanted in (row.pk, "x", ""):
        admin_client.post(page(budget), {"end": wanted})
    row.refresh_from_db()
    assert row.ends_at > timezone.now()


def kept(plain: str, *replies: Any) -> bool:
    texts = [reply.content.decode() for reply in replies]
    texts += [str(session.get_decoded()) for session in Session.objects.all()]
    texts += [f"{entry.object_repr}{entry.change_message}" for entry in LogEntry.objects.all()]
    texts += [str(list(model.objects.values())) for model in (Budget, Revision)]
    return plain in "".join(texts)


def test_a_secret_is_shown_once_and_replaced_on_purpose(admin_client: Client, budget: Budget) -> None:
    assert SECRET.search(change(admin_client, budget).content.decode()) is None
    shown = change(admin_client, budget, webhook="https://ops.example.com/x")
    plain = SECRET.findall(shown.content.decode())[0]
    assert "no-store" in shown["cache-control"]
    budget.refresh_from_db()
    assert budget.secret == plain
    after = change(admin_client, budget, webhook="https://ops.example.com/y")
    assert not kept(plain, after)
    form = form_data(admin_client.get(page(budget, "rotate")))
    again = admin_client.post(page(budget, "rotate"), form)
    other = SECRET.findall(again.content.decode())[0]
    stale = admin_client.post(page(budget, "rotate"), form)
    assert "already" in stale.content.decode() and not SECRET.search(stale.content.decode())
    budget.refresh_from_db()
    assert budget.secret == other != plain and not kept(other, stale)
    made = add(admin_client, budget.tenant, webhook="https://ops.example.com/z")
    assert SECRET.search(made.content.decode())
