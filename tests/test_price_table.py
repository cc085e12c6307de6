"""Which price holds: by scope, name and time; versions that contradict each other; clocks that jump."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.presets import PRESETS
from tenants.price_table import (
    MATCHES,
    REMEMBERED,
    VENDORS,
    Listing,
    Match,
    Names,
    Override,
    Prices,
    Source,
    Vendor,
    Version,
)
from tenants.pricing import BadPrice, Price, PriceOverlap, Rates, Tariff, Window
from tests.price_strategies import DOLLAR, NOON, unhurried

DAY = 86_400
UP = Source("mine", "openai", "openai")
#: Kinds of which the address alone tells the prices: anybody's, one's own hardware, and a seller in no catalogue.
UNLISTED = {"demo", "ollama", "vllm", "llama.cpp", "lm-studio", "siliconflow"}
UNLISTED |= {"openai-compatible", "anthropic-compatible", "gemini-compatible"}


def price(version: str, start: int | None = None, end: int | None = None, tiers: tuple[str, ...] = ()) -> Price:
    tariffs = {tier: Tariff(Rates({"input_tokens": DOLLAR + len(tier)})) for tier in ("", *tiers)}
    return Price(version, tariffs, start, end)


def override(pattern: str, version: str, provider: str = "", kind: str = "", **when: int | None) -> Override:
    return Override(provider, kind, pattern, price(version, when.get("start"), when.get("end")))


def listing(model: str, *versions: Price | None, **match: tuple[str, ...]) -> Listing:
    rows = [
        Version(each.effective_from, each.effective_until, each) if each else Version(None, None, None)
        for each in versions
    ]
    return Listing(model, Match(**(match or {"equals": (model,)})), tuple(rows))


def vendor(name: str, *listings: Listing, fallback: tuple[str, ...] = ()) -> Vendor:
    return Vendor(name, rf"https://api\.{name}\.test", listings, fallback)


def found(prices: Prices, model: str, at: float = NOON, source: Source = UP) -> str | None:
    price = prices.find(source, model, at)
    return None if price is None else price.version


# ---------------------------------------------------------------- scope and name


def test_the_nearest_scope_and_then_the_exact_name_goes_first() -> None:
    catalogue = [vendor("openai", listing("gpt-5", price("listed")), listing("gpt-6", price("listed too")))]
    rows = [
        override("*", "all"),
        override("gpt-*", "all gpt"),
        override("gpt-5", "all gpt-5"),
        override("gpt-*", "kind gpt", kind="openai"),
        override("gpt-5*", "mine gpt-5", provider="mine"),
        override("gpt-5-n*", "mine gpt-5-n", provider="mine"),
        override("gpt-5-mini", "mine gpt-5-mini", provider="mine"),
        override("gpt-5", "another's", provider="other"),
    ]
    for _ in range(5):
        random.shuffle(rows)
        prices = Prices(catalogue, rows)
        asked = ["gpt-5-mini", "gpt-5", "gpt-5-nano", "gpt-4", "o3", "GPT-5-Mini"]
        assert [found(prices, model) for model in asked] == [
            "mine gpt-5-mini",
            "mine gpt-5",
            "mine gpt-5-n",
            "kind gpt",
            "all",
            "mine gpt-5-mini",
        ]
        assert found(prices, "gpt-5", source=UP._replace(provider="other")) == "another's"
        assert found(prices, "gpt-5", source=Source("third", "groq", "openai")) == "all gpt-5"


def test_the_catalogue_is_in_its_own_order_and_without_it_nothing_is_known() -> None:
    first = listing("family", price("family"), starts=("gpt-5",))
    prices = Prices([vendor("openai", first, listing("gpt-5-mini", price("never")), listing("o3", price("o3")))])
    assert [found(prices, model) for model in ("gpt-5-mini", "o3", "o4", "")] == ["family", "o3", None, None]
    assert found(prices, "o3", source=UP._replace(vendor="")) is None
    assert found(Prices(), "o3") is None


def test_a_model_listed_without_amounts_has_no_price() -> None:
    """Nor that of a pattern behind it: it is listed for not costing the same."""
    prices = Prices([vendor("openai", listing("moderation", None), listing("rest", price("rest"), contains=("mod",)))])
    assert [found(prices, "moderation"), found(prices, "mod")] == [None, "rest"]
    assert found(Prices(prices.vendors.values(), [override("moderation", "mine")]), "moderation") == "mine"


def test_who_sells_anothers_models_has_its_prices_but_not_its_tiers() -> None:
    window = Window(0, DAY, price("", tiers=("batch",)).tariffs)
    theirs = replace(price("theirs", tiers=("batch",)), windows=(window,))
    openai = vendor("openai", listing("gpt-5", theirs), listing("o3", price("their o3")))
    azure = vendor("azure", listing("o3", price("own")), fallback=("gone", "openai"))
    prices = Prices([azure, openai])
    source = Source("mine", "azure-openai", "azure")
    sold = prices.find(source, "gpt-5", NOON)
    assert sold is not None
    assert (sold.version, list(sold.tariffs), list(sold.windows[0].tariffs)) == ("theirs", [""], [""])
    assert prices.find(UP, "gpt-5", NOON) == theirs
    assert [found(prices, model, source=source) for model in ("o3", "o4")] == ["own", None]


def test_a_date_may_be_written_without_dashes() -> None:
    prices = Prices(
        [vendor("openai", listing("gpt-5-2025-08-07", price("dated")), listing("x-20261399", price("none")))]
    )
    asked = ("gpt-5-2025-08-07", "gpt-5-20250807", "gpt-5-20250807:free", "gpt-5-20250231", "x-20261399")
    assert [found(prices, model) for model in asked] == ["dated", "dated", None, None, "none"]


@pytest.mark.parametrize("pattern", ["", "a*b", "*a", "**"])
def test_a_pattern_ends_with_its_star(pattern: str) -> None:
    with pytest.raises(BadPrice):
        Prices((), [override(pattern, "v")])


def test_a_price_is_for_a_provider_or_for_a_kind() -> None:
    with pytest.raises(BadPrice):
        Prices((), [override("a", "v", provider="mine", kind="openai")])


TEXT = st.text("ab-", max_size=4)


@unhurried
@given(
    st.lists(st.tuples(st.sampled_from(MATCHES), TEXT), max_size=12),
    st.text("ab-", max_size=6),
)
def test_names_are_found_as_if_all_were_tried(tests: list[tuple[str, str]], name: str) -> None:
    def matches(test: str, text: str) -> bool:
        ways = {"equals": name == text, "starts": name.startswith(text), "ends": name.endswith(text)}
        return ways.get(test, text in name)

    rows = [listing(str(place), None, **{test: (text,)}) for place, (test, text) in enumerate(tests)]
    tried = [str(place) for place, (test, text) in enumerate(tests) if matches(test, text)]
    assert [each.model for each in Names(rows).find(name)] == tried


def test_names_that_clients_make_up_do_not_stay() -> None:
    prices = Prices((), [override("gpt-*", "v")])
    for number in range(2 * REMEMBERED + 5):
        assert found(prices, f"gpt-{number}") == "v"
    assert len(prices._remembered) <= REMEMBERED


# ---------------------------------------------------------------- time


def test_versions_hold_from_their_first_second_until_before_their_last() -> None:
    rows = [
        override("m", "two", start=2 * DAY, end=3 * DAY),
        override("m", "one", end=2 * DAY),
        override("m", "four", start=4 * DAY),
    ]
    prices = Prices([vendor("openai", listing("m", price("listed")))], rows)
    moments = (-1, 0, 2 * DAY - 0.001, 2 * DAY, 3 * DAY - 1, 3 * DAY, 4 * DAY - 1, 4 * DAY, 10**10)
    assert [found(prices, "m", at) for at in moments] == [
        *("one", "one", "one", "two", "two"),
        *("listed", "listed", "four", "four"),  # in a gap, what is behind it holds
    ]


@unhurried
@given(st.lists(st.integers(-DAY, 10 * DAY), min_size=1, max_size=30))
def test_a_clock_that_jumps_gets_what_held_then(moments: list[int]) -> None:
    """Nothing remembers what time it was: backwards and forwards, and from a clock that says 1969."""
    rows = [override("m", str(day), start=day * DAY, end=(day + 1) * DAY) for day in range(1, 6)]
    prices = Prices((), rows)
    for at in moments:
        day = at // DAY
        assert found(prices, "m", at) == (str(day) if 1 <= day < 6 else None)


OVERLAPS: list[tuple[tuple[int | None, int | None], tuple[int | None, int | None]]] = [
    ((None, None), (None, None)),
    ((None, None), (5, None)),
    ((1, None), (5, None)),
    ((1, 6), (5, None)),
    ((None, 6), (5, 9)),
    ((5, 9), (5, 9)),
    ((1, 9), (3, 4)),
    ((None, 6), (None, 3)),
]


@pytest.mark.parametrize(("one", "other"), OVERLAPS)
@pytest.mark.parametrize("turned", [False, True])
def test_versions_that_overlap_are_refused_by_name(one: Any, other: Any, turned: bool) -> None:
    rows = [override("m", "first", start=one[0], end=one[1]), override("m", "second", start=other[0], end=other[1])]
    with pytest.raises(PriceOverlap) as refused:
        Prices((), rows[::-1] if turned else rows)
    told = str(refused.value)
    assert told.startswith("m: ")
    for row in rows:
        assert f"{row.price.version} (from " in told
    for second in {*one, *other} - {None}:
        assert f"1970-01-01T00:00:0{second}+00:00" in told


@unhurried
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=6))
def test_what_is_accepted_never_overlaps(spans: list[tuple[int, int]]) -> None:
    rows = [override("m", f"v{place}", start=start, end=start + length) for place, (start, length) in enumerate(spans)]
    within = [[f"v{n}" for n, (start, length) in enumerate(spans) if start <= at < start + length] for at in range(45)]
    if any(len(each) > 1 for each in within):
        with pytest.raises(PriceOverlap):
            Prices((), rows)
    else:
        prices = Prices((), rows)
        assert [found(prices, "m", at) for at in range(45)] == [each[0] if each else None for each in within]


def test_versions_of_different_scopes_and_patterns_do_not_meet() -> None:
    rows = [
        override("m", "a"),
        override("m*", "b"),
        override("m", "c", kind="openai"),
        override("m", "d", provider="x"),
    ]
    assert found(Prices((), rows), "m") == "c"


# ---------------------------------------------------------------- whose prices


def test_the_address_tells_whose_prices_hold_and_then_the_kind() -> None:
    prices = Prices([vendor("openai"), vendor("groq")])
    told = [
        ("openai-compatible", "https://api.groq.test/v1"),
        ("openai", "https://api.groq.test/v1"),
        ("openai", "https://proxy.example/v1"),
        ("openai-compatible", "https://proxy.example/v1"),
        ("vllm", "http://127.0.0.1:8000/v1"),
    ]
    assert [prices.source("mine", *each).vendor for each in told] == ["groq", "groq", "openai", "", ""]


def test_every_kind_of_provider_has_a_seller_or_is_known_to_have_none() -> None:
    assert set(PRESETS) == set(VENDORS) | UNLISTED
    assert not set(VENDORS) & UNLISTED
