"""The strategy ``cheapest``: by what a request will cost about at each target, and Explain tells the figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.management import call_command

from providers.models import Provider
from routing.decision import Decision, read
from routing.explain_text import lines
from routing.facts import Facts
from routing.load import Loader
from routing.models import Route, Target
from routing.price_estimates import TYPICAL_OUTPUT, cap, estimates
from routing.strategies import cheapest_first
from routing.table import Table
from routing.table import Target as Place
from tenants.models import ApiKey, Price, Tenant
from tests.inprocess import upstream

NOW = 1_780_000_000.0


def place(number: int, **fields: Any) -> Place:
    return Place(number, upstream(id=number, name=f"up{number}"), **fields)


@pytest.mark.parametrize(
    ("costs", "order"),
    [
        ({1: 5, 2: 3, 3: 4}, [2, 3, 1]),
        ({1: None, 2: 3, 3: 0}, [3, 2, 1]),
        ({1: None, 2: None}, [1, 2, 3]),
        ({1: 5, 2: 5, 3: 5}, [1, 2, 3]),
        ({}, [1, 2, 3]),
    ],
)
def test_the_cheapest_first_and_what_nobody_knows_last(costs: dict[int, int | None], order: list[int]) -> None:
    assert [each.id for each in cheapest_first([place(1), place(2), place(3)], costs)] == order


def test_priorities_and_weight_0_go_before_the_price() -> None:
    targets = [place(1, priority=1), place(2, weight=0), place(3)]
    assert [each.id for each in cheapest_first(targets, {1: 1, 2: 2, 3: 3})] == [3, 2, 1]


@pytest.mark.parametrize(
    ("doc", "most"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6, "max_tokens": 5}, 6),
        ({"max_output_tokens": 7}, 7),
        ({"generationConfig": {"maxOutputTokens": 8}}, 8),
        ({"options": {"num_predict": 9}}, 9),
        ({"max_tokens": True}, 0),
        ({"max_tokens": -1, "generationConfig": 5}, 0),
        ({"max_tokens": 10**30}, 0),
        ({}, 0),
    ],
)
def test_how_long_a_reply_may_be(doc: dict[str, Any], most: int) -> None:
    assert cap(doc) == most


def test_nothing_is_known_without_prices() -> None:
    facts = Facts({}, size=400, now=NOW)
    assert estimates(facts, Table(), [place(1)], "m") == {1: None}


def test_a_decision_tells_its_estimates_and_an_old_one_has_none() -> None:
    decision = Decision("name", "cheapest", "m")
    decision.targets, decision.costs = [place(1), place(2)], {1: 1_500_000, 2: None}
    told = read(decision.text())
    assert [each["estimated_cost"] for each in told["candidates"]] == [1_500_000, None]
    said = "\n".join(lines({**told, "key": None, "route": "r", "model": "m", "live": True}))
    assert "up1/m (target 1), about $0.0015" in said and "up2/m (target 2), about no price" in said
    decision.costs = {}
    assert "estimated_cost" not in read(decision.text())["candidates"][0]


@pytest.fixture
def two(transactional_db: None) -> Route:
    route = Route.objects.create(name="m", strategy="cheapest")
    for name, rate in (("dear", 10**10), ("cheap", 10**9), ("unknown", 0)):
        provider = Provider.objects.create(name=name, kind="openai-compatible", base_url="http://127.0.0.1:9/v1")
        Target.objects.create(route=route, provider=provider)
        if rate:
            Price.objects.create(model="m", provider=name, rates={"input_tokens": rate, "output_tokens": rate})
    return route


def test_estimates_are_input_and_output_by_the_price(two: Route) -> None:
    table = Loader().refresh()
    targets = table.routes["m"].targets
    facts = Facts({"max_tokens": 100}, size=4000, now=NOW)
    names = {each.id: each.upstream.name for each in targets}
    found = {names[number]: each for number, each in estimates(facts, table, targets, "m").items()}
    assert found == {"dear": 11 * 10**6, "cheap": 11 * 10**5, "unknown": None}
    typical = estimates(Facts({}, size=4000, now=NOW), table, targets, "m")
    assert sorted(each for each in typical.values() if each) == [
        (1000 + TYPICAL_OUTPUT) * 1000,
        (1000 + TYPICAL_OUTPUT) * 10_000,
    ]
    short = [replace(each, max_tokens=10) for each in targets]
    assert min(each for each in estimates(facts, table, short, "m").values() if each) == 1_010_000


def test_explain_shows_the_order_and_the_figures(two: Route, capsys: pytest.CaptureFixture[str]) -> None:
    key = ApiKey(tenant=Tenant.objects.create(name="acme"), name="main")
    key.issue()
    key.save()
    call_command("explain", "--key", "main", "--model", "m")
    said = capsys.readouterr().out
    places = [said.index(word) for word in ("cheap/m", "dear/m", "unknown/m")]
    assert places == sorted(places) and "about $0.0005" in said and "about no price" in said
