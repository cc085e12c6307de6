"""Periods in plain words, where clocks change too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenants.budget_words import moment, renewal, renews, window_at
from tenants.periods import LAST_DAY, NEVER, Period, Window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "words"),
    [
        (
            Period("week", "Europe/Berlin"),
            "2026-11-28T12:00",
            "Begins anew on Monday 00:00 Europe/Berlin. Next on Monday 2026-11-30 00:00 Europe/Berlin.",
        ),
        (
            Period("month", "UTC", LAST_DAY),
            "2026-02-05",
            "Begins anew on the last day of each month at 00:00 UTC. Next on Saturday 2026-02-28 00:00 UTC.",
        ),
        (
            Period("month", "UTC", 28),
            "2026-02-28",
            "Begins anew on day 28 of each month at 00:00 UTC. Next on Saturday 2026-03-28 00:00 UTC.",
        ),
        # Clocks in Berlin go forward on 2026-03-29 and back on 2026-10-25: the day has 23 or 25 hours, midnight stays.
        (
            Period("day", "Europe/Berlin"),
            "2026-03-29T21:59",
            "Begins anew every day at 00:00 Europe/Berlin. Next on Monday 2026-03-30 00:00 Europe/Berlin.",
        ),
        (
            Period("day", "Europe/Berlin"),
            "2026-10-25T22:59",
            "Begins anew every day at 00:00 Europe/Berlin. Next on Monday 2026-10-26 00:00 Europe/Berlin.",
        ),
        # In Beirut they went forward at midnight: that day began at 01:00.
        (
            Period("day", "Asia/Beirut"),
            "2022-03-26T12:00",
            "Begins anew every day at 00:00 Asia/Beirut. Next on Sunday 2022-03-27 01:00 Asia/Beirut.",
        ),
        (Period("total"), "2026-01-01", "Counts from its making on, and never begins anew."),
    ],
)
def test_renewal(period: Period, now: str, words: str) -> None:
    assert renewal(period, at(now)) == words


def test_a_fixed_period() -> None:
    period = Period("fixed", begins=int(at("2026-01-01")), ends=int(at("2026-07-01")))
    said = "Counts from Thursday 2026-01-01 00:00 UTC until Wednesday 2026-07-01 00:00 UTC, once. "
    assert renewal(period, at("2026-02-01")) == said + "It is under way."
    assert renewal(period, at("2025-02-01")).endswith("It has not begun: until then a hard budget refuses all.")
    assert renewal(period, at("2026-07-01")).endswith("It is over: a hard budget refuses all.")
    assert (
        renews(period, at("2025-02-01")) == "begins 2026-01-01 00:00 UTC"
        and renews(period, at("2026-02-01")) == "never"
    )


def test_a_window_of_the_past() -> None:
    period = Period("day", "Europe/Berlin")
    start = int(at("2026-10-24T22:00"))
    assert window_at(period, start) == Window(start, start + 25 * 3600)
    assert window_at(period, start + 1) == Window(start + 1, NEVER)
    assert moment(NEVER) == "never"
