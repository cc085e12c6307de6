"""A limit in the database, and the other side of an exchange, by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from tenants.labels import Label, write_label
from tenants.lease_rows import LeaseCounter, LeaseWindow
from tenants.lease_store import exchange, settle
from tenants.leases import Ask, Grant

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
START = 1_796_000_000


@pytest.fixture
def budget(db: None) -> LeaseCounter:
    return LeaseCounter.objects.create(name="b1", cap=1_000)


class Worker:
    """Asks and settles, for one budget."""

    def __init__(self, owner: str = "one") -> None:
        self.owner, self.sequence, self.settled = owner, 0, 0

    def ask(self, keep: int, need: int = 0, want: int = 0, **more: Any) -> Ask:
        self.sequence += 1
        asked = Ask(1, self.sequence, "b1", "", START, keep, need, need, want)
        return asked._replace(**more)

    def exchange(self, ask: Ask, *, now: datetime = NOW, workers: int = 1) -> Grant:
        (grant,) = exchange(connection, self.owner, [ask], now, workers)
        return grant

    def granted(self, keep: int, need: int = 0, want: int = 0, **more: Any) -> int:
        return self.exchange(self.ask(keep, need, want, **more)).granted

    def settle(self, amount: int, *, number: int = 1, counter: str = "b1", subject: str = "") -> list[int]:
        self.settled += 1
        charge = (write_label(Label(number, START, counter, subject)), amount)
        return [told.percent for told in settle(connection, self.owner, [charge], self.settled, NOW)]


def window(counter: str = "b1", subject: str = "") -> tuple[int, int]:
    row = LeaseWindow.objects.get(counter=counter, subject=subject, start=START)
    return row.granted, row.spent
