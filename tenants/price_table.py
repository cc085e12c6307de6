"""All prices, and which one holds for an upstream's model at a time. No Django here: requests use it.

What an operator sets goes before the catalogue: for one provider, then for a kind of provider, then for all; the exact
name before the longest pattern. The catalogue's own models are tried in its order.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, NamedTuple

from tenants.pricing import BadPrice, Price, PriceOverlap

#: Provider kind -> whose prices it has, where its address does not tell. Kinds that anybody may serve, and those that run
#: on hardware of one's own, have none.
VENDORS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "azure-openai": "azure",
    "bedrock": "aws",
    "bedrock-anthropic": "aws",
    "vertex": "google",
    "vertex-anthropic": "google",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together": "together",
    "fireworks": "fireworks",
    "xai": "x-ai",
    "cerebras": "cerebras",
    "perplexity": "perplexity",
    "voyage": "voyageai",
    "cohere": "cohere",
    "cohere-compatible": "cohere",
}
REMEMBERED: Final = 10_000
_COMPACT_DATE: Final = re.compile(r"(?<=-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class Match:
    """Names of models, in lower case: any of these. ``regex`` is searched for in the name."""

    equals: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()


MATCHES: Final = tuple(each.name for each in fields(Match))


class Version(NamedTuple):
    """``price`` is None where a model is listed, but nothing is told about its price."""

    effective_from: int | None
    effective_until: int | None
    price: Price | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A model and the versions of its price, oldest first. Raises PriceOverlap."""

    model: str
    match: Match
    versions: tuple[Version, ...]
    starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.versions, key=lambda version: version.effective_from or 0)
        for one, other in pairwise(ordered):
            if one.effective_until is None or one.effective_until > (other.effective_from or 0):
                raise PriceOverlap(f"{self.model}: {_told(one)} and {_told(other)} overlap.")
        object.__setattr__(self, "versions", tuple(ordered))
        object.__setattr__(self, "starts", tuple(version.effective_from or 0 for version in ordered))

    def at(self, second: float) -> Version | None:
        """The version in force; always a function of ``second`` alone, so a clock that jumps back gets the older one."""
        place = bisect_right(self.starts, second) - 1
        if place < 0:  # before 1970, or before the first version
            return self.versions[0] if self.versions and self.versions[0].effective_from is None else None
        found = self.versions[place]
        return found if found.effective_until is None or second < found.effective_until else None


def _told(version: Version) -> str:
    day = [
        "always" if second is None else datetime.fromtimestamp(second, UTC).isoformat()
        for second in (version.effective_from, version.effective_until)
    ]
    return f"{version.price.version if version.price else 'no price'} (from {day[0]} until {day[1]})"


class Names:
    """Listings by name: a look-up, one for each length of prefix there is, then the few that are neither."""

    __slots__ = ("exact", "lengths", "listings", "others", "prefixes")

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.listings = tuple(listings)
        self.exact: dict[str, list[int]] = defaultdict(list)
        self.prefixes: dict[str, list[int]] = defaultdict(list)
        self.others: list[tuple[int, Match]] = []
        for rank, listing in enumerate(self.listings):
            match = listing.match
            for name in match.equals:
                self.exact[name].append(rank)
            for name in match.starts:
                self.prefixes[name].append(rank)
            if match.ends or match.contains or match.regex:
                self.others.append((rank, match))
        self.lengths = sorted({len(prefix) for prefix in self.prefixes})

    def find(self, name: str) -> list[Listing]:
        """All that match ``name``, in their order."""
        ranks = set(self.exact.get(name, ()))
        for length in self.lengths:
            ranks.update(self.prefixes.get(name[:length], ()))
        for rank, match in self.others:
            if (
                any(part in name for part in match.contains)
                or (match.ends and name.endswith(match.ends))
                or any(re.search(pattern, name) for pattern in match.regex)
            ):
                ranks.add(rank)
        return [self.listings[rank] for rank in sorted(ranks)]


@dataclass(frozen=True, slots=True)
class Vendor:
    """One seller of the catalogue: ``url`` matches its addresses; ``fallback`` names those whose models it sells too."""

    name: str
    url: str
    listings: tuple[Listing, ...]
    fallback: tuple[str, ...] = ()


class Override(NamedTuple):
    """A price of the operator's own. ``pattern`` is a name, or ends with ``*``. At most one of ``provider`` (a name) and
    ``kind`` is set; neither: for every provider."""

    provider: str
    kind: str
    pattern: str
    price: Price


class Source(NamedTuple):
    """Where a request is sent, for its price: made once for an upstream by ``Prices.source``."""

    provider: str
    kind: str
    vendor: str


class Lasting(NamedTuple):
    """A price, None where nothing is told, and the seconds from which and until which it is that."""

    since: float
    until: float
    price: Price | None


