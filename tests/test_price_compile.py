"""Made-up catalogues: what compiling makes of each construction, and what it cannot say."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import types as catalogue
from hypothesis import given
from hypothesis import strategies as st

from tenants.price_catalogue import (
    NO_AMOUNT,
    NO_MATCH,
    NO_UNIT,
    ONE_NAME,
    ROUNDED,
    TOGETHER,
    TWO_SOUNDS,
)
from tenants.price_rows import Unexpressed, totals
from tenants.price_table import Listing, Match, Names
from tenants.pricing import Price, cost
from tenants.units import Units
from tests.made_catalogue import By, Money, compiled, from_day, listing, model, money
from tests.price_strategies import NOON, unhurried

HOUR = 3600


def only(each: Listing) -> Price:
    (version,) = each.versions
    assert version.price is not None
    return version.price


def missed(*models: catalogue.ModelInfo) -> list[tuple[str, str]]:
    return [(each.reason, each.detail) for each in compiled(*models).unexpressed]


def variant(dollars: int, constraint: Any = None, **when: str) -> catalogue.PriceVariant:
    return catalogue.PriceVariant(when, money(dollars), constraint)


def daily(start: time, end: time, dollars: int) -> catalogue.ConditionalPrice:
    return By(catalogue.TimeOfDateConstraint(start, end), prices=money(dollars))


# ---------------------------------------------------------------- times


def test_each_day_on_which_something_changes_begins_a_version() -> None:
    found = listing(model([By(prices=money(1)), from_day(10, 2), from_day(20, 2), from_day(30, 3)]))
    days = [(version.effective_from, version.effective_until) for version in found.versions]
    tenth, thirtieth = (int(datetime(2026, 1, day, tzinfo=UTC).timestamp()) for day in (10, 30))
    assert days == [(None, tenth), (tenth, thirtieth), (thirtieth, None)]  # on the 20th nothing changes
    prices = [version.price for version in found.versions]
    assert [cost(price, Units(1), NOON) for price in prices if price] == [1000, 2000, 3000]
    assert [price.version.split("#")[0] for price in prices if price] == ["v/m", "v/m@2026-01-10", "v/m@2026-01-30"]


def test_the_later_of_two_that_hold_is_the_one() -> None:
    """An earlier day behind a later one: from then on it alone counts, as in the package."""
    found = listing(model([By(prices=money(1)), from_day(20, 3), from_day(10, 2)]))
    assert [cost(each.price, Units(1), NOON) for each in found.versions if each.price] == [1000, 2000]


def test_a_variant_may_begin_later_than_its_model() -> None:
    start = catalogue.StartDateConstraint(date(2026, 1, 10))
    found = listing(model(money(2), variants=[variant(1, start, processing="batch")]))
    assert [sorted(each.price.tariffs) for each in found.versions if each.price] == [[""], ["", "batch"]]


ZONES = [None, UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3, minutes=-30))]


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize(("start", "end"), [(1, 4), (22, 2), (0, 12), (12, 0)])
def test_times_of_day_are_those_of_the_package(zone: Any, start: int, end: int) -> None:
    """At each half hour of a day, over midnight, and in any zone that it may write them in."""
    made = model([By(prices=money(1)), daily(time(start, tzinfo=zone), time(end, tzinfo=zone), 5)])
    price = only(listing(made))
    day = datetime(2026, 5, 5, tzinfo=UTC)
    for half in range(48):
        at = day + timedelta(minutes=30 * half)
        assert Decimal(cost(price, Units(1), at.timestamp())) / 1000 == made.get_prices(at).input_mtok


def test_what_holds_for_most_of_the_day_is_the_usual_price() -> None:
    made = [By(prices=money(1)), daily(time(0, 30), time(12, 30), 2), daily(time(12), time(16, 30), 2)]
    price = only(listing(model(made)))
    assert cost(Price("", price.tariffs), Units(1), NOON) == 2000
    assert [(each.start, each.end) for each in price.windows] == [(0, HOUR // 2), (33 * HOUR // 2, 24 * HOUR)]


# ---------------------------------------------------------------- amounts


def tiered(base: str, **tiers: str) -> catalogue.TieredPrices:
    rows = [catalogue.Tier(int(start[1:]), Decimal(amount)) for start, amount in tiers.items()]
    return catalogue.TieredPrices(Decimal(base), rows)


def test_lengths_of_different_amounts_are_told_together() -> None:
    made = Money(
        input_mtok=tiered("1", a100="2", a300="4"), output_mtok=tiered("10", a200="20"), web_searches_kcount=Decimal(10)
    )
    tariff = only(listing(model(made))).tariffs[""]
    assert [(start, dict(rates.told)) for start, rates in ((0, tariff.rates), *tariff.long)] == [
        (0, {"input_tokens": 10**9, "output_tokens": 10 * 10**9, "web_searches": 10**13}),
        (100, {"input_tokens": 2 * 10**9, "output_tokens": 10 * 10**9, "web_searches": 10**13}),
        (200, {"input_tokens": 2 * 10**9, "output_tokens": 20 * 10**9, "web_searches": 10**13}),
        (300, {"input_tokens": 4 * 10**9, "output_tokens": 20 * 10**9, "web_searches": 10**13}),
    ]


def test_variants_change_what_they_name_and_the_rest_stays() -> None:
    made = model(
        money(2, output_mtok="8"), variants=[variant(1, processing="batch"), variant(2, service_tier="default")]
    )
    tariffs = only(listing(made)).tariffs
    assert {tier: dict(tariff.rates.told) for tier, tariff in tariffs.items()} == {
        "": {"input_tokens": 2 * 10**9, "output_tokens": 8 * 10**9},
        "batch": {"input_tokens": 10**9, "output_tokens": 8 * 10**9},  # the default tier is the standard one
    }


@pytest.mark.parametrize("digits", ["0.1800000001", "0.1799999999", "0.08333333333333334"])
def test_digits_below_a_nano_dollar_for_a_million_are_rounded_and_told(digits: str) -> None:
    assert missed(model(money(digits))) == [(ROUNDED, f"input_tokens ${digits}")]


def test_what_it_cannot_say_is_told() -> None:
    two = {"service_tier": "fast"}, {"speed": "fast"}
    clash = model(money(2), variants=[catalogue.PriceVariant(dict(when), money(3)) for when in two])
    assert missed(clash) == [(ONE_NAME, "fast: {'speed': 'fast'}")]
    both = model(money(2), variants=[variant(1, processing="batch"), variant(1, speed="fast")])
    assert missed(both) == [(TOGETHER, "processing, speed")]
    assert missed(model(Money())) == [(NO_AMOUNT, "")]
    assert listing(model(Money())).versions[0].price is None
    assert missed(model(Money(), "m:free")) == []
    assert missed(model(money(1, input_smells="3"))) == [(NO_UNIT, "input_smells")]
    assert missed(model(Money(audio_hours=Decimal(1), input_audio_hours=Decimal(2)))) == [
        (TWO_SOUNDS, "input_audio_hours")
    ]
    sound = only(listing(model(Money(audio_hours=Decimal(2), input_audio_hours=Decimal(1)))))
    assert cost(sound, Units(counted={"audio_ms": 1000 * HOUR}), NOON) == 2 * 10**9
    assert missed(model(money(1), match=catalogue.ClauseRegex("(")))[0][0] == NO_MATCH


def test_what_is_told_is_counted() -> None:
    rows = [Unexpressed("v", "m", "b", ""), Unexpressed("v", "n", "a", ""), Unexpressed("v", "o", "b", "")]
    assert totals(rows) == {"a": 1, "b": 2}


# ---------------------------------------------------------------- names

TEXT = st.text("ab.-", min_size=1, max_size=3)
PLAIN_CLAUSES = st.one_of(
    st.builds(catalogue.ClauseEquals, TEXT),
    st.builds(catalogue.ClauseStartsWith, TEXT),
    st.builds(catalogue.ClauseEndsWith, TEXT),
    st.builds(catalogue.ClauseContains, TEXT),
    st.builds(catalogue.ClauseRegex, st.sampled_from(["^a", "b$", "^ab?$", "a|b", r"\.", "^(?!.*b)"])),
)
CLAUSES = st.recursive(
    PLAIN_CLAUSES,
    lambda inner: st.one_of(
        st.builds(catalogue.ClauseOr, st.lists(inner, min_size=1, max_size=3)),
        st.builds(catalogue.ClauseAnd, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


@unhurried
@given(CLAUSES, st.text("ab.-", max_size=5))
def test_any_pattern_matches_what_it_matches_in_the_package(clause: Any, name: str) -> None:
    made = model(money(1), match=clause)
    assert bool(Names([listing(made)]).find(name)) == made.is_match(name)


def test_names_are_matched_in_lower_case() -> None:
    found = listing(
        model(money(1), match=catalogue.ClauseOr([catalogue.ClauseEquals("GLM-5"), catalogue.ClauseContains("Kimi")]))
    )
    assert found.match == Match(equals=("glm-5",), contains=("kimi",))
