"""What stands of budgets now, and stood before: for pages and the API, in as many queries for a hundred as for one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, Max, Q, Sum
from django.utils import timezone

from tenants.budget_rows import Budget
from tenants.budget_words import renews
from tenants.lease_rows import HeldLease, LeaseIncrease, LeaseOwner, LeaseWindow
from tenants.lease_store import Increase, increases
from tenants.periods import Window

MOST = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the window of now, in nano-dollars. Where each end user is counted alone ``spent`` and ``held`` are the sums of
    ``users`` of them, and ``most`` is what he has spent who spent most: ``left`` and ``percent`` are his."""

    window: Window | None
    cap: int
    increase: int = 0
    spent: int = 0
    held: int = 0
    most: int = 0
    users: int = 0
    renews: str = ""
    at: float = 0.0

    @property
    def left(self) -> int:
        """What nobody has spent and no worker holds. Less than nothing where the cap was lowered."""
        return self.cap + self.increase - self.most - (0 if self.users else self.held)

    @property
    def percent(self) -> int:
        """Of the cap that is spent; rounded down, so that 100 means all."""
        cap = self.cap + self.increase
        return self.most * 100 // cap if cap else 100 if self.most else 0


def figures(budgets: Sequence[Budget], now: float | None = None) -> dict[int, Figures]:
    """By the budgets' ids."""
    now = time.time() if now is None else now
    windows = {row.pk: _window(row, now) for row in budgets}
    sums = _sums((row.counter, window.start) for row in budgets if (window := windows[row.pk]) is not None)
    raised = increases(DEFAULT_DB_ALIAS, (row.counter for row in budgets), timezone.now())
    found = {}
    for row in budgets:
        spent, held, most, users = sums.get(row.counter, (0, 0, 0, 0))
        found[row.pk] = Figures(
            windows[row.pk],
            row.amount,
            raised.get(row.counter, Increase()).amount,
            spent,
            held,
            most if row.each_alone else spent,
            users if row.each_alone else 0,
            renews(row.windows(), now),
            now,
        )
    return found


def _window(budget: Budget, now: float) -> Window | None:
    return budget.windows().window(now)


def _sums(keys: Iterable[tuple[str, int]]) -> dict[str, tuple[int, int, int, int]]:
    starts = dict(keys)
    rows = LeaseWindow.objects.filter(counter__in=starts, start__in=set(starts.values()))
    sums = rows.values_list("counter", "start").annotate(Sum("spent"), Sum("granted"), Max("spent"), Count("id"))
    return {row[0]: row[2:] for row in sums.order_by() if starts[row[0]] == row[1]}


def windows_of(budget: Budget) -> list[LeaseWindow]:
    """Its history, the last first: of each generation, by its counter's name."""
    return list(LeaseWindow.objects.filter(_of(budget)).order_by("-start", "-id")[:MOST])


def increases_of(budget: Budget) -> list[LeaseIncrease]:
    """All of them, the last first."""
    return list(LeaseIncrease.objects.filter(_of(budget)).order_by("-id")[:MOST])


def _of(budget: Budget) -> Q:
    """Of this budget's counters, whatever their generation: the point ends its id."""
    return Q(counter__startswith=f"b{budget.pk}.")


class Holder(NamedTuple):
    """A process, and what is left of the leases that it holds. ``owner`` is None where nobody has heard of it."""

    name: str
    owner: LeaseOwner | None
    left: int
    leases: int


def holders_of(budget: Budget) -> list[Holder]:
    """Who holds money of it, the most first."""
    windows = LeaseWindow.objects.filter(_of(budget), granted__gt=0).values_list("pk", flat=True)
    return holders(HeldLease.objects.filter(window_id__in=windows))


def holders(rows: Any) -> list[Holder]:
    held: dict[str, list[int]] = {}
    for row in rows:
        held.setdefault(row.owner, []).append(row.left)
    owners = LeaseOwner.objects.in_bulk(list(held))
    found = [Holder(name, owners.get(name), sum(left), len(left)) for name, left in held.items()]
    return sorted(found, key=lambda holder: (-holder.left, holder.name))
