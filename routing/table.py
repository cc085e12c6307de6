"""The snapshot: everything that requests read of what the admin edits. Frozen, swapped whole, with a revision number."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from providers.abilities import Ability
from providers.upstream import Upstream
from routing.conditions import Conditions
from tenants.keys import Key, Project, Tenant
from tenants.price_table import Lasting, Prices, Source
from tenants.pricing import Price
from tenants.terms import NOTHING, Rule, Terms, terms

if TYPE_CHECKING:
    from routing.hooks import Hooks
    from routing.lineup import Lineup
    from routing.quotes import Quote

LONGEST_MODEL: Final = 512
"""Characters. Much is remembered by the model, and behind a pattern its name is whatever a client says."""
MOST_PRICED: Final = 10_000


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route can go. ``model`` is the upstream's name, "" for the name that was asked for."""

    id: int
    upstream: Upstream
    model: str = ""
    api: str = ""
    weight: int = 1
    priority: int = 0
    max_tokens: int | None = None
    conditions: Conditions | None = None
    fallback_for: str = ""  # context_length | content_policy | both


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An edit of a body field or a header; ``value`` is JSON bytes for a body field, plain bytes for a header."""

    place: str  # body | header
    action: str  # set | default | remove
    name: str
    value: bytes = b""
    route_id: int | None = None
    provider_id: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    id: int
    name: str
    targets: tuple[Target, ...] = ()
    reply_model: str = "upstream"
    allowed_fields: frozenset[str] = frozenset()
    loss: str = ""  # strict | lenient
    strategy: str = "priority"
    sticky_by: str = "conversation"
    deadline: float = 540
    keep_alive: float = 0


class Resolved:
    """A route and the model name under which it was reached, after alias and default. ``via`` is name, pattern, default
    model or default provider, after an alias or not."""

    __slots__ = ("model", "route", "via")

    def __init__(self, route: Route, model: str, via: str = "") -> None:
        self.route, self.model, self.via = route, model, via


@dataclass(frozen=True, slots=True)
class Table:
    """``keys`` are found by their HMAC; ``prefixes`` holds the patterns without their ``*``, and ``lengths`` the distinct
    lengths of those, longest first: a look-up costs one hash per length, however many routes there are. ``abilities``
    are those that are known, by provider and model; ``named`` finds tenants by name; ``hooks`` is None without any.
    ``rules`` are those of budgets, by tenant, project or key; ``known`` remembers what ``terms`` has found, ``lineups``
    and ``quotes`` what ``routing.lineup`` and ``routing.estimate`` have, ``priced`` what ``price`` has.
    ``sources`` tells by whose prices each upstream is charged, by its id."""

    revision: int = 0
    keys: Mapping[bytes, Key] = field(default_factory=_empty)
    tenants: Mapping[int, Tenant] = field(default_factory=_empty)
    named: Mapping[str, Tenant] = field(default_factory=_empty)
    projects: Mapping[int, Project] = field(default_factory=_empty)
    rules: Mapping[tuple[str, int], tuple[Rule, ...]] = field(default_factory=_empty)
    anonymous: Key | None = None
    upstreams: Mapping[int, Upstream] = field(default_factory=_empty)
    routes: Mapping[str, Route] = field(default_factory=_empty)
    prefixes: Mapping[str, Route] = field(default_factory=_empty)
    lengths: tuple[int, ...] = ()
    aliases: Mapping[tuple[int, str], str] = field(default_factory=_empty)
    rewrites: tuple[Rewrite, ...] = ()
    default_model: str = ""
    default_route: Route | None = None
    models: Mapping[int, Mapping[str, Any]] = field(default_factory=_empty)
    abilities: Mapping[tuple[int, str], Ability] = field(default_factory=_empty)
    hooks: Hooks | None = None
    peppers: tuple[bytes, ...] = ()
    prices: Prices = field(default_factory=Prices, compare=False)
    sources: Mapping[int, Source] = field(default_factory=_empty)
    loaded_at: float = field(default=0, compare=False)
    known: dict[int, Terms] = field(init=False, default_factory=dict, compare=False, repr=False)
    lineups: dict[tuple[int, str, str], Lineup] = field(init=False, default_factory=dict, compare=False, repr=False)
    priced: dict[tuple[int, str], Lasting] = field(init=False, default_factory=dict, compare=False, repr=False)
    quotes: dict[tuple[Any, ...], Quote] = field(init=False, default_factory=dict, compare=False, repr=False)

    def find(self, model: str, tenant_id: int) -> Resolved | None:
        """Alias, exact name, longest pattern, default model (name replaced), default provider (name kept), nothing; which it
        is too where the name that it comes to is too long for one."""
        asked, via = model, "name"
        if self.aliases:
            model = self.aliases.get((tenant_id, model)) or self.aliases.get((0, model)) or model
        route = self.routes.get(model)
        if route is None:
            route, via = self._by_prefix(model), "pattern"
        if route is None and self.default_model:
            route, via = self.routes.get(self.default_model) or self._by_prefix(self.default_model), "default model"
            model = self.default_model if route is not None else model
        if route is None:
            route, via = self.default_route, "default provider"
        if route is None or len(model) > LONGEST_MODEL:
            return None
        aliased = model != asked and via != "default model"
        return Resolved(route, model, f"alias, {via}" if aliased else via)

    def terms(self, key: Key, tenant: Tenant) -> Terms:
        """What holds for a key of ``tenant``: worked out at its first request under this snapshot."""
        found = self.known.get(key.id)
        if found is None:
            found = self._terms(key, tenant)
            if key.id:
                self.known[key.id] = found
        return found

    def _terms(self, key: Key, tenant: Tenant) -> Terms:
        project = self.projects.get(key.project_id)
        levels = [tenant.level, project.level if project is not None else NOTHING, key.level]
        of = (("tenant", tenant.id), ("project", key.project_id), ("key", key.id))
        return terms(
            levels,
            [rule for level in of for rule in self.rules.get(level, ())],
            scopes=key.scopes,
            unpriced=tenant.unpriced,
            interrupted=tenant.interrupted,
            declared=tenant.declared,
        )

    def price(self, upstream: Upstream, model: str, at: float) -> Price | None:
        """What ``model`` costs there at the second ``at``; None where nothing is told: that is not free."""
        found = self.priced.get((upstream.id, model))
        if found is None or not found.since <= at < found.until:
            source = self.sources.get(upstream.id)
            if source is None:
                return None
            if len(self.priced) >= MOST_PRICED:
                self.priced.clear()
            found = self.priced[upstream.id, model] = self.prices.lasting(source, model, at)
        return found.price

    def all_routes(self) -> list[Route]:
        """Those that are named, the patterns and the default one."""
        found = [*self.routes.values(), *self.prefixes.values()]
        return [*found, self.default_route] if self.default_route is not None else found

    def _by_prefix(self, model: str) -> Route | None:
        for length in self.lengths:
            route = self.prefixes.get(model[:length])
            if route is not None and len(model) >= length:
                return route
        return None

    def rewrites_for(self, route_id: int, provider_id: int) -> list[Rewrite]:
        return [r for r in self.rewrites if r.route_id in (None, route_id) and r.provider_id in (None, provider_id)]


def with_routes(table: Table, routes: Mapping[str, Route]) -> Table:
    """``table`` with these routes by name or pattern, indexed."""
    exact = {name: route for name, route in routes.items() if not name.endswith("*")}
    prefixes = {name[:-1]: route for name, route in routes.items() if name.endswith("*")}
    lengths = tuple(sorted({len(prefix) for prefix in prefixes}, reverse=True))
    return replace(table, routes=exact, prefixes=prefixes, lengths=lengths)


def in_order(targets: list[Target], rng: random.Random) -> list[Target]:
    """By priority; among equals a weighted draw decides who is first and who stands in. Weight 0 comes last."""
    if len(targets) < 2:
        return targets
    # Efraimidis and Spirakis: sorting by u^(1/w) draws without replacement in proportion to the weights.
    drawn = [(t.priority, -(rng.random() ** (1 / t.weight)) if t.weight else 1.0, n) for n, t in enumerate(targets)]
    return [targets[n] for _, _, n in sorted(drawn)]
