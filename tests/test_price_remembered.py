"""What is remembered of prices, and worked out in short, is what the long way gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.billed import Billed
from routing import table as tables
from routing.charging import charge, units_of
from routing.table import Table
from tenants.ledger import Entry
from tenants.price_table import Override, Prices, Source
from tenants.pricing import MOST_RATE, Price, PriceOverlap, Rates, Tariff, cost
from tenants.units import MOST_UNITS, BadUnits
from tests.inprocess import upstream
from tests.price_strategies import NOON, RATE, tariffs, unhurried

UP = Source("up", "openai", "openai")
SECONDS = st.integers(0, 200) | st.floats(0, 200)
PARTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
FLAT = st.dictionaries(st.sampled_from((*PARTS, "cache_write_1h_tokens", "input_audio_tokens")), RATE)
COUNTS = st.integers(0, 3000) | st.sampled_from([-1, MOST_UNITS, MOST_UNITS + 1, 10**12])


@st.composite
def overrides(draw: st.DrawFn) -> list[Override]:
    """Versions for one second after another, some of them open, with gaps."""
    edges = sorted(draw(st.sets(st.integers(1, 199), min_size=1, max_size=6)))
    found = []
    for place, (start, end) in enumerate(zip([None, *edges], [*edges, None], strict=True)):
        if draw(st.booleans()):
            pattern = draw(st.sampled_from(["m", "m*", "*"]))
            made = Price(f"v{place}", {"": Tariff(Rates({}))}, start, end)
            found.append(Override("", "", pattern, made))
    return found


@unhurried
@given(overrides(), st.lists(SECONDS, min_size=1, max_size=8))
def test_a_price_that_is_remembered_is_the_one_that_holds(rows: list[Override], moments: list[float]) -> None:
    """Whatever was asked for before, and in whatever order."""
    try:
        prices = Prices(overrides=rows)
    except PriceOverlap:  # of two versions under one pattern
        return
    table = Table(prices=prices, sources={1: UP})
    for at in moments:
        found = table.price(upstream(id=1), "m", at)
        assert found is prices.find(UP, "m", at) is Prices(overrides=rows).find(UP, "m", at)
        lasting = prices.lasting(UP, "m", at)
        assert lasting.since <= at < lasting.until
        for other in moments:
            if lasting.since <= other < lasting.until:
                assert prices.find(UP, "m", other) is lasting.price


def test_no_more_prices_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_PRICED", 3)
    table = Table(
        prices=Prices(overrides=[Override("", "", "*", Price("v", {"": Tariff(Rates({}))}))]), sources={1: UP}
    )
    for name in "abcdefg":
        assert table.price(upstream(id=1), name, NOON) is not None
        assert len(table.priced) <= 3
    assert table.price(upstream(id=2), "a", NOON) is None


def long_way(entry: Entry, price: Price) -> int | None:
    try:
        return cost(price, units_of(entry, Billed()), entry.created_at)
    except BadUnits:
        return None


@unhurried
@given(FLAT, st.fixed_dictionaries(dict.fromkeys(PARTS, COUNTS)))
def test_the_short_way_costs_what_the_long_one_does(told: dict[str, int], counts: dict[str, Any]) -> None:
    price, entry = Price("v", {"": Tariff(Rates(told))}), Entry(created_at=NOON, **counts)
    assert price.flat is not None
    charge(entry, price, Billed())
    assert entry.cost == long_way(entry, price)


@unhurried
@given(tariffs(), st.fixed_dictionaries(dict.fromkeys(PARTS, st.integers(0, 10**7))))
def test_no_price_is_flat_that_is_not(tariff: Tariff, counts: dict[str, Any]) -> None:
    price, entry = Price("v", {"": tariff}), Entry(created_at=NOON, **counts)
    assert (price.flat is None) is bool(tariff.long or tariff.rates.counted)
    charge(entry, price, Billed())
    assert entry.cost == long_way(entry, price)


def test_a_cost_beyond_all_money_is_none() -> None:
    entry = Entry(created_at=NOON, input_tokens=MOST_UNITS)
    charge(entry, Price("v", {"": Tariff(Rates({"input_tokens": MOST_RATE}))}), Billed())
    assert entry.cost is None
