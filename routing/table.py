"""The snapshot: everything that requests read of what the admin edits. Frozen, swapped whole, with a revision number."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from providers.upstream import Upstream
from tenants.keys import Key, Tenant


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


@dataclass(frozen=True, slots=True)
class Resolved:
    """A route and the model name under which it was reached, after alias and default."""

    route: Route
    model: str


@dataclass(frozen=True, slots=True)
class Table:
    """``keys`` are found by their HMAC; ``prefixes`` holds the patterns without their ``*``, and ``lengths`` the distinct
    lengths of those, longest first: a look-up costs one hash per length, however many routes there are."""

    revision: int = 0
    keys: Mapping[bytes, Key] = field(default_factory=_empty)
    tenants: Mapping[int, Tenant] = field(default_factory=_empty)
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
    peppers: tuple[bytes, ...] = ()
    loaded_at: float = field(default=0, compare=False)

    def find(self, model: str, tenant_id: int) -> Resolved | None:
        """Alias, exact name, longest pattern, default model (name replaced), default provider (name kept), nothing."""
        if self.aliases:
            model = self.aliases.get((tenant_id, model)) or self.aliases.get((0, model)) or model
        route = self.routes.get(model) or self._by_prefix(model)
        if route is None and self.default_model:
            route = self.routes.get(self.default_model) or self._by_prefix(self.default_model)
            model = self.default_model if route is not None else model
        route = route or self.default_route
        return None if route is None else Resolved(route, model)

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
