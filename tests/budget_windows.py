"""Windows of budgets, and who holds money of them, as the store would have them."""

from __future__ import annotations

import time
from typing import Any

from django.utils import timezone

from tenants.models import Budget, HeldLease, LeaseOwner, LeaseWindow

NANO = 10**9


def window(budget: Budget, spent: int = 0, granted: int = 0, subject: str = "", **more: Any) -> LeaseWindow:
    """Its window of now."""
    found = budget.windows().window(time.time())
    assert found is not None
    given = {"start": found.start, "cap": budget.amount, **more}
    return LeaseWindow.objects.create(counter=budget.counter, subject=subject, spent=spent, granted=granted, **given)


def holder(row: LeaseWindow, name: str = "host-1", granted: int = 5 * NANO, **more: Any) -> LeaseOwner:
    """A process that holds so much of it."""
    owner, _ = LeaseOwner.objects.get_or_create(name=name, defaults={"seen_at": timezone.now(), **more})
    HeldLease.objects.create(owner=name, number=HeldLease.objects.count(), window_id=row.pk, granted=granted)
    return owner
