"""Rates as people write them: dollars for a million tokens, an hour of sound, a picture. No Django here.

Exact both ways: a rate is whole nano-dollars for a million units, and an amount with more digits is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from tenants.pricing import MOST_RATE
from tenants.units import COUNTED, NAMES

NANO = 10**9
MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Per:
    """What amounts of a unit are for. ``nano``: how many nano-dollars for a million units one dollar is."""

    text: str
    nano: int


TOKENS = Per("1M tokens", NANO)
#: What is no token has amounts for one of it; sound for an hour.
PER = {
    "requests": Per("request", NANO * MILLION),
    "images": Per("image", NANO * MILLION),
    "characters": Per("1M characters", NANO),
    "messages": Per("1,000 messages", NANO * 1000),
    "pages": Per("1,000 pages", NANO * 1000),
    "annotated_pages": Per("1,000 pages", NANO * 1000),
    "web_searches": Per("1,000 searches", NANO * 1000),
    "social_searches": Per("1,000 searches", NANO * 1000),
    "storage_searches": Per("1,000 searches", NANO * 1000),
    "rerank_searches": Per("1,000 searches", NANO * 1000),
    "code_executions": Per("1,000 runs", NANO * 1000),
    "audio_ms": Per("hour", NANO * MILLION),
}
assert set(PER) == set(COUNTED)


class BadAmount(ValueError):
    """An amount of dollars that is no rate."""


def per(unit: str) -> Per:
    return PER.get(unit, TOKENS)


def rate(unit: str, amount: Decimal | str | int) -> int:
    """Nano-dollars for a million of ``unit`` of an amount in dollars. Raises BadAmount."""
    if unit not in NAMES:
        raise BadAmount(f"{unit!r}: there is no such unit.")
    try:
        exact = Decimal(amount) if not isinstance(amount, float | bool) else Decimal("NaN")
    except (InvalidOperation, TypeError, ValueError):
        exact = Decimal("NaN")
    if not exact.is_finite():
        raise BadAmount(f'{unit}: {amount!r} is no amount of dollars. Write it as text, such as "2.50".')
    if exact < 0:
        raise BadAmount(f"{unit}: a price is not below zero.")
    if exact > MOST_RATE:
        raise BadAmount(f"{unit}: nothing costs that much.")
    digits = len(str(per(unit).nano)) - 1
    small = exact and exact.adjusted() < -digits  # and its fraction is not to be worked out
    whole = Fraction(0 if small else exact) * per(unit).nano
    if small or whole.denominator != 1:
        raise BadAmount(f"{unit}: more than {digits} decimals cannot be charged.")
    if whole > MOST_RATE:
        raise BadAmount(f"{unit}: nothing costs that much.")
    return int(whole)


def amount(unit: str, value: int) -> Decimal:
    """The same in dollars, exactly, without needless zeros."""
    exact = Decimal(value).scaleb(-(len(str(per(unit).nano)) - 1)).normalize()
    return exact if int(exact.as_tuple().exponent) <= 0 else exact.quantize(Decimal(1))


def readable(unit: str, value: int) -> str:
    return f"${amount(unit, value):,f} / {per(unit).text}"


def rates(amounts: Mapping[str, Decimal | str | int]) -> dict[str, int]:
    """Rates by unit of amounts by unit. Raises BadAmount."""
    return {unit: rate(unit, each) for unit, each in amounts.items()}


def amounts(rates: Mapping[str, int]) -> dict[str, str]:
    """The other way, as texts."""
    return {unit: f"{amount(unit, each):f}" for unit, each in rates.items()}
