"""Budgets in a browser, against the running gateway: set, looked at, raised, and a lost host released."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests import live
from tests.test_pages_browser import EVIL, Visitor, browser, gateway, narrow, pytestmark, visitor

assert browser and gateway and visitor and pytestmark  # fixtures, and the mark that they need
SHOTS = os.environ.get("SCREENSHOTS", "")
SEED = """
import time
from datetime import timedelta
from django.utils import timezone
from tenants.models import *
tenant, _ = Tenant.objects.get_or_create(name="acme", defaults={"title": EVIL})
Project.objects.get_or_create(tenant=tenant, name="shop", defaults={"title": EVIL})
for n, (name, spent, more) in enumerate([("daily", 81, {"period": "day", "zone": "Europe/Berlin"}), ("lost", 120, {}), (EVIL, 3, {"of": "end_user"})]):
    budget = Budget.objects.create(tenant=tenant, name=name, amount=100 * 10**9, **more)
    start = budget.windows().window(time.time()).start
    row = LeaseWindow.objects.create(counter=budget.counter, subject=EVIL if n == 2 else "", start=start, cap=100 * 10**9, spent=spent * 10**9, granted=7 * 10**9)
    LeaseOwner.objects.get_or_create(name=f"host-{n}", defaults={"seen_at": timezone.now() - timedelta(hours=n)})
    HeldLease.objects.create(owner=f"host-{n}", number=1, window_id=row.pk, granted=7 * 10**9)
    Notice.objects.create(budget_id=budget.pk, counter=budget.counter, start=start, percent=80, spent=81 * 10**9, cap=100 * 10**9, error=EVIL)
    LeaseIncrease.objects.create(counter=budget.counter, amount=10**9, reason=EVIL, made_by="ann", ends_at=timezone.now() + timedelta(days=1))
"""


@pytest.fixture(scope="module")
def seeded(gateway: live.Gateway) -> Iterator[live.Gateway]:
    live.manage(gateway.data, "shell", "-c", SEED.replace("EVIL", repr(EVIL)))
    yield gateway


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
    narrow(page)


def test_a_budget_is_set_and_raised(seeded: live.Gateway, visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/admin/tenants/budget/add/")
    assert not page.is_visible("#id_project") and not page.is_visible("#id_begins_at_0")
    page.wait_for_selector("text=Begins anew on day 1 of each month at 00:00 UTC.")
    page.select_option("#id_period", "week")
    page.fill("#id_zone", "Europe/Berlin")
    page.wait_for_selector("text=Begins anew on Monday 00:00 Europe/Berlin. Next on Monday")
    page.fill("#id_zone", "Europe/Nowhere")
    page.wait_for_selector("text='Europe/Nowhere' is no time zone")
    page.fill("#id_zone", "Europe/Berlin")
    page.select_option("#id_of", "project")
    page.wait_for_selector("#id_project", state="visible")
    page.wait_for_selector("#id_tag", state="hidden")
    page.select_option("#id_project", index=1)
    page.evaluate(
        """() => { const s = document.getElementById('id_tenant'); s.add(new Option('acme', '1', true, true)); s.value = '1'; }"""
    )
    page.fill("#id_name", "weekly")
    page.fill("#id_amount", "12.000000001")
    page.fill("#id_webhook", "https://ops.example.com/hook")
    shot(page, "budget_add")
    visitor.save()
    page.wait_for_selector("text=This is the only time that it is shown")
    shot(page, "budget_secret")
    page.click("text=I have copied it")
    page.wait_for_selector("text=Begins anew on Monday 00:00 Europe/Berlin. Next on")
    assert page.input_value("#id_amount") == "12.000000001" and page.input_value("#id_of") == "project"
    page.click("text=Raise for a while")
    page.fill("#id_amount", "3")
    page.fill("#id_until_0", "2035-01-01")
    page.fill("#id_until_1", "00:00")
    page.fill("#id_reason", EVIL)
    shot(page, "budget_increase")
    page.click("button:has-text('Raise it')")
    page.wait_for_selector("text=Raised by $3.00 until 2035-01-01 00:00 UTC")
    page.click("button:has-text('End it now')")
    page.wait_for_selector("text=has ended.")


def test_the_pages(seeded: live.Gateway, visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/admin/tenants/budget/")
    assert page.is_visible("text=$81.0000")
    shot(page, "budget_list")
    page.click("th a:has-text('lost')")
    page.wait_for_selector("text=Nothing is left of it: requests are refused.")
    shot(page, "budget_page")
    visitor.go("/admin/tenants/leaseowner/")
    assert page.is_visible("text=silent")
    shot(page, "lease_list")
    page.click("th a:has-text('host-1')")
    page.wait_for_selector("text=$7.00")
    shot(page, "lease_page")
    page.click("text=Release: this host is lost")
    page.fill("#id_name", "host-1")
    shot(page, "lease_release")
    page.click("button:has-text('Release: this host is lost')")
    page.wait_for_selector("text=What host-1 held is free again.")
