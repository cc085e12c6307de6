"""Line-ups: what the snapshot alone decides is worked out once, and never says another thing than looking at each target."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import choosing, lineup
from routing.call import Call
from routing.choosing import Lazy, choose
from routing.endpoint import UNIFIED, Endpoint
from routing.errors import GatewayError
from routing.explain import imagined
from routing.facts import facts_of
from routing.gateway import Gateway
from routing.paths import CHAT, RESPONSES
from routing.table import Table, Target
from tenants.keys import Key
from tenants.terms import Level, Names
from tests.inprocess import route, table, upstream
from tests.test_explain import MODEL, NOW, prepare, sites

seen = {"quick": 0, "closer": 0}
ENDPOINTS = [
    *(CHAT, CHAT, CHAT, UNIFIED, RESPONSES),
    Endpoint("messages", "anthropic", "messages", "v1/messages"),
    Endpoint("generate", "gemini", "generate", "v1beta/models/{model}:{action}"),
    Endpoint("embeddings", "openai", "embeddings", "v1/embeddings"),
]


def eased(site: dict[str, Any]) -> dict[str, Any]:
    """The same with all providers well and allowed, so that conditions and abilities alone decide."""
    targets = [
        replace(each, upstream=replace(each.upstream, breaker="", apis=frozenset({"chat"}))) for each in site["targets"]
    ]
    headers = {name: value for name, value in site["headers"].items() if name != "x-provider"}
    return {**site, "targets": targets, "headers": headers, "opened": set(), "rests": set(), "allowed": []}


SITES = st.one_of(sites(), sites().map(eased))


def table_of(site: dict[str, Any]) -> Table:
    found = {(each.upstream.id, each.model or MODEL): site["abilities"][each.id] for each in site["targets"]}
    abilities = {model: ability for model, ability in found.items() if ability is not None}
    return table(
        route(MODEL, *site["targets"], strategy=site["strategy"], sticky_by=site["sticky_by"]), abilities=abilities
    )


def call_of(site: dict[str, Any], made: Table, endpoint: Endpoint = CHAT, tied: int = 0) -> Call:
    key = Key(11, "main", 1, level=Level("key", providers=Names(site["allowed"])))
    call = imagined(endpoint, {"model": MODEL}, site["headers"], json.dumps(site["body"]).encode(), key, made)
    call.resolved = made.find(call.model, 1)
    call.provider_id = tied
    return call


def chosen(call: Call, made: Table, gateway: Gateway) -> Any:
    """What is decided, by one seed: the order, who stands in, and what is refused."""
    try:
        choose(call, made, gateway.traffic, random.Random(7))
    except GatewayError as error:
        return error.status, error.message
    assert call.decision is not None
    return call.decision.targets, call.decision.spare, call.decision.rejected, call.decision.costs


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(SITES, st.sampled_from(ENDPOINTS), st.sampled_from([0] * 9 + [1]))
def test_the_quick_way_decides_as_the_closer_look_does(site: dict[str, Any], endpoint: Endpoint, tied: int) -> None:
    """Before and after targets have failed, under one snapshot."""
    made, gateway = table_of(site), Gateway()
    for step in range(2):
        if step:
            prepare(gateway, site)
        quick = chosen(call_of(site, made, endpoint, tied), made, gateway)
        closer, was_quick = closely(call_of(site, made, endpoint, tied), made, gateway)
        assert closer == quick
        seen["quick" if was_quick else "closer"] += 1


def closely(call: Call, made: Table, gateway: Gateway) -> tuple[Any, bool]:
    """As ``chosen``, by a look at each target; and whether the quick way would have been gone."""
    asked: list[bool] = []
    usual = choosing._untroubled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "_untroubled", lambda *given: asked.append(usual(*given)))  # None: a closer look
        return chosen(call, made, gateway), any(asked)


def asked_for(made: Table, model: str) -> tuple[Call, lineup.Lineup]:
    """The least call for a model, and its line-up."""
    call = imagined(CHAT, {}, {}, json.dumps({"model": model, "messages": []}).encode(), Key(11, "main", 1), made)
    call.resolved = made.find(model, 1)
    assert call.resolved is not None
    return call, lineup.lineup(call, call.resolved.route, made)


def is_quick(made: Table, gateway: Gateway) -> bool:
    call, known = asked_for(made, MODEL)
    return choosing._untroubled(call, gateway.traffic, known, Lazy(call, gateway.traffic))


def test_what_failed_once_does_not_slow_down_for_ever() -> None:
    """A credential has rested, and the breaker of one that stands in was open: it is not tried, so nothing closes it."""
    spare, other = Target(2, upstream(2, "two", breaker=""), fallback_for="both"), upstream(3, "three")
    made, gateway, now = table(route(MODEL, Target(1, upstream(1, "one")), spare)), Gateway(), 1000.0
    traffic = gateway.traffic
    traffic.clock = traffic.wall = lambda: now
    for breaker in [traffic.allow(spare.upstream, MODEL) for _ in range(spare.upstream.breaker_requests)]:
        assert breaker is not None
        breaker.record("failed", now)
    assert not is_quick(made, gateway)
    now += 10_000
    traffic.rotation.punish(other, other.credentials[0], 429, {b"retry-after": b"30"}, now, MODEL)
    assert is_quick(made, gateway), "nobody who could be asked rests"


def test_both_ways_were_gone() -> None:
    assert min(seen.values()) > 60, seen


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(SITES)
def test_all_take_a_request_where_none_rejects_it(site: dict[str, Any]) -> None:
    made = table_of(site)
    call = call_of(site, made)
    assert call.resolved is not None
    found, facts = lineup.lineup(call, call.resolved.route, made), facts_of(call, NOW)
    abilities = [made.abilities.get((each.upstream.id, each.model or MODEL)) for each in site["targets"]]
    reasons = [each.reject(facts) for each in abilities if each is not None]
    reasons += [each.conditions.reject(facts) for each in site["targets"] if each.conditions is not None]
    assert found.takes(facts) == (not any(reasons))
    assert found.asks or found.takes(facts)


def asked(made: Table, model: str) -> lineup.Lineup:
    return asked_for(made, model)[1]


def test_it_is_found_once_for_each_snapshot_and_model() -> None:
    one, other = Target(1, upstream(1, "one")), Target(2, upstream(2, "two"), priority=1)
    made = table(route("gpt*", other, one))
    found = asked(made, "gpt-a")
    assert asked(made, "gpt-a") is found and found.fixed and found.normal == [one, other]
    assert found.models == ((2, "gpt-a"), (1, "gpt-a"))
    assert asked(made, "gpt-b").models == ((2, "gpt-b"), (1, "gpt-b"))
    assert asked(replace(made), "gpt-a") is not found


def test_what_clients_call_models_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineup, "MOST", 50)
    made = table(route("gpt*", Target(1, upstream(1, "one"))))
    for n in range(300):
        assert asked(made, f"gpt-{n}").models == ((1, f"gpt-{n}"),)
        assert len(made.lineups) <= 50
