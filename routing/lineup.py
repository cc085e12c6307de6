"""What of a decision the snapshot alone decides: found out at a route's first request, and the same for all that follow."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Final

from providers.abilities import Ability
from routing.apis import api_of
from routing.breaker import OPEN
from routing.call import Call
from routing.facts import Facts
from routing.table import Route, Table, Target

PRIORITY: Final = attrgetter("priority")
MOST: Final = 20_000
"""Of a table; the models of a pattern are what clients call them."""


class Lineup:
    """The targets of a route for one endpoint and model. ``plain``: none is left out for what the operator has set, whatever
    the request. ``normal`` are those that are tried, ``spare`` those that stand in, and ``models`` the providers' models that must
    be healthy. ``asks`` are all conditions and abilities, each once. ``fixed``: priorities alone tell the order, which
    ``normal`` has."""

    __slots__ = ("asks", "fixed", "models", "normal", "plain", "route", "spare")

    def __init__(self, call: Call, route: Route, abilities: Mapping[tuple[int, str], Ability]) -> None:
        self.route = route
        targets = route.targets
        self.plain = bool(targets) and call.endpoint.dialect != "gemini" and all(_is_plain(call, t) for t in targets)
        self.spare = [target for target in targets if target.fallback_for]
        normal = [target for target in targets if not target.fallback_for]
        self.fixed = len({target.priority for target in normal}) == len(normal)
        self.normal = sorted(normal, key=PRIORITY) if self.fixed else normal
        self.models = tuple({(each.upstream.id, each.model or call.model): None for each in targets})
        found = [*(each.conditions for each in targets), *map(abilities.get, self.models)]
        self.asks = tuple(dict.fromkeys(each for each in found if each is not None))

    def takes(self, facts: Facts) -> bool:
        """Whether all targets take a request, by their conditions and what their models can do."""
        return not any(each.reject(facts) for each in self.asks)


def _is_plain(call: Call, target: Target) -> bool:
    upstream = target.upstream
    return not upstream.choosing_fields and upstream.breaker != OPEN and bool(api_of(call, target))


def lineup(call: Call, route: Route, table: Table) -> Lineup:
    """The one of ``route`` for the endpoint and the model of ``call``."""
    key = route.id, call.endpoint.name, call.model
    found = table.lineups.get(key)
    if found is None or found.route is not route:
        if len(table.lineups) >= MOST:
            table.lineups.clear()
        found = table.lineups[key] = Lineup(call, route, table.abilities)
    return found
