"""The most that a request can cost within bounds: what a hard budget reserves. No Django here: requests use it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from tenants.pricing import HOUR_MS, MILLION, Price, Rates, counted_apart, rounded
from tenants.units import INPUT, OUTPUT, Units, checked

REMEMBERED: Final = 64


class Ceiling(NamedTuple):
    """What applies above so many input tokens: the dearest that a million tokens of input and of output can cost, and rates
    of what is counted."""

    above: int
    input: int
    output: int
    rates: Rates


def ceilings(price: Price, tiers: Collection[str] | None, without: Collection[str]) -> tuple[Ceiling, ...]:
    """Of all that may hold at any time of day, in one of ``tiers`` or the standard one, without parts that a request
    cannot have."""
    key = (tuple(tiers) if tiers is not None else None, frozenset(without))
    found: tuple[Ceiling, ...] | None = price.remembered.get(key)
    if found is None:
        if len(price.remembered) >= REMEMBERED:  # tiers that clients make up
            price.remembered.clear()
        found = price.remembered[key] = tuple(_ceilings(price, tiers, without))
    return found


def _ceilings(price: Price, tiers: Collection[str] | None, without: Collection[str]) -> Iterator[Ceiling]:
    for tariff in price.possible(tiers):
        for start, rates in ((0, tariff.rates), *tariff.long):
            others = tariff.rates if tariff.beyond else rates
            yield Ceiling(start, rates.dearest(INPUT, without), others.dearest(OUTPUT, without), others)


def worst_case(price: Price, bounds: Units, tiers: Collection[str] | None = None, without: Collection[str] = ()) -> int:
    """The most nano-dollars for a request within ``bounds``: all its input and output are what is dearest, its input as
    long as may be, at any time of day, in any of ``tiers`` or the standard one (None: in any at all). ``without`` names
    parts that it cannot have, such as ``cache_write_1h_tokens`` where nothing asks for them. Raises BadUnits.
    """
    checked(bounds)
    given, made, plain, apart = bounds.input_tokens, bounds.output_tokens, 0, 0
    for above, dear_input, dear_output, rates in ceilings(price, tiers, without):
        if above and given <= above:
            continue
        total = given * dear_input + made * dear_output
        if rates.counted:
            more, sound = counted_apart(price, rates, bounds)
            if pages := bounds.count("pages"):
                more += pages * max(0, rates.rate("annotated_pages") - rates.rate("pages"))
            apart = max(apart, (total + more) * HOUR_MS + sound)
        elif total > plain:
            plain = total
    return rounded(max(-(-plain // MILLION), -(-apart // (MILLION * HOUR_MS))), 0, 1)


def lines(
    price: Price, made: int, tiers: Collection[str] | None, without: Collection[str]
) -> tuple[tuple[int, int, int], ...] | None:
    """The worst case of ``made`` tokens of output for any input: above so many of its tokens, nano-dollars for a million
    requests are so many for each, and so many beside. None where more than tokens has a price."""
    found = ceilings(price, tiers, without)
    if any(each.rates.counted for each in found):
        return None
    return tuple((each.above, each.input, made * each.output) for each in found)


def highest(found: tuple[tuple[int, int, int], ...], given: int) -> int:
    """The most nano-dollars by these ``lines`` for so many tokens of input, however many that are."""
    most = 0
    for above, each, beside in found:
        if given > above or not above:
            most = max(most, given * each + beside)
    return -(-most // MILLION)
