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
    be healthy. ``asks``: there are conditions or abilities. ``fixed``: priorities alone tell the order, which ``normal``
    has."""

    __slots__ = (
        "_conditions",
        "_lacking",
        "_longest",
        "asks",
        "fixed",
        "models",
        "normal",
        "plain",
        "quotes",
        "route",
        "spare",
    )

    def __init__(self, call: Call, route: Route, abilities: Mapping[tuple[int, str], Ability]) -> None:
        self.route = route
        targets = route.targets
        self.plain = bool(targets) and call.endpoint.dialect != "gemini" and all(_is_plain(call, t) for t in targets)
        self.spare = [target for target in targets if target.fallback_for]
        normal = [target for target in targets if not target.fallback_for]
        self.fixed = len({target.priority for target in normal}) == len(normal)
        self.normal = sorted(normal, key=PRIORITY) if self.fixed else normal
        self.models = tuple({(each.upstream.id, each.model or call.model): None for each in targets})
        known = [abilities[model] for model in self.models if model in abilities]
        self._conditions = tuple({each.conditions: None for each in targets if each.conditions is not None})
        self._lacking = tuple({flag: None for each in known for flag, able in each.flags if not able})
        self._longest = min((each.context_length for each in known if each.context_length), default=0)
        self.asks = bool(self._conditions or self._lacking or self._longest)

    def takes(self, facts: Facts) -> bool:
        """Whether all targets take a request, by their conditions and what their models can do."""
        for conditions in self._conditions:
            if conditions.reject(facts):
                return False
        for flag in self._lacking:
            if facts.has(flag):
                return False
        return not self._longest or facts.least_tokens <= self._longest


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
