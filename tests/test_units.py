"""What a request used: counts that cannot be meant, and those that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.pricing import Price, Rates, cost
from tenants.units import INPUT, JOINT, MOST_UNITS, OUTPUT, PART_OF, TOKENS, BadUnits, Units, checked
from tenants.worst_case import worst_case
from tests import price_strategies as make
from tests.price_strategies import DOLLAR, NOON, price, unhurried


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("value", [-1, MOST_UNITS + 1, 1.0, float("nan"), True, None, "7"])
def test_counts_that_cannot_be_meant_are_refused(name: str, value: Any) -> None:
    units = Units()
    setattr(units, name, value)
    with pytest.raises(BadUnits):
        cost(price(), units, NOON)
    with pytest.raises(BadUnits):
        worst_case(price(), units)


@pytest.mark.parametrize(
    "counted", [{"pages": -1}, {"pages": 1.5}, {"tokens": 1}, {"images": MOST_UNITS + 1}, {"requests": True}]
)
def test_so_are_those_of_no_token(counted: dict[str, Any]) -> None:
    with pytest.raises(BadUnits):
        cost(price(), Units(counted=counted), NOON)


@unhurried
@given(st.builds(Units, **{name: st.integers(0, 100) for name in TOKENS}))
def test_parts_are_made_to_fit_in_their_wholes(units: Units) -> None:
    seen = checked(units)
    assert checked(seen) == seen
    for name in TOKENS:
        for whole in {PART_OF.get(name, name), *JOINT.get(name, ())}:
            assert getattr(seen, name) <= getattr(seen, whole)
    cached = seen.cache_read_tokens + seen.cache_write_tokens
    modal = sum(getattr(seen, name) for name in ("input_audio_tokens", "input_image_tokens", "input_video_tokens"))
    assert cached + modal - sum(getattr(seen, name) for name in JOINT) <= seen.input_tokens
    assert seen.input_tokens >= units.input_tokens
    assert seen.output_tokens >= units.output_tokens


def test_a_part_above_its_whole_raises_the_whole() -> None:
    """As if a vendor that speaks OpenAI's API counted cached tokens apart from input, as Anthropic does."""
    rates = Rates({"input_tokens": 10 * DOLLAR, "cache_read_tokens": DOLLAR})
    assert cost(price(rates), Units(10, 0, 1000), NOON) == 1000 * 1000
    assert checked(Units(10, 5, reasoning_tokens=9)) == Units(10, 9, reasoning_tokens=9)


def test_cached_sound_is_counted_once() -> None:
    """Input that is all cached and all sound is cached sound, though nobody tells so."""
    rates = Rates({"input_tokens": 1, "cache_read_tokens": 2, "input_audio_tokens": 8, "cache_read_audio_tokens": 4})
    assert cost(price(rates), Units(10**6, 0, 10**6, input_audio_tokens=10**6), NOON) == 4


@pytest.mark.parametrize(("joint", "parts"), JOINT.items())
def test_what_is_within_two_parts_is_no_more_than_either(joint: str, parts: tuple[str, str]) -> None:
    for fewer in parts:
        units = Units(100)
        for name, count in {**dict.fromkeys(parts, 9), fewer: 3, joint: 7}.items():
            setattr(units, name, count)
        assert getattr(checked(units), joint) == 3


def test_what_fits_is_left_alone() -> None:
    units = Units(12, 10, 4, 3, 2, reasoning_tokens=5, input_audio_tokens=3)
    assert checked(units) is units
    twisted = replace(units, cache_write_1h_tokens=4)
    assert checked(twisted) == replace(twisted, cache_write_tokens=4)


@unhurried
@given(make.prices(), st.integers(0, 10**7), st.integers(0, 10**7), st.data())
def test_counts_that_contradict_each_other_stay_within_the_worst(
    any_price: Price, made: int, given_: int, data: st.DataObject
) -> None:
    """Each part within its whole, but not all together: two of them are the same tokens."""
    units = Units(given_, made)
    for name in TOKENS:
        if name in INPUT and name not in ("input_tokens", "cache_write_tokens"):
            setattr(units, name, data.draw(st.integers(0, given_), name))
        elif name in OUTPUT and name != "output_tokens":
            setattr(units, name, data.draw(st.integers(0, made), name))
    units.cache_write_tokens = units.cache_write_1h_tokens
    seen = checked(units)
    try:
        bound = worst_case(any_price, Units(seen.input_tokens, seen.output_tokens))
    except BadUnits:
        return
    assert 0 <= cost(any_price, units, NOON) <= bound
