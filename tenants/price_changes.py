"""What an upgrade of the price catalogue changes. No Django here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenants.price_figures import readable
from tenants.price_rows import Catalogue, price_row
from tenants.price_table import Match, Version
from tenants.pricing import Price
from tenants.units import COUNTED, TOKENS

ORDER = {unit: place for place, unit in enumerate((*TOKENS, *COUNTED))}


@dataclass(frozen=True, slots=True)
class Change:
    """What an upgrade does to one version of a model's price, or to the names that the model has."""

    vendor: str
    model: str
    what: str  # added | removed | changed | names
    before: Version | None = None
    after: Version | None = None


def changed(old: Catalogue, new: Catalogue) -> list[Change]:
    """What differs, by vendor, model and the day that a version begins."""
    before, after = _versions(old), _versions(new)
    found = []
    for key in sorted(before.keys() | after.keys(), key=lambda key: (key[0], key[1], key[2] or 0)):
        one, other = before.get(key), after.get(key)
        if one != other:
            what = "changed" if one and other else "added" if other else "removed"
            found.append(Change(key[0], key[1], what, one, other))
    matches, now = _matches(old), _matches(new)
    found += [Change(*key, "names") for key in sorted(matches.keys() & now.keys()) if matches[key] != now[key]]
    return found


def _versions(catalogue: Catalogue) -> dict[tuple[str, str, int | None], Version]:
    return {
        (vendor.name, listing.model, version.effective_from): version
        for vendor in catalogue.vendors
        for listing in vendor.listings
        for version in listing.versions
    }


def _matches(catalogue: Catalogue) -> dict[tuple[str, str], Match]:
    return {(vendor.name, each.model): each.match for vendor in catalogue.vendors for each in vendor.listings}


def lines(change: Change) -> list[str]:
    """A change as people read it: one line, and one for each rate that is another one."""
    version = change.after or change.before
    day = "" if version is None or version.effective_from is None else f" from {_day(version.effective_from)}"
    return [
        f"{change.vendor}/{change.model}{day}: {change.what}",
        *(f"  {line}" for line in differences(change.before, change.after)),
    ]


def differences(before: Version | None, after: Version | None) -> list[str]:
    """Where two versions differ."""
    one, other = _told(before), _told(after)
    return [
        f"{name}: {one.get(name, 'nothing')} -> {other.get(name, 'nothing')}"
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    ]


def _told(version: Version | None) -> dict[str, str]:
    """All that a version says, by names."""
    if version is None:
        return {}
    found = {"until": "for good" if version.effective_until is None else _day(version.effective_until)}
    return found if version.price is None else found | facts(version.price)


def facts(price: Price) -> dict[str, str]:
    """What a price says of money, for people, by names."""
    row = price_row(price)
    return dict(
        _facts({name: value for name, value in row.items() if name not in ("version", "from", "until", "source")})
    )


def _facts(row: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in row.items():
        if key == "rates":
            yield from _rates(value, name)
        elif key == "long":
            for start, told in value:
                yield from _rates(told, f"{name}above {start:,} ")
        elif key == "tiers":
            for tier, told in value.items():
                yield from _facts(told, f"{name}{tier} ")
        elif key == "windows":
            for window in value:
                times = f"{_clock(window['start'])} to {_clock(window['end'])} "
                yield from _facts({part: window[part] for part in window.keys() - {"start", "end"}}, f"{name}{times}")
        else:
            yield name + key.replace("_", " "), f"{value:,}" if type(value) is int else str(value)


def _rates(told: Mapping[str, int], name: str) -> Iterator[tuple[str, str]]:
    # PostgreSQL keeps no order of names.
    for unit, rate in sorted(told.items(), key=lambda each: ORDER.get(each[0], len(ORDER))):
        yield name + unit, readable(unit, rate)


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}"


def _day(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}"