def vendor_of(vendors: Iterable[Vendor], kind: str, base_url: str) -> str:
    """The name of the seller at ``base_url``: the address tells, or else the kind of provider."""
    return next((vendor.name for vendor in vendors if re.match(vendor.url, base_url)), VENDORS.get(kind, ""))


class Prices:
    """Never changes: a new one replaces it. Raises PriceOverlap, BadPrice."""

    def __init__(self, vendors: Iterable[Vendor] = (), overrides: Iterable[Override] = ()) -> None:
        self.vendors = {vendor.name: vendor for vendor in vendors}
        self._names = {name: Names(vendor.listings) for name, vendor in self.vendors.items()}
        self._overrides = _scopes(overrides)
        self._remembered: dict[tuple[Source, str], tuple[Listing, ...]] = {}

    def source(self, provider: str, kind: str, base_url: str) -> Source:
        """By whose prices ``provider`` is charged: the address tells, or else its kind."""
        return Source(provider, kind, vendor_of(self.vendors.values(), kind, base_url))

    def find(self, source: Source, model: str, at: float) -> Price | None:
        """The price of an upstream's ``model`` at the second ``at``; None where nothing is told: that is not free."""
        return self.lasting(source, model, at).price

    def lasting(self, source: Source, model: str, at: float) -> Lasting:
        """The same, and for which seconds it is."""
        listings = self._listings(source, model)
        edges = {edge for listing in listings for each in listing.versions for edge in each[:2] if edge is not None}
        since = max((edge for edge in edges if edge <= at), default=-math.inf)
        until = min((edge for edge in edges if edge > at), default=math.inf)
        for listing in listings:
            if (version := listing.at(at)) is not None:
                return Lasting(since, until, version.price)
        return Lasting(since, until, None)

    def _listings(self, source: Source, model: str) -> tuple[Listing, ...]:
        key = (source, model)
        listings = self._remembered.get(key)
        if listings is None:
            listings = self._look_up(source, model.lower())
            if len(self._remembered) >= REMEMBERED:  # names that clients make up
                self._remembered.clear()
            self._remembered[key] = listings
        return listings

    def _look_up(self, source: Source, model: str) -> tuple[Listing, ...]:
        """What may have the price, in order: operators' listings by scope, then one of the catalogue."""
        scopes = [("provider", source.provider), ("kind", source.kind), ("", "")]
        found = [listing for scope in scopes if (names := self._overrides.get(scope)) for listing in names.find(model)]
        dashed = _COMPACT_DATE.sub(_dashed, model)
        listed = self._listed(source.vendor, model) or (dashed != model and self._listed(source.vendor, dashed))
        return (*found, listed) if listed else tuple(found)

    def _listed(self, name: str, model: str) -> Listing | None:
        """The catalogue's first match at a vendor, then at those whose models it sells: there without service tiers, which
        are the other's own."""
        vendor = self.vendors.get(name)
        if vendor is None:
            return None
        if own := self._names[name].find(model):
            return own[0]
        for other in vendor.fallback:
            if other in self._names and (found := self._names[other].find(model)):
                return _without_tiers(found[0])
        return None


def _dashed(found: re.Match[str]) -> str:
    """20251211 as 2025-12-11: routers write dates in the one form, vendors' lists have the other."""
    year, month, day = map(int, found.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return found[0]


def _without_tiers(listing: Listing) -> Listing:
    versions = []
    for version in listing.versions:
        price = version.price
        if price is not None:
            windows = tuple(replace(window, tariffs={"": window.tariffs[""]}) for window in price.windows)
            price = replace(price, tariffs={"": price.tariffs[""]}, windows=windows)
        versions.append(version._replace(price=price))
    return replace(listing, versions=tuple(versions))


def _scopes(overrides: Iterable[Override]) -> Mapping[tuple[str, str], Names]:
    grouped: dict[tuple[str, str], dict[str, list[Price]]] = defaultdict(lambda: defaultdict(list))
    for each in overrides:
        if (each.provider and each.kind) or not each.pattern or "*" in each.pattern[:-1]:
            raise BadPrice(f"{each.pattern!r}: * may stand only at the end, and one scope may be named.")
        scope = ("provider", each.provider) if each.provider else ("kind" if each.kind else "", each.kind)
        grouped[scope][each.pattern.lower()].append(each.price)
    return {
        scope: Names(_override(pattern, patterns[pattern]) for pattern in sorted(patterns, key=_first))
        for scope, patterns in grouped.items()
    }


def _first(pattern: str) -> tuple[bool, int, str]:
    """Exact names before patterns, long ones before short ones."""
    return pattern.endswith("*"), -len(pattern), pattern


def _override(pattern: str, prices: list[Price]) -> Listing:
    match = Match(starts=(pattern[:-1],)) if pattern.endswith("*") else Match(equals=(pattern,))
    versions = tuple(Version(price.effective_from, price.effective_until, price) for price in prices)
    return Listing(pattern, match, versions)
