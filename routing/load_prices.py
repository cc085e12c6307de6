"""The snapshot's prices: the compiled catalogue of the vendors in use, under the operator's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from providers.load import upstream_of
from providers.models import Provider
from providers.upstream import Upstream
from tenants import price_files, price_own, price_rows
from tenants.models import Price as PriceRow
from tenants.price_table import Override, Prices, Source, Vendor, vendor_of
from tenants.pricing import BadPrice, Price

log = logging.getLogger(__name__)

Stamp = tuple[str, int, int, int]  # a file's path, number, size and time of change


def stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None without it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(1)
def _sellers(found: Stamp) -> tuple[Vendor, ...]:
    return price_rows.sellers(Path(found[0]).read_bytes())


@lru_cache(1)
def _vendors(found: Stamp, only: frozenset[str]) -> tuple[Vendor, ...]:
    return price_rows.read(Path(found[0]).read_bytes(), only).vendors


class Book(NamedTuple):
    """All prices, and for each upstream, by its id, by whose it is charged."""

    prices: Prices
    sources: Mapping[int, Source]

    def find(self, provider_id: int, provider: str, model: str, at: float) -> Price | None:
        """As ``Prices.find``. A provider that is gone has only what is set for its name, or for all."""
        return self.prices.find(self.sources.get(provider_id) or Source(provider, "", ""), model, at)


def in_use(sellers: Iterable[Vendor], upstreams: Iterable[Upstream]) -> frozenset[str]:
    """By whose prices ``upstreams`` are charged."""
    known = list(sellers)
    return frozenset(vendor_of(known, each.kind, each.base_url) for each in upstreams)


def book(vendors: Iterable[Vendor], overrides: Iterable[Override], upstreams: Iterable[Upstream]) -> Book:
    """Raises BadPrice."""
    prices = Prices(vendors, overrides)
    return Book(prices, {each.id: prices.source(each.name, each.kind, each.base_url) for each in upstreams})


class PriceLoader:
    """What was read stays until the file or the vendors in use change. A file that cannot be read leaves the one before in
    force, a row that cannot be meant is left out: each is said once."""

    def __init__(self) -> None:
        self.stamp: Stamp | None = None
        self.vendors: tuple[Vendor, ...] = ()
        self._said: set[Any] = set()

    def moved(self) -> bool:
        """Whether the file is another than the one looked at last."""
        return stamp(price_files.path()) != self.stamp

    def load(self, upstreams: Iterable[Upstream], rows: Iterable[Any]) -> Book:
        upstreams = list(upstreams)
        self._read(upstreams)
        return book(self.vendors, self._overrides(rows), upstreams)

    def _read(self, upstreams: list[Upstream]) -> None:
        path = price_files.path()
        self.stamp = found = stamp(path)
        if found is None:
            self._say(path, "there is no catalogue of prices at %s: manage.py prices --compile makes it", path)
            return
        try:
            self.vendors = _vendors(found, in_use(_sellers(found), upstreams))
        except (BadPrice, OSError) as error:
            self._say(found, "the catalogue of prices at %s cannot be read: %s", path, error)

    def _overrides(self, rows: Iterable[Any]) -> list[Override]:
        found = []
        for row, made in price_own.together(rows):
            if isinstance(made, BadPrice):
                self._say((row.id, row.changed_revision), "price %s is left out: %s", row.id, made)
            else:
                found.append(made)
        return found

    def _say(self, about: Any, text: str, *values: Any) -> None:
        if about not in self._said:
            self._said.add(about)
            log.warning(text, *values)


def all_upstreams() -> list[Upstream]:
    """Of providers that are off, too; without their secrets."""
    return [upstream_of(provider, ()) for provider in Provider.objects.all()]


def price_of() -> Callable[[Any], Price | None]:
    """Tells the price of a row of usage, by all prices of now: those of providers that are off, too."""
    found = PriceLoader().load(all_upstreams(), PriceRow.objects.all())
    return lambda row: found.find(row.provider_id, row.provider, row.upstream_model, row.created_at.timestamp())
