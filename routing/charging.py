"""What a request has cost: the price of the target that answered it, by what its reply told. No Django here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from providers.billed import NOTHING, Billed
from tenants.ledger import Entry
from tenants.pricing import MILLION, Price, cost, rounded
from tenants.units import BadUnits, Units, consistent


def units_of(entry: Entry, billed: Billed) -> Units:
    return Units(
        entry.input_tokens,
        entry.output_tokens,
        entry.cache_read_tokens,
        entry.cache_write_tokens,
        reasoning_tokens=entry.reasoning_tokens,
        counted=billed.counted,
        **billed.tokens,
    )


def charge(entry: Entry, price: Price | None, billed: Billed) -> None:
    """Fill in what the request cost, by which price; None where there is no price or the counts cannot be meant."""
    if billed is not NOTHING:
        entry.service_tier = billed.tier[:30]
        entry.billed = _told(billed)
    if price is None:
        entry.cost = None
        return
    entry.price_version = price.version[:100]
    try:
        flat = None if billed.tokens or billed.counted else _flat_cost(entry, price)
        entry.cost = cost(price, units_of(entry, billed), entry.created_at, billed.tier) if flat is None else flat
    except BadUnits:
        entry.cost = None


def _flat_cost(entry: Entry, price: Price) -> int | None:
    """The cost where the same rates always hold and nothing but tokens was used, as nearly always; None elsewhere, and for
    counts that ``cost`` must look at."""
    rates = price.flat
    if rates is None:
        return None
    given, made, thought = entry.input_tokens, entry.output_tokens, entry.reasoning_tokens
    read, written = entry.cache_read_tokens, entry.cache_write_tokens
    if not consistent(given, made, read, written, thought):
        return None
    total = given * rates[0] + made * rates[1]
    if read or written or thought:
        total += read * rates[2] + written * rates[3] + thought * rates[4]
    return rounded(total // MILLION, total % MILLION, MILLION)


def _told(billed: Billed) -> str:
    """The units that have no column, as JSON."""
    told: Mapping[str, Any] = {**billed.tokens, **billed.counted}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode() if told else ""
