"""Prices and uses of every kind, for properties. Uses are made of their smallest parts: what each token is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tenants.pricing import DAY, Price, Rates, Tariff, Window
from tenants.units import COUNTED, JOINT, NAMES, PART_OF, Units

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
#: A dollar for a million tokens.
DOLLAR = 10**9
PLAIN = Rates({"input_tokens": DOLLAR, "output_tokens": 10 * DOLLAR})
unhurried = settings(deadline=None)

RATE = st.integers(0, 10**12) | st.sampled_from([0, 1, 499_999, 500_000, 10**18])
COUNT = st.integers(0, 10**7)
CACHE = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")
TIERS = ("", "batch", "priority")


def price(rates: Rates = PLAIN, **other: Any) -> Price:
    return Price("v", {"": Tariff(rates)}, **other)


def lineage(name: str) -> set[str]:
    """All that a token which is ``name`` counts in."""
    if name in JOINT:
        return {name, *JOINT[name], "input_tokens"}
    return {name} | (lineage(PART_OF[name]) if name in PART_OF else set())


def units_of(leaves: Mapping[str, int]) -> Units:
    """The counts of a request with so many of each smallest part."""
    sums: dict[str, int] = {}
    for leaf, count in leaves.items():
        for name in lineage(leaf):
            sums[name] = sums.get(name, 0) + count
    counted = {name: sums.pop(name) for name in COUNTED if name in sums}
    return Units(**sums, counted=counted)


def worth(told: Mapping[str, int], leaf: str) -> int:
    """What a million of a smallest part cost: its own rate, or that of the nearest thing it counts in."""
    if leaf in told:
        return told[leaf]
    if leaf in JOINT:
        return max((told[part] for part in JOINT[leaf] if part in told), default=told.get("input_tokens", 0))
    return worth(told, PART_OF[leaf]) if leaf in PART_OF else 0


def exact(told: Mapping[str, int], leaves: Mapping[str, int]) -> Fraction:
    """Nano-dollars, by adding up the parts."""
    every = {"requests": 1, **leaves}
    return sum(
        (Fraction(worth(told, leaf) * count, 10**6 * COUNTED.get(leaf, 1)) for leaf, count in every.items()), Fraction()
    )


leaves = st.dictionaries(st.sampled_from(sorted(NAMES)), COUNT)
told = st.dictionaries(st.sampled_from(sorted(NAMES)), RATE)
cache_told = st.dictionaries(st.sampled_from(CACHE), RATE)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Longer input may cost more or less."""
    starts = sorted(draw(st.sets(st.integers(1, 10**7), max_size=3)))
    if draw(st.booleans()):
        return Tariff(Rates(draw(told)), tuple((start, Rates(draw(told))) for start in starts))
    inputs = st.dictionaries(st.sampled_from(CACHE[:-1]), RATE)
    return Tariff(Rates(draw(cache_told)), tuple((start, Rates(draw(inputs))) for start in starts), beyond=True)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    daily = st.fixed_dictionaries({"": tariffs()}, optional={tier: tariffs() for tier in TIERS if tier})
    edges = sorted(draw(st.sets(st.integers(0, DAY), max_size=4)))
    windows = tuple(Window(start, end, draw(daily)) for start, end in zip(edges[::2], edges[1::2], strict=False))
    least = draw(st.sampled_from([0, 10_000]))
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
    return Price("v", draw(daily), windows=windows, zone=zone, least_audio_ms=least)
