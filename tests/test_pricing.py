"""What a request costs: exact, rounded once, bounded, and refused where it cannot be meant."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.pricing import (
    DAY,
    LAST_SECOND,
    MOST_COST,
    MOST_RATE,
    BadPrice,
    Price,
    Rates,
    Tariff,
    Window,
    cost,
    unpriced,
)
from tenants.units import COUNTED, INPUT, MOST_UNITS, NAMES, BadUnits, Units
from tenants.worst_case import worst_case
from tests import price_strategies as make
from tests.price_strategies import DOLLAR, NOON, PLAIN, TIERS, exact, price, unhurried, units_of

MOMENT = st.integers(0, 4 * 10**9)


# ---------------------------------------------------------------- exact, rounded once


@unhurried
@given(make.told, make.leaves)
def test_it_is_the_sum_of_the_parts_rounded_half_even_once(told: dict[str, int], leaves: dict[str, int]) -> None:
    expected = round(exact(told, leaves))
    if expected > MOST_COST:
        with pytest.raises(BadUnits):
            cost(price(Rates(told)), units_of(leaves), NOON)
    else:
        assert cost(price(Rates(told)), units_of(leaves), NOON) == expected


@pytest.mark.parametrize(("tokens", "nanos"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4)])
def test_halves_go_to_the_even(tokens: int, nanos: int) -> None:
    assert cost(price(Rates({"input_tokens": 500_000})), Units(tokens), NOON) == nanos


def test_parts_are_not_rounded() -> None:
    """Three times half a nano-dollar: each rounded alone, they would be nothing."""
    told = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens"), 500_000)
    assert cost(price(Rates(told)), Units(2, 1, 1), NOON) == 2


def test_cached_and_reasoning_tokens_are_charged_once() -> None:
    rates = Rates({"input_tokens": 3 * DOLLAR, "output_tokens": 15 * DOLLAR, "cache_read_tokens": DOLLAR // 10})
    assert cost(price(rates), Units(1000, 100, 900, reasoning_tokens=60), NOON) == 100 * 3000 + 900 * 100 + 100 * 15000


def test_writes_for_an_hour_are_apart_from_those_for_minutes() -> None:
    rates = Rates({"input_tokens": 100, "cache_write_tokens": 125, "cache_write_1h_tokens": 200})
    units = Units(10**6, cache_write_tokens=10**6, cache_write_1h_tokens=400_000)
    assert cost(price(rates), units, NOON) == (600_000 * 125 + 400_000 * 200) // 10**6


def test_sound_is_by_the_hour_and_at_least_some() -> None:
    """Four cents an hour, ten seconds at least, as one vendor has it."""
    heard = price(Rates({"audio_ms": 4 * 10**13}), least_audio_ms=10_000)
    assert [cost(heard, Units(counted={"audio_ms": ms}), NOON) for ms in (0, 1, 10_000, 3_600_000)] == [
        0,
        round(Fraction(4 * 10**7, 360)),
        round(Fraction(4 * 10**7, 360)),
        4 * 10**7,
    ]


def test_requests_count_without_being_told() -> None:
    rates = Rates({"requests": 12 * 10**12, "pages": 10**12, "annotated_pages": 3 * 10**12})
    assert cost(price(rates), Units(), NOON) == 12 * 10**6
    assert cost(price(rates), Units(counted={"requests": 0, "pages": 3}), NOON) == 3 * 10**6
    assert cost(price(rates), Units(counted={"requests": 0, "pages": 3, "annotated_pages": 1}), NOON) == 5 * 10**6
    assert cost(price(rates), Units(counted={"requests": 0, "annotated_pages": 1}), NOON) == 3 * 10**6


# ---------------------------------------------------------------- order


def at_least(tariff: Tariff) -> Tariff:
    """``tariff`` with every rate for longer input at least as high as before."""
    floor, long = {name: tariff.rates.rate(name) for name in NAMES}, []
    for start, rates in tariff.long:
        floor = {name: max(floor[name], rates.rate(name)) for name in NAMES}
        long.append(
            (start, Rates(dict(floor) if not tariff.beyond else {name: floor[name] for name in make.CACHE[:-1]}))
        )
    base = tariff.rates if tariff.beyond else Rates({name: tariff.rates.rate(name) for name in NAMES})
    return Tariff(base, tuple(long), tariff.beyond)


@unhurried
@given(make.tariffs(), make.leaves, st.sampled_from(sorted(NAMES)), st.integers(1, 10**6))
def test_more_of_anything_never_costs_less(tariff: Tariff, leaves: dict[str, int], name: str, more: int) -> None:
    """Of any smallest part; where longer input is not cheaper, as in all of the catalogue."""
    rising = Price("v", {"": at_least(tariff)})
    if tariff.beyond and name not in (*make.CACHE, *COUNTED):
        name = "input_tokens"
    if tariff.beyond:
        leaves = {leaf: count for leaf, count in leaves.items() if leaf in (*make.CACHE, *COUNTED)}
    grown = leaves | {name: leaves.get(name, 1 if name == "requests" else 0) + more}
    try:
        greater = cost(rising, units_of(grown), NOON)
    except BadUnits:
        return
    assert cost(rising, units_of(leaves), NOON) <= greater


@unhurried
@given(make.prices(), make.leaves, MOMENT, st.sampled_from(TIERS), st.integers(0, 10**6), st.integers(0, 10**6))
def test_nothing_within_bounds_costs_more_than_the_worst(
    any_price: Price, leaves: dict[str, int], at: int, tier: str, more_in: int, more_out: int
) -> None:
    units = units_of(leaves)
    bounds = Units(units.input_tokens + more_in, units.output_tokens + more_out, counted=units.counted)
    try:
        bound = worst_case(any_price, bounds)
    except BadUnits:
        return
    assert cost(any_price, units, at, tier) <= worst_case(any_price, bounds, {tier}) <= bound


def test_the_worst_is_no_worse_than_it_may_be() -> None:
    rates = Rates({"input_tokens": DOLLAR, "cache_write_1h_tokens": 2 * DOLLAR, "output_tokens": 10 * DOLLAR})
    dear = Price("v", {"": Tariff(rates), "priority": Tariff(Rates({"output_tokens": 20 * DOLLAR}))})
    bounds = Units(1000, 100)
    assert worst_case(dear, bounds, {""}) == 1000 * 2000 + 100 * 10_000
    assert worst_case(dear, bounds, {""}, without={"cache_write_1h_tokens"}) == 1000 * 1000 + 100 * 10_000
    assert worst_case(dear, Units(0, 100)) == 100 * 20_000
    assert worst_case(dear, bounds, ()) == worst_case(dear, bounds, {""})  # the standard tier is always possible


def test_the_worst_is_rounded_up() -> None:
    assert worst_case(price(Rates({"input_tokens": 1})), Units(1)) == 1
    assert worst_case(price(Rates({"audio_ms": 1})), Units(counted={"audio_ms": 1})) == 1


# ---------------------------------------------------------------- long input


@pytest.mark.parametrize(("tokens", "nanos"), [(200_000, 200_000_000), (200_001, 400_002_000)])
def test_long_input_costs_more_for_the_whole_request(tokens: int, nanos: int) -> None:
    double = Rates({name: 2 * rate for name, rate in PLAIN.told.items()})
    long = Price("v", {"": Tariff(PLAIN, ((200_000, double),))})
    assert cost(long, Units(tokens), NOON) == nanos
    assert cost(long, Units(tokens, 10), NOON) - nanos == (100_000 if tokens == 200_000 else 200_000)


def test_or_for_the_part_beyond_alone() -> None:
    """A cache holds the beginning of a prompt: fresh tokens are the ones beyond."""
    base = Rates({"input_tokens": 10 * DOLLAR, "cache_read_tokens": DOLLAR, "output_tokens": DOLLAR})
    long = Rates({"input_tokens": 20 * DOLLAR, "cache_read_tokens": 2 * DOLLAR})
    beyond = Price("v", {"": Tariff(base, ((1000, long), (2000, Rates({"input_tokens": 30 * DOLLAR}))), beyond=True)})
    assert cost(beyond, Units(1000, 5), NOON) == 1000 * 10_000 + 5000
    assert cost(beyond, Units(1001, 5), NOON) == 1000 * 10_000 + 20_000 + 5000
    assert cost(beyond, Units(1500, 0, 1200), NOON) == 1000 * 1000 + 200 * 2000 + 300 * 20_000
    assert cost(beyond, Units(2500, 0, 900), NOON) == 900 * 1000 + 100 * 10_000 + 1000 * 20_000 + 500 * 30_000
    assert worst_case(beyond, Units(1500, 100)) == 1500 * 20_000 + 100 * 1000  # output costs what it always does


def test_writes_stand_between_what_was_read_and_what_is_fresh() -> None:
    base = Rates({"input_tokens": DOLLAR, "cache_write_tokens": 2 * DOLLAR, "cache_write_1h_tokens": 4 * DOLLAR})
    long = Rates({name: 10 * rate for name, rate in base.told.items()})
    beyond = Price("v", {"": Tariff(base, ((1000, long),), beyond=True)})
    units = Units(1500, 0, 600, cache_write_tokens=500, cache_write_1h_tokens=300)
    fresh = 400  # reads cost as much: there is no rate for them
    expected = (600 + fresh * 10) * 1000 + 300 * 4000 + (100 + 100 * 10) * 2000
    assert cost(beyond, units, NOON) == expected


@unhurried
@given(make.tariffs(), st.integers(0, 10**7), make.leaves)
def test_the_part_beyond_adds_to_what_was_there(tariff: Tariff, read: int, leaves: dict[str, int]) -> None:
    """At a length, nothing jumps: one token more costs one token."""
    if not tariff.beyond:
        return
    dearest = max(rates.rate(name) for rates in (tariff.rates, *(r for _, r in tariff.long)) for name in INPUT)
    for start, _ in tariff.long:
        less, more = (tariff.tokens(Units(count, 7, min(read, start))) for count in (start, start + 1))
        assert 0 <= more - less <= dearest


# ---------------------------------------------------------------- tiers and times of day


def test_a_tier_without_rates_of_its_own_is_standard() -> None:
    tiers = Price("v", {"": Tariff(PLAIN), "batch": Tariff(Rates({"input_tokens": DOLLAR // 2}))})
    assert cost(tiers, Units(1000), NOON, "batch") == 500_000
    assert cost(tiers, Units(1000), NOON, "scale") == cost(tiers, Units(1000), NOON) == 1_000_000


def windowed(start: int, end: int, zone: str = "UTC") -> Price:
    peak = {"": Tariff(Rates({"input_tokens": 2 * DOLLAR})), "batch": Tariff(Rates({"input_tokens": 3 * DOLLAR}))}
    return price(windows=(Window(start, end, peak),), zone=zone)


def test_times_of_day_begin_and_end_on_the_second() -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    peak = windowed(3600, 4 * 3600)
    seen = [cost(peak, Units(1), day + at) for at in (3599, 3599.999, 3600, 14399.999, 14400)]
    assert seen == [1000, 1000, 2000, 2000, 1000]
    assert cost(peak, Units(1), day + 3600, "batch") == 3000
    night = windowed(23 * 3600, 3600)
    assert [cost(night, Units(1), day + hour * 3600) for hour in (-1, 0, 1, 22, 23)] == [2000, 2000, 1000, 1000, 2000]
    assert cost(windowed(3600, 7200), Units(1), -DAY + 3600) == 2000  # a clock before 1970


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 0), (date(2026, 10, 25), 2), (date(2026, 6, 1), 1)], ids=str
)
def test_clocks_of_a_zone_jump_by_an_hour(day: date, hours: int) -> None:
    """From two to three in Berlin: on one day of the year there is no such hour, on another there are two."""
    peak = windowed(2 * 3600, 3 * 3600, "Europe/Berlin")
    midnight = datetime.combine(day, time(), ZoneInfo("Europe/Berlin")).timestamp()
    minutes = [cost(peak, Units(1), midnight + minute * 60) for minute in range(6 * 60)]
    assert minutes.count(2000) == 60 * hours


@unhurried
@given(
    MOMENT, st.integers(0, DAY - 1), st.integers(1, DAY), st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"])
)
def test_a_time_of_day_is_what_the_clock_on_the_wall_says(at: int, start: int, end: int, zone: str) -> None:
    wall = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).time()
    second = wall.hour * 3600 + wall.minute * 60 + wall.second
    within = start <= second < end if start < end else (second >= start or second < end)
    assert cost(windowed(start, end, zone), Units(1), at) == (2000 if within else 1000)


# ---------------------------------------------------------------- refusals


def test_a_charge_that_no_database_holds_is_refused() -> None:
    dearest = price(Rates({"input_tokens": MOST_RATE}))
    with pytest.raises(BadUnits):
        cost(dearest, Units(MOST_UNITS), NOON)
    assert cost(dearest, Units(1), NOON) == 10**12
    with pytest.raises(BadUnits):
        worst_case(dearest, Units(MOST_UNITS))


@pytest.mark.parametrize("rate", [-1, MOST_RATE + 1, 0.5, True, None, "1"])
def test_rates_that_cannot_be_meant_are_refused(rate: Any) -> None:
    with pytest.raises(BadPrice):
        Rates({"input_tokens": rate})


def test_so_is_a_rate_for_nothing() -> None:
    with pytest.raises(BadPrice, match="no such unit"):
        Rates({"prompt_tokens": 1})


@pytest.mark.parametrize(
    "broken",
    [
        {"effective_from": 10, "effective_until": 10},
        {"effective_from": -1},
        {"effective_until": LAST_SECOND + 1},
        {"effective_from": 1.5},
        {"zone": "Europe/Atlantis"},
        {"zone": "../etc/passwd"},
        {"least_audio_ms": -1},
        {"context_window": 1.5},
        {"windows": (Window(0, 10, {"": Tariff(PLAIN)}), Window(9, 20, {"": Tariff(PLAIN)}))},
        {"windows": (Window(80_000, 10, {"": Tariff(PLAIN)}), Window(9, 20, {"": Tariff(PLAIN)}))},
        {"windows": (Window(0, DAY + 1, {"": Tariff(PLAIN)}),)},
        {"windows": (Window(0, 10, {"batch": Tariff(PLAIN)}),)},
        {"tariffs": {"batch": Tariff(PLAIN)}},
    ],
    ids=str,
)
def test_prices_that_cannot_be_meant_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(BadPrice):
        Price(**({"version": "v", "tariffs": {"": Tariff(PLAIN)}} | broken))


@pytest.mark.parametrize("starts", [(0,), (5, 5), (6, 5), (1.5,)])
def test_lengths_rise(starts: tuple[Any, ...]) -> None:
    with pytest.raises(BadPrice):
        Tariff(PLAIN, tuple((start, PLAIN) for start in starts))


def test_a_part_beyond_is_of_plain_input() -> None:
    for base, long in (({"input_audio_tokens": 1}, {"input_tokens": 1}), ({"input_tokens": 1}, {"output_tokens": 1})):
        with pytest.raises(BadPrice):
            Tariff(Rates(base), ((5, Rates(long)),), beyond=True)


def test_what_has_no_rate_is_named() -> None:
    """A price that is silent about something is not a price of nothing."""
    spoken = price(Rates({"audio_ms": 1}))
    assert unpriced(spoken, Units(1, 0, counted={"audio_ms": 5, "images": 2}), NOON) == ("input_tokens", "images")
    assert unpriced(price(), Units(1, 1, 1), NOON) == ()
