"""Prices as JSON: what the catalogue is compiled to, and what workers load. No Django here.

The text is the same for the same prices, whatever order they were found in, so that a diff shows what changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenants.price_table import MATCHES, Listing, Match, Vendor, Version
from tenants.pricing import BadPrice, Price, Rates, Tariff, Window

Row = dict[str, Any]
FORMAT = 1


@dataclass(frozen=True, slots=True, order=True)
class Unexpressed:
    """Something of the catalogue that a price here cannot say, and what is done instead."""

    vendor: str
    model: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    source: str
    vendors: tuple[Vendor, ...]
    unexpressed: tuple[Unexpressed, ...] = ()


# ---------------------------------------------------------------- writing


def write(catalogue: Catalogue) -> str:
    document = {
        "format": FORMAT,
        "source": catalogue.source,
        "vendors": [_vendor_row(vendor) for vendor in catalogue.vendors],
        "unexpressed": [[each.vendor, each.model, each.reason, each.detail] for each in sorted(catalogue.unexpressed)],
    }
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _vendor_row(vendor: Vendor) -> Row:
    """Models stay in their order: the first that matches is the one."""
    models = [
        {
            "model": listing.model,
            "match": {test: list(texts) for test in MATCHES if (texts := getattr(listing.match, test))},
            "versions": [_version_row(version) for version in listing.versions],
        }
        for listing in vendor.listings
    ]
    return {"name": vendor.name, "url": vendor.url, "fallback": list(vendor.fallback), "models": models}


def _version_row(version: Version) -> Row:
    if version.price is not None:
        return price_row(version.price)
    return _without_empty({"from": _day(version.effective_from), "until": _day(version.effective_until)})


def price_row(price: Price) -> Row:
    windows = [{"start": each.start, "end": each.end, **_tariffs_row(each.tariffs)} for each in price.windows]
    row = {
        "version": price.version,
        "from": _day(price.effective_from),
        "until": _day(price.effective_until),
        "source": price.source,
        **_tariffs_row(price.tariffs),
        "windows": windows,
        "zone": "" if price.zone == "UTC" else price.zone,
        "least_audio_ms": price.least_audio_ms,
        "context_window": price.context_window,
    }
    return _without_empty(row)


def _tariffs_row(tariffs: Mapping[str, Tariff]) -> Row:
    tiers = {tier: _tariff_row(tariff) for tier, tariff in tariffs.items() if tier}
    return _without_empty({**_tariff_row(tariffs[""]), "tiers": tiers})


def _tariff_row(tariff: Tariff) -> Row:
    long = [[start, dict(rates.told)] for start, rates in tariff.long]
    return _without_empty({"rates": dict(tariff.rates.told), "long": long, "beyond": tariff.beyond})


def _without_empty(row: Row) -> Row:
    return {name: value for name, value in row.items() if name == "rates" or value not in (None, "", 0, [], {})}


def _day(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- reading


def read(text: str | bytes, only: Collection[str] | None = None) -> Catalogue:
    """What ``write`` wrote, or of it the vendors ``only`` and those that they fall back to: a worker needs no others'
    prices. Raises BadPrice for anything else."""
    try:
        document = _document(text)
        rows = document["vendors"]
        if only is not None:
            wanted = {*only, *(name for row in rows if row["name"] in only for name in row["fallback"])}
            rows = [row for row in rows if row["name"] in wanted]
        vendors = tuple(map(_vendor, rows))
        unexpressed = tuple(Unexpressed(*each) for each in document["unexpressed"])
        return Catalogue(document["source"], vendors, unexpressed)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise error if isinstance(error, BadPrice) else BadPrice(f"These are no prices: {error!r}") from error


def sellers(text: str | bytes) -> tuple[Vendor, ...]:
    """All vendors of what ``write`` wrote, without their models. Raises BadPrice."""
    try:
        return tuple(Vendor(row["name"], row["url"], ()) for row in _document(text)["vendors"])
    except (KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, BadPrice) else BadPrice(f"These are no prices: {error!r}") from error


def _document(text: str | bytes) -> Row:
    document: Row = json.loads(text)
    if document["format"] != FORMAT:
        raise BadPrice(f"These prices are of format {document['format']}; this version reads {FORMAT}.")
    return document


def _vendor(row: Row) -> Vendor:
    return Vendor(row["name"], row["url"], tuple(map(_listing, row["models"])), tuple(row["fallback"]))


def _listing(row: Row) -> Listing:
    match = Match(**{test: tuple(texts) for test, texts in row["match"].items()})
    return Listing(row["model"], match, tuple(map(_version, row["versions"])))


def _version(row: Row) -> Version:
    if "version" in row:
        price = read_price(row)
        return Version(price.effective_from, price.effective_until, price)
    return Version(_second(row.get("from")), _second(row.get("until")), None)


def read_price(row: Row) -> Price:
    """Raises BadPrice."""
    return Price(
        row["version"],
        _tariffs(row),
        _second(row.get("from")),
        _second(row.get("until")),
        row.get("source", ""),
        tuple(Window(each["start"], each["end"], _tariffs(each)) for each in row.get("windows", ())),
        row.get("zone", "UTC"),
        row.get("least_audio_ms", 0),
        row.get("context_window", 0),
    )


def _tariffs(row: Row) -> Mapping[str, Tariff]:
    return {"": _tariff(row)} | {tier: _tariff(each) for tier, each in row.get("tiers", {}).items()}


def _tariff(row: Row) -> Tariff:
    long = tuple((start, Rates(told)) for start, told in row.get("long", ()))
    return Tariff(Rates(row["rates"]), long, row.get("beyond", False))


def _second(day: str | None) -> int | None:
    if day is None:
        return None
    try:
        return int(datetime.strptime(day, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise BadPrice(f"{day!r} is no time.") from error


def totals(unexpressed: Iterable[Unexpressed]) -> dict[str, int]:
    """How often each reason stands."""
    found: dict[str, int] = {}
    for each in unexpressed:
        found[each.reason] = found.get(each.reason, 0) + 1
    return dict(sorted(found.items()))
