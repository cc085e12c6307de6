"""Prices as text, and what an upgrade of the catalogue changes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from genai_prices import types as catalogue
from hypothesis import given
from hypothesis import strategies as st

from tenants.price_catalogue import compile_catalogue
from tenants.price_changes import changed
from tenants.price_rows import price_row, read, read_price, write
from tenants.price_table import Prices, Vendor
from tenants.pricing import BadPrice, Price, cost
from tenants.units import Units
from tests import price_strategies as make
from tests.made_catalogue import By, compiled, from_day, model, money
from tests.price_strategies import NOON, unhurried

# ---------------------------------------------------------------- rows


@unhurried
@given(make.prices(), st.integers(0, 10**9), st.none() | st.integers(10**9 + 1, 2 * 10**9), st.integers(0, 10**7))
def test_a_price_is_read_as_it_was_written(price: Price, start: int, end: int | None, window: int) -> None:
    full = replace(price, effective_from=start, effective_until=end, context_window=window, source="mine")
    assert read_price(json.loads(json.dumps(price_row(full)))) == full


def document(**listed: Any) -> str:
    """A catalogue with one model, ``listed`` instead of what it has."""
    models = [{"model": "m", "match": {}, "versions": []} | listed]
    vendors = [{"name": "v", "url": "", "fallback": [], "models": models}]
    return json.dumps({"format": 1, "source": "", "vendors": vendors, "unexpressed": []})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "source": "", "vendors": [{}], "unexpressed": []}',
        '{"format": 1, "source": "", "vendors": [], "unexpressed": [[]]}',
        document(match={"like": []}),
        document(versions=[{"from": "yesterday"}]),
        document(versions=[{"version": "x"}]),
        document(versions=[{"version": "x", "rates": {"input_tokens": 0.5}}]),
        document(versions=[{"version": "x", "rates": {}}, {"version": "y", "rates": {}}]),
    ],
)
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    assert read(document()).vendors
    with pytest.raises(BadPrice):
        read(text)


# ---------------------------------------------------------------- upgrades


def test_nothing_changes_by_compiling_again() -> None:
    one = compiled(model(money(1)), model([By(prices=money(1)), from_day(10, 2)], "n"))
    assert changed(one, read(write(one))) == []
    assert changed(one, replace(one, source="a later one")) == []


def test_an_upgrade_tells_each_price_that_it_changes() -> None:
    old = compiled(model(money(1), "gone"), model(money(1), "up"), model(money(1), "n"), model(money(4), "same"))
    new = compiled(
        model(money(4), "same"),
        model(money(2), "up"),
        model([By(prices=money(1)), from_day(10, 2)], "n", catalogue.ClauseStartsWith("n")),
        model(money(9), "fresh"),
    )
    found = changed(old, new)
    assert [(each.model, each.what) for each in found] == [
        ("fresh", "added"),
        ("gone", "removed"),
        ("n", "changed"),  # it ends now, where another begins
        ("n", "added"),
        ("up", "changed"),
        ("n", "names"),
    ]
    up = found[4]
    assert up.before and up.after
    assert up.before.price and up.after.price
    assert [cost(each, Units(1), NOON) for each in (up.before.price, up.after.price)] == [1000, 2000]
    assert up.before.price.version != up.after.price.version
    ending = found[2]
    assert ending.before and ending.after
    assert ending.before.price and ending.after.price
    assert ending.before.price.version == ending.after.price.version  # what was charged by it is as it was


def test_the_text_of_a_catalogue_shows_a_change_in_one_place() -> None:
    one, other = (write(compiled(model(money(dollars)), model(money(7), "n"))).splitlines() for dollars in (1, 2))
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert [name.split('"')[1] for name, _ in differing] == ["input_tokens", "version"]


def test_a_catalogue_of_vendors_that_sell_each_others_models_is_kept() -> None:
    providers = [
        catalogue.Provider("a", "A", "https://a", fallback_model_providers=["b"]),
        catalogue.Provider("b", "B", "https://b", models=[model(money(3))]),
    ]
    found = compile_catalogue(providers, "made up")
    assert found.vendors[0] == Vendor("a", "https://a", (), ("b",))
    prices = Prices(read(write(found)).vendors)
    price = prices.find(prices.source("up", "openai-compatible", "https://a/v1"), "m", NOON)
    assert price is not None
    assert cost(price, Units(1), NOON) == 3000
