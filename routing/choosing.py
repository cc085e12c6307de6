"""Which targets of its route a request can go to, and in which order. Pure: it reads the snapshot and what is known of
the upstreams, and changes neither."""

from __future__ import annotations

import random
from typing import Final

from providers.upstream import Upstream
from routing.apis import api_of
from routing.call import Call
from routing.conditions import Conditions
from routing.decision import Decision
from routing.errors import GatewayError
from routing.facts import Facts, facts_of
from routing.incoming import refuse_choosing
from routing.lineup import PRIORITY, Lineup, lineup
from routing.price_estimates import estimates
from routing.refusals import REFUSED
from routing.strategies import STRATEGIES, cheapest_first, sticky_key
from routing.table import Route, Table, Target
from routing.traffic import Traffic

NONE: Final = "No provider of this model can be used now."


class Lazy:
    """The facts of a call, found out at the first need."""

    __slots__ = ("_call", "_facts", "_traffic")

    def __init__(self, call: Call, traffic: Traffic) -> None:
        self._call, self._traffic = call, traffic
        self._facts: Facts | None = None

    def get(self) -> Facts:
        if self._facts is None:
            self._facts = facts_of(self._call, self._traffic.wall())
        return self._facts


def choose(call: Call, table: Table, traffic: Traffic, rng: random.Random) -> Decision:
    """The decision for a call whose route is found; it stays with the call even where none of the targets can be tried.
    Raises GatewayError."""
    assert call.resolved is not None
    route = call.resolved.route
    decision = call.decision = Decision(call.resolved.via, route.strategy, call.model)
    facts = Lazy(call, traffic)
    known = lineup(call, route, table)
    if _untroubled(call, traffic, known, facts):
        left, fixed = known.normal[:], known.fixed
        if known.spare:
            decision.spare = known.spare[:]
    else:
        left, fixed = _sifted(call, table, traffic, facts, decision), False
    if not left:
        raise GatewayError("overloaded", NONE, retry_after=30)
    if len(left) > 1:
        left = left if fixed else _ordered(facts, route, traffic, rng, left)
        if route.strategy == "cheapest":
            decision.costs = estimates(facts.get(), table, left, call.model)
            left = cheapest_first(left, decision.costs)
        left = _rested_first(call, traffic, left)
    decision.targets = left
    return decision


def _sifted(call: Call, table: Table, traffic: Traffic, facts: Lazy, decision: Decision) -> list[Target]:
    """Those of the route's targets that can be tried; every other one is rejected with its reason. Raises GatewayError."""
    assert call.resolved is not None
    left = _served(call, decision, _allowed(call, decision, list(call.resolved.route.targets)))
    left = _taking(call, table, facts, decision, left)
    decision.spare = _healthy(call, traffic, decision, [target for target in left if target.fallback_for])
    normal = [target for target in left if not target.fallback_for]
    left = _healthy(call, traffic, decision, normal)
    if normal and not left:
        soonest = min(normal, key=lambda t: traffic.wait(t.upstream, t.model or call.model))
        raise unusable(traffic, soonest.upstream, soonest.model or call.model)
    return left


def _ordered(facts: Lazy, route: Route, traffic: Traffic, rng: random.Random, targets: list[Target]) -> list[Target]:
    """By priority, and by the route's strategy among equals."""
    if len({target.priority for target in targets}) == len(targets):
        return sorted(targets, key=PRIORITY)
    key = sticky_key(route.sticky_by, facts.get()) if route.strategy == "sticky" else ""
    return STRATEGIES[route.strategy](targets, traffic.state, key, rng)


def _untroubled(call: Call, traffic: Traffic, known: Lineup, facts: Lazy) -> bool:
    """Whether nothing keeps the request from any target: the common case, in a fraction of the time."""
    if not known.plain or not call.terms.any_provider or call.provider_id or b"x-provider" in call.named:
        return False
    doubtful = traffic.rotation or not traffic.breakers.troubled.isdisjoint(known.models)
    if doubtful and any(traffic.unhealthy(each.upstream, each.model or call.model) for each in known.route.targets):
        return False
    return not known.asks or known.takes(facts.get())


def _allowed(call: Call, decision: Decision, targets: list[Target]) -> list[Target]:
    """Those that the key, ``x-provider`` and the objects that the call names leave."""
    terms, allowed = call.terms, targets
    if not terms.any_provider:
        allowed = decision.sift(
            targets, lambda t: "" if terms.provider_allowed(t.upstream.name) else "the key may not use its provider"
        )
        if targets and not allowed:
            raise GatewayError("permission", "This API key may not use any provider of this model.", param="model")
    if chosen := call.header(b"x-provider"):
        allowed = _chosen(call, decision, allowed, chosen)
    if tied := call.provider_id:
        allowed = decision.sift(
            allowed, lambda t: "" if t.upstream.id == tied else "an object that the request names is another provider's"
        )
    if not allowed:
        raise GatewayError("overloaded", NONE, retry_after=30)
    return allowed


