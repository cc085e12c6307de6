"""The compiled catalogue against ``genai-prices`` itself: every name, every price, at every moment, in every context."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from genai_prices import data, data_snapshot, units
from genai_prices import types as catalogue
from hypothesis import given
from hypothesis import strategies as st

from providers.presets import PRESETS
from tenants import price_rows
from tenants.price_catalogue import NO_AMOUNT, ROUNDED, TOGETHER, UNITS, compile_catalogue
from tenants.price_rows import Catalogue
from tenants.price_table import VENDORS, Listing, Prices, Source
from tenants.pricing import Price, cost
from tenants.units import NAMES, Units
from tenants.worst_case import worst_case
from tests.price_strategies import unhurried, units_of

WHOLE_DAY = timedelta(1)


@cache
def compiled() -> Catalogue:
    return compile_catalogue()


@cache
def prices() -> Prices:
    return Prices(compiled().vendors)


class Sold(NamedTuple):
    provider: catalogue.Provider
    model: catalogue.ModelInfo
    listing: Listing


@cache
def sold() -> tuple[Sold, ...]:
    pairs = zip(data.providers, compiled().vendors, strict=True)
    return tuple(
        Sold(provider, model, listing)
        for provider, vendor in pairs
        for model, listing in zip(provider.models, vendor.listings, strict=True)
    )


def stored(model: catalogue.ModelInfo) -> Iterator[tuple[str, Decimal]]:
    """Every amount that the package has of a model."""
    every = [each.prices for each in model.prices] if isinstance(model.prices, list) else [model.prices]
    for each in [*every, *(variant.prices for variant in model.price_variants or ())]:
        for key, value in vars(each).items():
            if value is not None:
                tiers = value.tiers if isinstance(value, catalogue.TieredPrices) else []
                yield from (
                    (key, amount) for amount in (getattr(value, "base", value), *(tier.price for tier in tiers))
                )


# ---------------------------------------------------------------- nothing is lost


def test_every_model_and_every_amount_is_kept() -> None:
    """Amounts with more digits than a nano-dollar for a million units are noise of whoever read them off a page."""
    amounts = [(each, key, amount) for each in sold() for key, amount in stored(each.model)]
    assert {key for _, key, _ in amounts} <= set(UNITS)
    scaled = [Fraction(amount) * UNITS[key][1] for _, key, amount in amounts]
    lost = [value for value in scaled if value.denominator != 1]
    by_token = {
        (each.provider.id, each.model.id)
        for each, key, amount in amounts
        if key.endswith("_mtok") and (Fraction(amount) * 1000).denominator != 1
    }
    misses = price_rows.totals(compiled().unexpressed)
    versions = [version for each in sold() for version in each.listing.versions]
    print(
        f"\n{compiled().source}: {len(data.providers)} vendors, {len(sold())} models, {len(versions)} versions of prices"
    )
    print(f"{len(amounts)} amounts; {len(by_token)} models have one that is no whole number of nano-dollars a token,")
    print(f"{len(lost)} amounts are none for a million units: rounded, by at most half of one ({ROUNDED})")
    for reason, count in misses.items():
        print(f"  {count:>4}  {reason}")
    assert len(by_token) > 100
    assert all(abs(value - round(value)) <= Fraction(1, 2) and value > 10**7 for value in lost)
    assert len(lost) < 50
    assert 0 < misses[ROUNDED] <= len(lost)
    assert set(misses) == {ROUNDED, NO_AMOUNT, TOGETHER}


def test_what_has_no_price_is_told() -> None:
    told = {(each.vendor, each.model) for each in compiled().unexpressed if each.reason == NO_AMOUNT}
    silent = {
        (each.provider.id, each.model.id)
        for each in sold()
        if any(version.price is None for version in each.listing.versions)
    }
    empty = {(each.provider.id, each.model.id) for each in sold() if not list(stored(each.model))}
    assert told == silent == {each for each in empty if not each[1].endswith(":free")}
    free = [each for each in sold() if each.model.id.endswith(":free") and not list(stored(each.model))]
    print(f"\n{len(free)} models are named free, {len(silent)} have no amount and no price")
    assert free
    assert all(cost(_only(each), Units(10**6, 10**6), 0) == 0 for each in free)


def _only(each: Sold) -> Price:
    price = each.listing.versions[0].price
    assert price is not None
    return price


def test_versions_are_named_by_what_they_say() -> None:
    named = [version.price for each in sold() for version in each.listing.versions if version.price]
    assert len({price.version for price in named}) == len(named)
    assert all(re.fullmatch(r"\S+/.+#[0-9a-f]{8}", price.version) for price in named)


# ---------------------------------------------------------------- names


def names(each: Sold) -> list[str]:
    """Names that its patterns are about, and some that they are just not about."""
    match = each.listing.match
    texts = [*match.equals, *match.starts, *match.ends, *match.contains, each.model.id]
    texts += [re.sub(r"\\d\{(\d)\}", lambda found: "2" * int(found[1]), text).strip("^$") for text in match.regex]
    return [form.format(text) for text in texts for form in ("{}", "{}-2026-01-31", "{}-20260131", "{}x", "X/{}")]


def test_every_name_finds_the_model_that_the_package_finds() -> None:
    snapshot, counts = data_snapshot.get_snapshot(), Counter[str]()
    for each in sold():
        for name in names(each):
            model = each.provider.find_model(name, all_providers=snapshot.providers)
            ours = prices().find(Source("", "", each.provider.id), name, 0.0)
            listed = prices()._look_up(Source("", "", each.provider.id), name.lower())
            assert [listing.model for listing in listed] == ([model.id] if model else []), (each.provider.id, name)
            assert ours is None or ours.version.split("#")[0].endswith(model.id if model else "?"), name
            counts["found" if model else "unknown"] += 1
    print(f"\n{dict(counts)}")
    assert counts["found"] > len(sold())
    assert counts["unknown"] > 1000


def test_presets_find_their_prices_by_address_and_by_kind() -> None:
    snapshot = data_snapshot.get_snapshot()
    for kind, preset in PRESETS.items():
        ours = prices().source("up", kind, preset.base_url).vendor
        assert ours == VENDORS.get(kind, "")
        try:
            theirs = snapshot.find_provider(None, None, preset.base_url).id
        except LookupError:
            continue
        assert ours == theirs
    assert set(VENDORS.values()) <= {provider.id for provider in data.providers}


# ---------------------------------------------------------------- charges


def moments(model: catalogue.ModelInfo) -> list[datetime]:
    """The seconds around every change of a price, and one long before."""
    every = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    days, found = [date(2024, 2, 29)], []
    for each in every:
        if isinstance(each.constraint, catalogue.StartDateConstraint):
            days += [each.constraint.start_date, each.constraint.start_date - WHOLE_DAY]
    for day in days:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        seconds = {0, 86_399}
        for each in every:
            if isinstance(each.constraint, catalogue.TimeOfDateConstraint):
                for clock in (each.constraint.start_time, each.constraint.end_time):
                    seconds |= {clock.hour * 3600 + clock.minute * 60 + more for more in (-1, 0)}
        found += [start + timedelta(seconds=second) for second in sorted(seconds)]
    return found


def leaves(price: Price, rng: random.Random) -> dict[str, int]:
    """Counts of what ``price`` prices, around the lengths at which it changes."""
    every = price.possible(None)
    told = sorted({name for tariff in every for name in tariff.rates.told})
    found = {name: rng.choice([0, 1, rng.randrange(10**5)]) for name in told if name not in ("requests", "audio_ms")}
    if "audio_ms" in told:
        found["audio_ms"] = 1000 * rng.choice([0, 1, rng.randrange(10**4)])
    starts = [start for tariff in every for start, _ in tariff.long]
    given_ = units_of({name: count for name, count in found.items() if name in NAMES}).input_tokens
    if starts and (missing := rng.choice(starts) + rng.choice([0, 1]) - given_) > 0:
        found["input_tokens"] = found.get("input_tokens", 0) + missing
    return found


def usage_of(used: Units) -> catalogue.Usage:
    """Zeros too: the package wants what may be within two parts told."""
    registry, found = units._get_registry(), dict[str, int]()
    for key, (name, _) in UNITS.items():
        if name != "requests":
            count = used.count(name) // (1000 if name == "audio_ms" else 1)
            found[registry.unit_for_price_key(key).usage_key] = count
    del found["output_audio_seconds"]  # sound is heard or spoken
    return catalogue.Usage(**found)


def contexts(model: catalogue.ModelInfo) -> dict[str, dict[str, str]]:
    """Every context that the package has variants for, by our name for it, and one of a tier that nobody has."""
    found = {"": {}, "scale": {"service_tier": "scale"}}
    for variant in model.price_variants or ():
        ((key, value),) = variant.when.items()
        found[value if key in ("service_tier", "processing", "speed") else f"{key}={value}"] = variant.when
    return found


def test_every_price_charges_what_the_package_charges() -> None:
    """At each second around a change, in each context, for random use around each length."""
    rng, counts = random.Random(1), Counter[str]()
    rounded = {(each.vendor, each.model) for each in compiled().unexpressed if each.reason == ROUNDED}
    for each in sold():
        for at in moments(each.model):
            version = each.listing.at(at.timestamp())
            assert version is not None
            if version.price is None:
                counts["without a price"] += 1
                continue
            for tier, context in contexts(each.model).items():
                used = units_of(leaves(version.price, rng))
                with localcontext(prec=200):
                    found = each.model.calc_price(
                        usage_of(used), each.provider, genai_request_timestamp=at, price_context=context
                    )
                difference = abs(
                    cost(version.price, used, at.timestamp(), tier) - round(Fraction(found.total_price) * 10**9)
                )
                assert difference <= ((each.provider.id, each.model.id) in rounded), (
                    each.provider.id,
                    each.model.id,
                    at,
                    tier,
                )
                counts["equal"] += not difference
                counts["of another tier"] += bool(tier)
                counts["for nothing"] += not found.total_price
                counts["off by one nano-dollar, by a rounded amount"] += difference
    print(f"\n{dict(counts)}")
    assert counts["equal"] > 5000
    assert counts["of another tier"] > 1000
    assert counts["for nothing"] < counts["equal"] / 5


@unhurried
@given(st.data())
def test_no_charge_of_the_catalogue_is_above_its_worst_case(draw: st.DataObject) -> None:
    every = [version.price for each in sold() for version in each.listing.versions if version.price]
    price, rng = draw.draw(st.sampled_from(every)), random.Random(draw.draw(st.integers()))
    used = units_of(leaves(price, rng))
    at, tier = draw.draw(st.integers(0, 2**31)), draw.draw(st.sampled_from(sorted(price.tariffs)))
    assert cost(price, used, at, tier) <= worst_case(price, used, {tier}) <= worst_case(price, used)


def test_longer_input_is_never_cheaper() -> None:
    """So a request that is shorter than was thought never costs more."""
    for each in sold():
        for version in each.listing.versions:
            for tariff in version.price.possible(None) if version.price else ():
                rates = [tariff.rates, *(rates for _, rates in tariff.long)]
                for name in NAMES:
                    assert [one.rate(name) for one in rates] == sorted(one.rate(name) for one in rates), version
