"""Windows of budgets: without gap or overlap, whatever the clocks of a time zone do."""

from __future__ import annotations

import io
import struct
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.periods import CALENDARS, LAST_DAY, NEVER, Period, Window, _window

ZONES = sorted(available_timezones())
#: Where clocks jump at or around midnight, go back over it, or leave a date out.
ODD_ZONES = (
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Antarctica/Casey",
    "Antarctica/Vostok",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Pacific/Rarotonga",
)
ANY_ZONE = st.sampled_from(ODD_ZONES) | st.sampled_from(ZONES)
MOMENTS = st.floats(10_000_000, 4_000_000_000)
PERIODS = st.one_of(
    st.builds(Period, st.just("day"), ANY_ZONE),
    st.builds(Period, st.just("week"), ANY_ZONE, st.integers(1, 7)),
    st.builds(Period, st.just("month"), ANY_ZONE, st.integers(1, 28) | st.just(LAST_DAY)),
)


def at(text: str) -> int:
    """The moment of "2026-03-29T00:00+01:00"."""
    return int(datetime.fromisoformat(text).timestamp())


def window(period: Period, text: str) -> tuple[str, str]:
    """The window as its zone writes it."""
    found = period.window(at(text))
    assert found is not None
    zone = ZoneInfo(period.zone)
    begins, ends = (datetime.fromtimestamp(moment, zone).isoformat(timespec="minutes") for moment in found)
    return begins, ends


@given(PERIODS, MOMENTS)
def test_windows_follow_each_other(period: Period, now: float) -> None:
    found = period.window(now)
    assert found is not None and found.start <= now < found.end
    assert period.window(found.start) == period.window(found.end - 1) == found
    after, before = period.window(found.end), period.window(found.start - 1)
    assert after is not None and before is not None
    assert after.start == found.end == period.renews_at(now) and before.end == found.start


@given(PERIODS, MOMENTS)
def test_a_window_begins_where_its_zone_begins_that_day(period: Period, now: float) -> None:
    found = period.window(now)
    assert found is not None
    zone = ZoneInfo(period.zone)
    begins = datetime.fromtimestamp(found.start, zone).date()
    assert datetime.fromtimestamp(found.start - 1, zone).date() < begins
    tomorrow = date.fromordinal(begins.toordinal() + 1)
    if datetime.fromtimestamp(found.start - 1, zone).date().toordinal() + 1 < begins.toordinal():
        return  # a date that is left out: the next one begins in its place
    if period.kind == "week":
        assert begins.isoweekday() == period.first_day
    if period.kind == "month":
        assert tomorrow.day == 1 if period.first_day == LAST_DAY else begins.day == period.first_day


@pytest.mark.parametrize("kind", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ODD_ZONES)
def test_over_years_each_window_is_the_one_before_or_the_next(kind: str, zone: str) -> None:
    """Over years, in steps that divide no day."""
    period = Period(kind, zone)
    found = [period.window(moment) for moment in range(at("1993-01-01T00:00Z"), at("2013-01-01T00:00Z"), 40_009)]
    for one, next_one in pairwise(found):
        assert one is not None and next_one is not None
        assert next_one == one or next_one.start == one.end


def test_days_of_23_and_25_hours() -> None:
    day = Period("day", "Europe/Berlin")
    assert window(day, "2026-03-29T12:00+02:00") == ("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00")
    assert window(day, "2026-10-25T12:00+01:00") == ("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00")
    spring, autumn = day.window(at("2026-03-29T01:30+00:00")), day.window(at("2026-10-25T01:30+00:00"))
    assert spring is not None and spring.end - spring.start == 23 * 3600
    assert autumn is not None and autumn.end - autumn.start == 25 * 3600


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        # No midnight: clocks went from 24:00 to 01:00.
        ("Asia/Beirut", "2021-03-28T05:00+03:00", ("2021-03-28T01:00+03:00", "2021-03-29T00:00+03:00")),
        # Two midnights: the first one counts.
        ("America/Havana", "2021-11-07T00:30-05:00", ("2021-11-07T00:00-04:00", "2021-11-08T00:00-05:00")),
        # At 00:01 of the 7th back to 23:01 of the 6th: the 7th has begun and goes on.
        ("America/St_Johns", "2010-11-06T23:30-03:30", ("2010-11-07T00:00-02:30", "2010-11-08T00:00-03:30")),
        # A date that never was.
        ("Pacific/Apia", "2011-12-29T12:00-10:00", ("2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00")),
    ],
)
def test_odd_midnights(zone: str, moment: str, expected: tuple[str, str]) -> None:
    assert window(Period("day", zone), moment) == expected


def test_a_midnight_within_a_jump() -> None:
    """Clocks went from 23:59:59 to 00:44:30."""
    found = Period("day", "Africa/Monrovia").window(at("1972-01-07T12:00Z"))
    assert found is not None and found.start == 63_593_070 == at("1972-01-07T00:44:30+00:00")


