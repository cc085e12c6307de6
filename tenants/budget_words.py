"""Budgets in plain words: what is counted, when it begins anew."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tenants.budget_rows import Budget
from tenants.periods import CALENDARS, LAST_DAY, NEVER, Period, Window

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NO_END = "never"


def subject(budget: Budget) -> str:
    """Whose spending it counts."""
    if budget.of == "project":
        return f"project {budget.project.name}" if budget.project else "no project"
    if budget.of == "key":
        return f"key {budget.key.name}" if budget.key else "no key"
    if budget.of == "tag":
        return f"tag {budget.tag}"
    if budget.of == "end_user":
        return f"end user {budget.end_user}" if budget.end_user else "each end user alone"
    return "the tenant"


def renewal(period: Period, now: float) -> str:
    """How often it begins anew, and when next."""
    if period.kind == "total":
        return "Counts from its making on, and never begins anew."
    if period.kind == "fixed":
        return f"Counts from {moment(period.begins)} until {moment(period.ends)}, once. {_when(period, now)}"
    window = period.window(now)
    following = f" Next on {moment(window.end, period.zone)}." if window and window.end < NEVER else ""
    return f"Begins anew {_rhythm(period)} 00:00 {period.zone}.{following}"


def moment(at: int, zone: str = "UTC") -> str:
    """A time as clocks in ``zone`` show it. Where they jump over midnight it is the first that they show."""
    if at >= NEVER:
        return NO_END
    return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%A %Y-%m-%d %H:%M} {zone}"


def days(window: Window, zone: str = "UTC") -> str:
    """From when until when, for tables."""
    start = (
        "the beginning"
        if window.start == 0
        else f"{datetime.fromtimestamp(window.start, ZoneInfo(zone)):%Y-%m-%d %H:%M}"
    )
    end = NO_END if window.end >= NEVER else f"{datetime.fromtimestamp(window.end, ZoneInfo(zone)):%Y-%m-%d %H:%M}"
    return f"{start} to {end}"


def window_at(period: Period, start: int) -> Window:
    """The window that began at ``start``. What was counted before its period was changed keeps its beginning only."""
    try:
        found = period.window(start)
    except ValueError:
        found = None
    return found if found is not None and found.start == start else Window(start, NEVER)


def _rhythm(period: Period) -> str:
    if period.kind == "day":
        return "every day at"
    if period.kind == "week":
        return f"on {DAYS[period.first_day - 1]}"
    return (
        "on the last day of each month at"
        if period.first_day == LAST_DAY
        else f"on day {period.first_day} of each month at"
    )


def _when(period: Period, now: float) -> str:
    if now < period.begins:
        return "It has not begun: until then a hard budget refuses all."
    return "It is over: a hard budget refuses all." if now >= period.ends else "It is under way."


def renews(period: Period, now: float) -> str:
    """For a column: the date, or in a word why there is none."""
    if period.kind in CALENDARS:
        at = period.renews_at(now)
        return f"{datetime.fromtimestamp(at, ZoneInfo(period.zone)):%Y-%m-%d %H:%M} {period.zone}" if at else NO_END
    if period.kind == "fixed" and now < period.begins:
        return f"begins {datetime.fromtimestamp(period.begins, UTC):%Y-%m-%d %H:%M} UTC"
    return NO_END
