"""An operator's own price, from its row to what requests read. No Django here: a row is anything with its fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from tenants.price_table import Listing, Match, Override, Version
from tenants.pricing import BadPrice, Price, Rates, Tariff

SOURCE = "own"


def version(number: Any) -> str:
    """What charges call the row ``number``."""
    return "this price" if number is None else f"{SOURCE}-{number}"


def price_of(row: Any) -> Price:
    """Raises BadPrice."""
    try:
        tariffs = {"": _tariff({"rates": row.rates, "long": row.long, "beyond": row.beyond})}
        tariffs |= {tier: _tariff(each) for tier, each in row.tiers.items()}
        start, end = _second(row.effective_from), _second(row.effective_until)
        return Price(version(row.id), tariffs, start, end, SOURCE, context_window=row.context_window or 0)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise error if isinstance(error, BadPrice) else BadPrice(f"{version(row.id)}: {error!r}") from error


def override_of(row: Any) -> Override:
    """Raises BadPrice."""
    if (row.provider and row.kind) or not row.model or "*" in row.model[:-1]:
        raise BadPrice(f"{row.model!r}: * may stand only at the end, and one scope may be named.")
    return Override(row.provider, row.kind, row.model, price_of(row))


def together(rows: Iterable[Any]) -> Iterator[tuple[Any, Override | BadPrice]]:
    """Each of ``rows``, the oldest first, with its price, or with why it has none: what overlaps an older one is none."""
    kept: dict[tuple[str, str, str], list[Price]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        try:
            found = override_of(row)
            beside = kept.setdefault((found.provider, found.kind, found.pattern.lower()), [])
            verify([*beside, found.price], row.model)
        except BadPrice as error:
            yield row, error
        else:
            beside.append(found.price)
            yield row, found


def verify(prices: Iterable[Price], model: str) -> None:
    """Raises PriceOverlap, naming two that are in force at one time."""
    Listing(model, Match(), tuple(Version(each.effective_from, each.effective_until, each) for each in prices))


def _tariff(row: Any) -> Tariff:
    long = tuple((start, Rates(dict(told))) for start, told in row.get("long", ()))
    return Tariff(Rates(dict(row["rates"])), long, row.get("beyond", False))


def _second(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
