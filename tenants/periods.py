"""The windows of a budget: day, week, month, all time or from a date to another, in a time zone. No Django here: requests
use it.

A window is a function of the moment alone, so a charge belongs to the window of its admission, whatever a clock has said
before or says after. Windows follow each other without gap or overlap, also where clocks change at midnight, where a
midnight or a whole date is left out, and where a date comes back for some minutes after the next one has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import floor
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

LAST_DAY: Final = -1
"""As the first day of a month's window: the last of each month, whichever it is."""
NEVER: Final = 253_370_764_800
"""9999-01-01: what lasts until then has no end."""

_DAY: Final = timedelta(days=1)


class Window(NamedTuple):
    """Seconds since the epoch: from ``start`` on, before ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Period:
    """How often a budget begins anew. ``first_day`` is of the week, 1 (Monday) to 7, or of the month, 1 to 28 or
    LAST_DAY; ``begins`` and ``ends`` are a fixed period's. Raises ValueError for what cannot be."""

    kind: str
    zone: str = "UTC"
    first_day: int = 1
    begins: int = 0
    ends: int = NEVER

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no period: it is one of {', '.join(KINDS)}.")
        _zone(self.zone)
        if self.kind == "week" and not 1 <= self.first_day <= 7:
            raise ValueError("A week begins on a day from 1 (Monday) to 7 (Sunday).")
        if self.kind == "month" and not 1 <= self.first_day <= 28 and self.first_day != LAST_DAY:
            raise ValueError("A month begins on a day from 1 to 28 or on its last.")
        if not 0 <= self.begins < self.ends <= NEVER:
            raise ValueError("A fixed period begins before it ends.")

    def window(self, now: float) -> Window | None:
        """The window in which ``now`` is; None before and after a fixed period. Raises ValueError for a time that no
        clock can mean."""
        if not 0 <= now < NEVER:
            raise ValueError(f"{now!r} is not a time that budgets know.")
        calendar = CALENDARS.get(self.kind)
        if calendar is None:
            begins, ends = (self.begins, self.ends) if self.kind == "fixed" else (0, NEVER)
            return Window(begins, ends) if begins <= now < ends else None
        return _window(floor(now), _zone(self.zone), calendar, self.first_day)

    def renews_at(self, now: float) -> int | None:
        """When there is something to spend again for who has spent it all; None if never."""
        window = self.window(now)
        if window is None:
            return self.begins if now < self.begins else None
        return window.end if self.kind in CALENDARS and window.end < NEVER else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone, such as UTC or Europe/Berlin.") from None


class Calendar(NamedTuple):
    """``first`` is the day on which the window begins that a day is in, ``after`` that on which the next one does."""

    first: Callable[[date, int], date]
    after: Callable[[date, int], date]


def _window(now: int, zone: ZoneInfo, calendar: Calendar, first_day: int) -> Window:
    begins = calendar.first(datetime.fromtimestamp(now, zone).date(), first_day)
    start, end = _midnight(begins, zone), _next(begins, zone, calendar, first_day)
    while end <= now:  # a date that has come back: its successor has begun before and goes on
        begins = calendar.after(begins, first_day)
        start, end = end, _next(begins, zone, calendar, first_day)
    return Window(start, end)


def _next(begins: date, zone: ZoneInfo, calendar: Calendar, first_day: int) -> int:
    after = calendar.after(begins, first_day)
    return _midnight(after, zone) if after.year < 9999 else NEVER


def _midnight(day: date, zone: ZoneInfo) -> int:
    """The first moment at which clocks show ``day`` or a later date."""
    midnight = datetime.combine(day, time())
    first = int(midnight.replace(tzinfo=zone).timestamp())
    if _shown(first, zone) == midnight:
        return first
    # There is no such midnight. The moment is between those that the offsets before and after the jump would give.
    before = int(midnight.replace(tzinfo=zone, fold=1).timestamp()) - 1
    while first - before > 1:
        middle = (before + first) // 2
        before, first = (before, middle) if _shown(middle, zone) >= midnight else (middle, first)
    return first


def _shown(moment: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None)


def _first_of_month(day: date, first_day: int) -> date:
    begins = _in_month(day, first_day)
    return begins if begins <= day else _in_month(day.replace(day=1) - _DAY, first_day)


def _in_month(day: date, first_day: int) -> date:
    """The day of this month on which a window begins."""
    return day.replace(day=first_day) if first_day != LAST_DAY else _month_after(day) - _DAY


def _month_after(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


CALENDARS: Final = {
    "day": Calendar(lambda day, _: day, lambda day, _: day + _DAY),
    "week": Calendar(
        lambda day, first_day: day - (day.isoweekday() - first_day) % 7 * _DAY,
        lambda day, _: day + 7 * _DAY,
    ),
    "month": Calendar(_first_of_month, lambda day, first_day: _in_month(_month_after(day), first_day)),
}
KINDS: Final = (*CALENDARS, "total", "fixed")
