"""A budget that counts anew begins with what the ledger has: a change gives nothing away."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tenants.budget_carry import spent_by_ledger
from tenants.models import ApiKey, Budget, LeaseCounter, LeaseIncrease, LeaseWindow, Project, Tenant, Usage
from tests.admin_site import add_usage
from tests.budget_windows import NANO, window
from tests.test_budget_admin import change, errors

pytest_plugins = ("tests.budget_rows",)
pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def begun(budget: Budget) -> tuple[int, int]:
    """Spent and cap of its window of now."""
    found = budget.windows().window(time.time())
    assert found is not None
    row = LeaseWindow.objects.get(counter=budget.counter, subject="", start=found.start)
    return row.spent, row.cap


def spend(tenant: Tenant, cost: int | None, at: datetime | None = None, **more: Any) -> Usage:
    return add_usage(at, tenant_id=tenant.pk, cost=cost, **more)


def test_another_period(budget: Budget) -> None:
    now = timezone.now()
    window(budget, spent=5, granted=0)
    spend(budget.tenant, 3, now)
    spend(budget.tenant, None, now)
    spend(budget.tenant, 40, now - 400 * DAY)
    spend(Tenant.objects.create(name="globex"), 500, now)
    before = budget.counter
    budget.period = "total"
    budget.save()
    assert budget.generation == 2 and begun(budget) == (43, budget.amount)
    assert LeaseWindow.objects.get(counter=before).spent == 5  # the history stays
    assert LeaseCounter.objects.get(name=before).cap == 0  # and grants nothing any more
    assert LeaseCounter.objects.get(name=budget.counter).cap == budget.amount


def test_what_workers_hold_counts_as_spent(budget: Budget) -> None:
    window(budget, granted=7)
    window(budget, granted=4, start=0)
    spend(budget.tenant, 3)
    budget.period = "day"
    budget.save()
    assert begun(budget)[0] == 14


def test_a_charge_that_comes_late_is_counted_once(budget: Budget) -> None:
    """What was held is settled under the old counter: it is in the new window already."""
    from django.db import connection

    from tenants.labels import Label, write_label
    from tenants.lease_store import settle

    row = window(budget, granted=7)
    old = budget.counter
    budget.period = "day"
    budget.save()
    settle(connection, "late", [(write_label(Label(0, row.start, old, "")), 7)], 1, timezone.now())
    assert begun(budget)[0] == 7 and LeaseWindow.objects.get(pk=row.pk).spent == 7


def test_each_subject_counts_its_own(tenant: Tenant, project: Project, key: ApiKey) -> None:
    given: dict[str, Any] = {"project_id": project.pk, "key_id": key.pk, "end_user": "ann", "tags": ["red", "a/b"]}
    spend(tenant, 1, **given)
    spend(tenant, 20, end_user="Ann", tags=["RED"])
    spend(tenant, 300, tags=["reddish", "x-red"])
    budget = Budget.objects.create(tenant=tenant, name="b", amount=NANO)
    for of, more, spent in (
        ("project", {"project": project}, 1),
        ("key", {"key": key, "project": None}, 1),
        ("tag", {"tag": "red", "key": None}, 1),
        ("tag", {"tag": "RED"}, 20),
        ("tag", {"tag": "a/b"}, 1),
        ("end_user", {"tag": "", "end_user": "Ann"}, 20),
        ("tenant", {"end_user": ""}, 321),
    ):
        budget.of = of
        for name, value in more.items():
            setattr(budget, name, value)
        budget.full_clean()
        budget.save()
        assert begun(budget)[0] == spent, of


def test_end_users_alone(tenant: Tenant) -> None:
    spend(tenant, 1, end_user="ann")
    spend(tenant, 2, end_user="ann")
    spend(tenant, 5, end_user="bob")
    spend(tenant, 9)
    budget = Budget.objects.create(tenant=tenant, name="b", amount=NANO)
    window(budget, granted=100)
    budget.of = "end_user"
    budget.save()
    rows = LeaseWindow.objects.filter(counter=budget.counter)
    assert dict(rows.values_list("subject", "spent")) == {"ann": 3, "bob": 5}


def test_an_increase_goes_along_and_other_changes_change_nothing(budget: Budget) -> None:
    LeaseIncrease.objects.create(
        counter=budget.counter, amount=1, ends_at=timezone.now() + DAY, reason="r", made_by="m"
    )
    for name, value in (("amount", 1), ("hard", False), ("name", "x"), ("enabled", False), ("first_day", 1)):
        setattr(budget, name, value)
        budget.save()
    assert budget.generation == 1
    budget.zone = "Europe/Berlin"
    budget.save()
    assert LeaseIncrease.objects.get().counter == budget.counter == f"b{budget.pk}.2"
    assert not LeaseWindow.objects.exists()  # nothing was spent


def test_dst_in_the_zone_of_a_day(tenant: Tenant) -> None:
    """The 25 hours of 2026-10-25 in Berlin are one window."""
    budget = Budget(tenant=tenant, name="b", amount=1, period="day", zone="Europe/Berlin")
    at = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)
    found = budget.windows().window(at.timestamp())
    assert found is not None and found.end - found.start == 25 * 3600
    for moment, cost in (
        (at, 1),
        (at - timedelta(hours=24), 20),
        (at - timedelta(hours=24.6), 300),
        (at + DAY / 24, 4000),
    ):
        spend(tenant, cost, moment)
    assert spent_by_ledger(budget, found) == {"": 21}


def test_the_admin_asks_before_it_counts_anew(admin_client: Client, budget: Budget) -> None:
    window(budget, spent=5 * NANO)
    spend(budget.tenant, 3 * NANO)
    found = errors(change(admin_client, budget, period="week"))
    assert list(found) == ["anew"] and "counting begins anew, with $3.00" in str(found["anew"])
    budget.refresh_from_db()
    assert (budget.period, budget.generation) == ("month", 1)
    change(admin_client, budget, period="week", anew="on")
    budget.refresh_from_db()
    assert (budget.period, budget.generation, begun(budget)[0]) == ("week", 2, 3 * NANO)
    assert errors(change(admin_client, budget, of="end_user")).keys() == {"anew"}
