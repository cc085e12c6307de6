"""What a plain request may cost at one target: worked out once for all that ask alike, but for the length of their texts."""

from __future__ import annotations

from typing import Final

from routing.bounds import HIDDEN_TOKENS, MORE_HIDDEN_TOKENS, Bounds, given
from routing.table import Target
from tenants.leases import MOST
from tenants.pricing import MOST_COST, Price
from tenants.units import MOST_UNITS
from tenants.worst_case import highest, lines

MOST_REMEMBERED: Final = 5_000
"""Of a table: caps are what clients ask for, and models too behind a pattern. Each takes about a kilobyte."""


class Quote:
    """``target`` and ``price`` are what it goes by, ``made`` the tokens of output, ``unbounded`` as in
    ``Bounds``; ``whole`` says whether tokens are all that there is to count."""

    __slots__ = ("_extra", "_lines", "_window", "made", "price", "target", "unbounded", "whole")

    def __init__(self, target: Target, price: Price | None, found: Bounds, api: str, window: int) -> None:
        self.target, self.price = target, price
        self.made = found.units.output_tokens
        self.unbounded = found.unbounded
        self._extra, self._window = HIDDEN_TOKENS.get(api, MORE_HIDDEN_TOKENS), window
        told = lines(price, self.made, found.tiers, found.without) if price is not None else ()
        self._lines, self.whole = told or (), told is not None

    def given(self, text: int) -> int:
        """The tokens of input, of a body of so many bytes."""
        return min(given(text, self._extra, self._window), MOST_UNITS)

    def cost(self, tokens: int) -> int:
        """The most nano-dollars, of so many tokens of input."""
        cost = highest(self._lines, tokens)
        return cost if cost <= MOST_COST else MOST
