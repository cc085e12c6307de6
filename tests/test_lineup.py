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
from routing.choosing import choose
from routing.errors import GatewayError
from routing.explain import imagined
from routing.facts import facts_of
from routing.gateway import Gateway
from routing.paths import CHAT
from routing.table import Table, Target
from tenants.keys import Key
from tenants.terms import Level, Names
from tests.inprocess import route, table, upstream
from tests.test_explain import MODEL, NOW, prepare, sites

seen = {"quick": 0, "closer": 0}


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


def call_of(site: dict[str, Any], made: Table) -> Call:
    key = Key(11, "main", 1, level=Level("key", providers=Names(site["allowed"])))
    call = imagined(CHAT, {}, site["headers"], json.dumps(site["body"]).encode(), key, made)
    call.resolved = made.find(call.model, 1)
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
@given(SITES)
def test_the_quick_way_decides_as_the_closer_look_does(site: dict[str, Any]) -> None:
    made, gateway = table_of(site), Gateway()
    prepare(gateway, site)
    quick = chosen(call_of(site, made), made, gateway)
    with pytest.MonkeyPatch.context() as patch:
        asked: list[bool] = []
        usual = choosing._untroubled
        patch.setattr(choosing, "_untroubled", lambda *given: asked.append(usual(*given)))  # None: a closer look
        assert chosen(call_of(site, made), made, gateway) == quick
    seen["quick" if any(asked) else "closer"] += 1


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


def asked(made: Table, model: str = MODEL) -> lineup.Lineup:
    call = imagined(CHAT, {}, {}, json.dumps({"model": model, "messages": []}).encode(), Key(11, "main", 1), made)
    resolved = made.find(model, 1)
    assert resolved is not None
    return lineup.lineup(call, resolved.route, made)


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
