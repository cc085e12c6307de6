"""What plain requests may cost is worked out once for all that ask alike: never another sum than by the closer look."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import bounds, estimate, funds
from routing.bound_fields import KNOWN, SINGLE
from routing.bound_plain import COUNTS, PLAIN, TEXTS
from routing.bounds import bound, demand
from routing.estimate import Estimate
from routing.quotes import Quote
from routing.table import Table, Target
from tenants.leases import MOST
from tenants.pricing import Price, Rates, Tariff
from tenants.units import BadUnits
from tenants.worst_case import worst_case
from tests.inprocess import route, table, upstream
from tests.money import DOLLAR, answered, asking, bank, budget, limit, priced, site

ENDPOINTS = sorted(TEXTS)
TARGET = Target(1, upstream())
NUMBERS = st.none() | st.booleans() | st.integers(-2, 9000) | st.floats(-1, 5000) | st.sampled_from(["7", [], [3], {}])
TURNS = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=30)})
TEXT = st.none() | st.text(max_size=30) | st.lists(TURNS | st.just({"role": "user"}) | st.just(3), max_size=4) | NUMBERS
DOCS = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        **{name: TEXT for names in TEXTS.values() for name in names},
        **dict.fromkeys(COUNTS, NUMBERS),
        "temperature": st.floats(0, 1),
        "stop": st.lists(st.text(max_size=3), max_size=2),
        "tools": st.just([{"type": "function", "function": {"name": "f"}}]),
        "service_tier": st.sampled_from(["flex", "auto", 7]),
    },
)
#: Nano-dollars for a million tokens; with steps for long inputs, which apply to all of it or beyond a length.
GIVEN = st.builds(
    lambda given, read: {"input_tokens": given, "cache_read_tokens": read},
    st.integers(0, 10**11),
    st.integers(0, 10**11),
)
BOTH = st.builds(lambda given, made: {**given, "output_tokens": made}, GIVEN, st.integers(0, 10**12))
STARTS = st.lists(st.integers(1, 400_000), min_size=2, max_size=2, unique=True).map(sorted)


def tariffs(rates: Any, long: Any, starts: Any, beyond: bool) -> Tariff:
    return Tariff(Rates(rates), tuple(zip(starts, map(Rates, long), strict=False)), beyond)


TARIFFS = st.builds(tariffs, BOTH, st.lists(BOTH, max_size=2), STARTS, st.just(False)) | st.builds(
    tariffs, BOTH, st.lists(GIVEN, max_size=2), STARTS, st.just(True)
)
PRICES = st.builds(lambda one, other: Price("v1", {"": one, "priority": other}), TARIFFS, TARIFFS)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(ENDPOINTS), DOCS, st.booleans())
def test_the_quick_reader_finds_what_the_others_find(endpoint: str, doc: dict[str, Any], escaped: bool) -> None:
    body = json.dumps(doc, ensure_ascii=escaped).encode("utf-8", "replace")
    quick = demand(endpoint, doc, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "plain", lambda *_: None)
        assert quick._replace(plain=False) == demand(endpoint, doc, body)
    assert not quick.plain or doc.keys() <= PLAIN[endpoint]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_it_reads_no_field_that_may_stand_twice_or_ask_for_more(endpoint: str) -> None:
    assert PLAIN[endpoint].isdisjoint(SINGLE.get(endpoint, ()))
    assert PLAIN[endpoint] <= KNOWN[endpoint]
    doc = {"model": "m", TEXTS[endpoint][0]: [{"role": "user", "content": "Hi"}]}
    body = json.dumps(doc).encode()
    assert demand(endpoint, doc, body).plain
    twice = body[:-1] + b',"' + TEXTS[endpoint][0].encode() + b'":[]}'
    assert not demand(endpoint, doc, twice).plain


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(ENDPOINTS),
    PRICES,
    st.sampled_from([0, 1, 500, 4_096, 200_000]),
    st.none() | st.integers(0, 10**6),
    st.sampled_from(["chat", "messages", "responses", "generate"]),
    st.lists(st.integers(2, 10**6), min_size=1, max_size=5),
)
def test_a_quote_is_the_bound_of_any_text(
    endpoint: str, price: Price, window: int, cap: int | None, api: str, texts: list[int]
) -> None:
    doc: dict[str, Any] = {"model": "m", TEXTS[endpoint][0]: "", "n": 3, "max_tokens": 70}
    doc = {name: value for name, value in doc.items() if name in PLAIN[endpoint]}
    first = demand(endpoint, doc, json.dumps(doc).encode())
    assert first.plain
    quote = Quote(TARGET, price, bound(first, api, window, cap=cap), api, window)
    for text in texts:
        found = bound(first._replace(text=text), api, window, cap=cap)
        assert quote.whole and quote.made == found.units.output_tokens and quote.unbounded == found.unbounded
        assert quote.given(text) == found.units.input_tokens
        try:
            cost = min(MOST, worst_case(price, found.units, found.tiers, found.without))
        except BadUnits:
            cost = MOST
        assert quote.cost(quote.given(text)) == cost


def test_what_is_counted_beside_tokens_has_no_quote() -> None:
    doc = {"model": "m", "messages": "Hi"}
    found = bound(demand("chat", doc, json.dumps(doc).encode()), "chat", 9000, cap=5)
    price = Price("v1", {"": Tariff(Rates({"input_tokens": 1, "requests": 10**6}))})
    assert not Quote(TARGET, price, found, "chat", 9000).whole
    assert Quote(TARGET, None, found, "chat", 9000).whole and Quote(TARGET, None, found, "chat", 9000).cost(5000) == 0


BODIES: list[dict[str, Any]] = [
    {},
    {"max_tokens": 50},
    {"max_tokens": 50, "n": 2},
    {"max_completion_tokens": 51, "max_tokens": 50},
    {"messages": [{"role": "user", "content": "more " * 900}]},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 50},
]


class Found(NamedTuple):
    plain: bool
    money: int


def closely_checked(monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    """What is estimated from now on, each once more without a quote: that must find the same."""
    checked: list[Found] = []

    class Checked(Estimate):
        def require(self, **given: Any) -> None:
            super().require(**given)
            found = self.money, self.tokens, self.outputs, self.cap
            checked.append(Found(self.asked.plain, self.money))
            self.asked = self.asked._replace(plain=False, text=self._text)
            super().require(**given)
            assert (self.money, self.tokens, self.outputs, self.cap) == found

    monkeypatch.setattr(funds, "Estimate", Checked)
    return checked


@pytest.mark.asyncio
async def test_requests_that_ask_alike_reserve_what_each_would_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no more quotes can be remembered."""
    monkeypatch.setattr(estimate, "MOST_REMEMBERED", 2)
    checked = closely_checked(monkeypatch)
    async with bank(site(budget(100 * DOLLAR), limit("tokens", 10**9)), lambda _: answered()) as (running, _):
        for fields in BODIES * 3:
            reply: httpx.Response = await running.client.post("/v1/chat/completions", json=asking(**fields))
            assert reply.status_code == 200, reply.text
    assert [each.plain for each in checked] == [*[True] * 5, False] * 3