def test_a_midnight_within_a_jump_that_begins_before_it() -> None:
    """As it was until 1919, and may be again: on the second Sunday of March from 23:30 to 00:30 of Monday."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">lBB", -5 * 3_600, 0, 0) + b"STD\0"
    half = b"TZif2" + bytes(15) + counts + body
    zone = ZoneInfo.from_file(io.BytesIO(half + half + b"\nSTD5DST,M3.2.0/23:30,M11.1.0/2\n"))
    begins, ends = at("2026-03-09T04:30Z"), at("2026-03-10T04:00Z")
    for moment in (begins, begins + 60, begins + 1_799, begins + 1_801, ends - 1):
        assert _window(moment, zone, CALENDARS["day"], 1) == Window(begins, ends)
    assert _window(begins - 1, zone, CALENDARS["day"], 1) == Window(at("2026-03-08T05:00Z"), begins)


@pytest.mark.parametrize(
    ("first_day", "moment", "expected"),
    [
        (1, "2026-01-01T00:00", ("2026-01-01T00:00+00:00", "2026-02-01T00:00+00:00")),
        (15, "2026-03-14T23:59", ("2026-02-15T00:00+00:00", "2026-03-15T00:00+00:00")),
        (15, "2026-03-15T00:00", ("2026-03-15T00:00+00:00", "2026-04-15T00:00+00:00")),
        (28, "2026-02-28T00:00", ("2026-02-28T00:00+00:00", "2026-03-28T00:00+00:00")),
        (28, "2026-01-05T00:00", ("2025-12-28T00:00+00:00", "2026-01-28T00:00+00:00")),
        (LAST_DAY, "2024-02-29T08:00", ("2024-02-29T00:00+00:00", "2024-03-31T00:00+00:00")),
        (LAST_DAY, "2026-02-27T08:00", ("2026-01-31T00:00+00:00", "2026-02-28T00:00+00:00")),
        (LAST_DAY, "2026-12-31T23:00", ("2026-12-31T00:00+00:00", "2027-01-31T00:00+00:00")),
    ],
)
def test_months(first_day: int, moment: str, expected: tuple[str, str]) -> None:
    assert window(Period("month", "UTC", first_day), f"{moment}+00:00") == expected


@pytest.mark.parametrize(("first_day", "begins"), [(1, "23"), (3, "25"), (7, "22")])
def test_weeks(first_day: int, begins: str) -> None:
    """The 28th of November 2026 is a Saturday."""
    found, _ = window(Period("week", "Asia/Tokyo", first_day), "2026-11-28T10:00+09:00")
    assert found == f"2026-11-{begins}T00:00+09:00"


def test_no_part_of_a_second_comes_too_early() -> None:
    """Rounded to microseconds, it would be in the next day."""
    day, midnight = Period("day"), at("2026-01-02T00:00+00:00")
    before = midnight - 2e-7
    assert before < midnight and day.window(before) == Window(midnight - 86_400, midnight)


def test_a_clock_that_jumps_back_finds_its_old_window_again() -> None:
    """What was admitted before midnight is charged to that day, whatever was admitted earlier with a later time."""
    day, midnight = Period("day", "Europe/Berlin"), at("2026-05-01T00:00+02:00")
    old, new = day.window(midnight - 1), day.window(midnight + 1)
    assert [day.window(midnight + step) for step in (-1, 1, -1, 1)] == [old, new, old, new] and old != new


def test_all_time_and_a_fixed_period() -> None:
    total = Period("total")
    assert total.window(0) == total.window(2e9) == Window(0, NEVER) and total.renews_at(2e9) is None
    fixed = Period("fixed", begins=1_000, ends=2_000)
    assert fixed.window(1_000) == fixed.window(1_999.9) == Window(1_000, 2_000)
    assert fixed.window(999.9) is None and fixed.window(2_000) is None
    assert (fixed.renews_at(999), fixed.renews_at(1_500), fixed.renews_at(2_000)) == (1_000, None, None)


@pytest.mark.parametrize("kind", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_end_of_time(kind: str, zone: str) -> None:
    period = Period(kind, zone)
    found = period.window(NEVER - 1)
    assert found is not None and found.start < NEVER == found.end and period.renews_at(NEVER - 1) is None


@pytest.mark.parametrize("now", [-1.0, float("nan"), float("inf"), float(NEVER)])
def test_no_time_at_all(now: float) -> None:
    for kind in ("day", "total", "fixed"):
        with pytest.raises(ValueError, match="not a time"):
            Period(kind).window(now)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "year"},
        {"kind": "day", "zone": "Mars/Olympus"},
        {"kind": "day", "zone": ""},
        {"kind": "day", "zone": "America"},
        {"kind": "day", "zone": "../etc/passwd"},
        {"kind": "week", "first_day": 0},
        {"kind": "week", "first_day": 8},
        {"kind": "month", "first_day": 29},
        {"kind": "month", "first_day": 0},
        {"kind": "fixed", "begins": 5, "ends": 5},
        {"kind": "fixed", "begins": -1, "ends": 5},
        {"kind": "fixed", "ends": NEVER + 1},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"[.]$"):
        Period(**wrong)  # type: ignore[arg-type]


def test_utc_days_are_days() -> None:
    assert Period("day").window(at("2026-11-28T12:00Z")) == Window(20_785 * 86_400, 20_786 * 86_400)
