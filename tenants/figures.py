"""Money and time as people read them."""

from __future__ import annotations

from decimal import Decimal


def dollars(nano: int | None) -> str:
    """Nano-dollars as dollars, exactly."""
    if nano is None:
        return "no price"
    whole, rest = divmod(abs(nano), 1_000_000_000)
    cents = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{cents}"


def rounded(nano: int) -> str:
    """Nano-dollars as dollars to a hundredth of a cent, for sums that people read; CSV and API tell them exactly."""
    return f"${round(Decimal(nano).scaleb(-9), 4):,}"


def duration(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds / 1000:,.1f} ms" if microseconds < 1_000_000 else f"{microseconds / 1_000_000:,.2f} s"