@pytest.mark.asyncio
async def test_a_quote_ends_with_the_version_of_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = closely_checked(monkeypatch)
    versions = [
        Price(name, {"": Tariff(Rates({"output_tokens": rate}))}) for name, rate in (("v1", 10**9), ("v2", 10**10))
    ]
    async with bank(site(budget(100 * DOLLAR)), lambda _: answered()) as (running, _):
        for place in (0, 1, 1, 0):
            monkeypatch.setattr(Table, "price", lambda *_, at=place: versions[at])
            assert (await running.client.post("/v1/chat/completions", json=asking(max_tokens=50))).status_code == 200
    money = [each.money for each in checked]
    assert money == [money[0], 10 * money[0], 10 * money[0], money[0]]


@pytest.mark.asyncio
async def test_clients_fill_no_memory_with_caps_and_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor with what is refused; and what a cap was shrunk to is not remembered at all."""
    monkeypatch.setattr(estimate, "MOST_REMEMBERED", 20)
    made = priced(table(route("gpt-*", Target(1, upstream()))))
    async with bank(site(budget(0), made=made), lambda _: answered()) as (running, _):
        for n in range(60):
            body = asking(model=f"gpt-{n % 7}", max_tokens=n + 1)
            assert (await running.client.post("/v1/chat/completions", json=body)).status_code == 429
            assert len(running.gateway.table.quotes) <= 20
    async with bank(site(budget(60_000_000)), lambda _: answered(10, 200)) as (running, _):
        for _ in range(12):
            await running.client.post("/v1/chat/completions", json=asking())
        assert len(running.gateway.table.quotes) == 1
        assert len({json.loads(request.content)["max_tokens"] for request in running.requests}) > 3
