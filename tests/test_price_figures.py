"""Amounts in dollars become rates exactly, or are refused; and rates are told as amounts that become the same again."""

from __future__ import annotations

import random

import pytest

from tenants.price_figures import BadAmount, amount, amounts, rate, rates, readable
from tenants.pricing import MOST_RATE, Price, Rates, Tariff, cost
from tenants.units import NAMES, Units


@pytest.mark.parametrize(
    ("unit", "dollars", "value"),
    [
        ("input_tokens", "2.50", 2_500_000_000),
        ("input_tokens", "0.000000001", 1),
        ("cache_read_tokens", 0, 0),
        ("requests", "0.01", 10**13),
        ("images", "0.000000000000001", 1),
        ("web_searches", "10", 10**13),
        ("audio_ms", "0.36", 36 * 10**13),
        ("characters", "15", 15 * 10**9),
    ],
)
def test_amounts_are_rates(unit: str, dollars: str, value: int) -> None:
    assert rate(unit, dollars) == value


def test_an_amount_is_what_a_million_an_hour_or_a_thing_cost() -> None:
    told = {"input_tokens": "2.5", "requests": "0.01", "audio_ms": "0.36", "images": "0.04", "web_searches": "10"}
    price = Price("v", {"": Tariff(Rates(rates(told)))})
    used = Units(1_000_000, counted={"requests": 1, "audio_ms": 3_600_000, "images": 2, "web_searches": 3})
    assert cost(price, used, 0) == 10**7 * (250 + 1 + 36 + 8 + 3)
    assert amounts(price.tariffs[""].rates.told) == told


def test_every_rate_is_told_exactly() -> None:
    draw = random.Random(5)
    for _ in range(5000):
        unit, value = draw.choice(sorted(NAMES)), draw.randrange(10 ** draw.randrange(1, 19))
        assert rate(unit, f"{amount(unit, value):f}") == value
    assert readable("input_tokens", 1_250_000_000_000) == "$1,250 / 1M tokens"
    assert readable("audio_ms", 4 * 10**13) == "$0.04 / hour"


@pytest.mark.parametrize(
    ("unit", "dollars", "words"),
    [
        ("input_tokens", "0.0000000001", "more than 9 decimals"),
        ("input_tokens", "1." + "0" * 40 + "1", "more than 9 decimals"),
        ("requests", "0.0000000000000001", "more than 15 decimals"),
        ("input_tokens", "-0.01", "not below zero"),
        ("input_tokens", "NaN", "no amount"),
        ("input_tokens", "Infinity", "no amount"),
        ("input_tokens", "1E1000000", "nothing costs that much"),
        ("input_tokens", str(MOST_RATE), "nothing costs that much"),
        ("input_tokens", "two", "no amount"),
        ("input_tokens", 0.1, "no amount"),
        ("input_tokens", True, "no amount"),
        ("input_tokens", None, "no amount"),
        ("nonsense", "1", "no such unit"),
    ],
)
def test_what_is_no_rate_is_refused_by_name(unit: str, dollars: str, words: str) -> None:
    with pytest.raises(BadAmount, match=words) as refused:
        rate(unit, dollars)
    assert unit in str(refused.value)


def test_no_long_number_is_worked_out() -> None:
    with pytest.raises(BadAmount):
        rate("input_tokens", "1E-999999")