def _chosen(call: Call, decision: Decision, targets: list[Target], name: str) -> list[Target]:
    if not call.key.may_choose_provider:
        raise GatewayError(
            "permission", "This API key may not choose the provider with x-provider.", param="x-provider"
        )
    found = decision.sift(targets, lambda t: "" if t.upstream.name == name else "x-provider names another provider")
    if not found:
        raise GatewayError(
            "invalid_request",
            f"The model has no provider {name[:63]!r} that this API key may use.",
            param="x-provider",
        )
    return found


def _served(call: Call, decision: Decision, targets: list[Target]) -> list[Target]:
    """Those whose upstream has an API that serves this endpoint."""
    assert call.resolved is not None
    route = call.resolved.route
    serving = [target for target in targets if api_of(call, target)]
    if len(serving) < len(targets):
        without = f"its provider has no API for {call.endpoint.name}"
        decision.rejected += [(target, without) for target in targets if target not in serving]
    if not serving:
        names = ", ".join(sorted({api for t in targets for api in t.upstream.apis}))
        raise GatewayError(
            "invalid_request",
            f"The model {call.entry.model[:200]!r} is not served through the {call.endpoint.api} API; its providers have: {names}.",
            param="model",
            code="unsupported_api",
        )
    for target in serving:
        if target.upstream.choosing_fields:
            refuse_choosing(call, target.upstream.choosing_fields - route.allowed_fields)
    if (
        "model" in call.doc
        and call.endpoint.dialect == "gemini"
        and "model" not in route.allowed_fields
        and call.endpoint.name == "generate"
    ):
        raise GatewayError(
            "invalid_request", "The field model in the body would choose another model than the path's.", param="model"
        )
    return serving


def _taking(call: Call, table: Table, facts: Lazy, decision: Decision, targets: list[Target]) -> list[Target]:
    """Those whose conditions hold and whose model can do what the request needs. Raises GatewayError where only those are
    left that stand in for others."""
    taking = []
    same: Conditions | None = None  # targets often share them, and then the reason, too
    reason = ""
    for target in targets:
        ability = table.abilities.get((target.upstream.id, target.model or call.model)) if table.abilities else None
        if target.conditions is None or target.conditions is not same:
            same = target.conditions
            reason = same.reject(facts.get()) if same is not None else ""
        why = reason or (ability.reject(facts.get()) if ability is not None else "")
        if why:
            decision.rejected.append((target, why))
        else:
            taking.append(target)
    spare = all(each.fallback_for for each in taking)  # or there is none
    if not taking or (spare and not all(each.fallback_for for each in targets)):
        reasons = "; ".join(f"{t.upstream.name}: {why}" for t, why in decision.rejected if t in targets)
        raise GatewayError(
            "invalid_request",
            f"No target of the model {call.entry.model[:200]!r} takes this request. {reasons[:1000]}.",
            param="model",
            code="no_target",
        )
    return taking


def _healthy(call: Call, traffic: Traffic, decision: Decision, targets: list[Target]) -> list[Target]:
    """Those whose circuit breaker is not open and whose provider has a credential that does not rest."""
    healthy = []
    for target in targets:
        if reason := traffic.unhealthy(target.upstream, target.model or call.model):
            decision.rejected.append((target, reason))
        else:
            healthy.append(target)
    return healthy


def unusable(traffic: Traffic, upstream: Upstream, model: str) -> GatewayError:
    """What a client is told where this model of a provider cannot be called now."""
    wait = traffic.wait(upstream, model)
    status = traffic.rotation.why(upstream, traffic.wall(), model)
    if status == 429:
        return GatewayError("rate_limit", "The provider's rate limit is reached.", retry_after=max(1, wait))
    if status:
        return GatewayError("server_error", REFUSED)
    return GatewayError("overloaded", NONE, retry_after=max(1, wait))


def _rested_first(call: Call, traffic: Traffic, targets: list[Target]) -> list[Target]:
    """Those whose every credential was refused lately, without a word for how long, stand behind the others."""
    if not traffic.rotation:
        return targets
    now = traffic.wall()
    tired = [not traffic.rotation.fresh(t.upstream, now, t.model or call.model) for t in targets]
    if not any(tired):
        return targets
    ranked = sorted(enumerate(targets), key=lambda each: tired[each[0]])
    return [target for _, target in ranked]
