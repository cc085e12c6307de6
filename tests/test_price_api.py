"""Own prices by REST and by ``manage.py apply``: dollars as text, exact; versions that charges stand for stay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.urls import reverse
from rest_framework.test import APIClient

from routing.apply_read import Refused
from tenants import price_words
from tenants.drain import write
from tenants.models import Price
from tenants.price_figures import BadAmount
from tests.api_site import api, no_throttle_left_over
from tests.apply_site import apply_environment, do, everything
from tests.usage_entries import an_entry

pytestmark = pytest.mark.django_db
assert api and apply_environment and no_throttle_left_over  # fixtures
LIST = "/api/v1/prices"
BODY: dict[str, Any] = {
    "model": "gpt-5",
    "provider": "main",
    "effective_from": "2026-01-01T00:00:00Z",
    "rates": {"input_tokens": "2.50", "output_tokens": "10", "audio_ms": "0.36"},
    "long": [{"above": 200000, "rates": {"input_tokens": "5"}}],
    "tiers": {"batch": {"rates": {"input_tokens": "1.25"}, "long": [{"above": 200000, "rates": {}}]}},
    "context_window": 400000,
}


def charged(price: Price) -> None:
    write([an_entry(created_at=price.created_at.timestamp(), price_version=price.version, cost=1)])


def test_a_price_comes_changes_and_goes(api: APIClient) -> None:
    made = api.post(LIST, BODY)
    assert made.status_code == 201, made.content
    price = Price.objects.get()
    assert price.rates == {"input_tokens": 2_500_000_000, "output_tokens": 10**10, "audio_ms": 36 * 10**13}
    assert price.long == [[200000, {"input_tokens": 5 * 10**9}]]
    assert price.tiers == {"batch": {"rates": {"input_tokens": 125 * 10**7}, "long": [[200000, {}]]}}
    told = made.json()
    assert told["version"] == price.version and told["rates"] == {**BODY["rates"], "input_tokens": "2.5"}
    url = reverse("api:price-detail", kwargs={"pk": price.pk})
    assert api.put(url, told).json() == told == api.get(f"{LIST}?model=GPT-5&provider=main").json()["results"][0]
    assert api.patch(url, {"rates": {"requests": 1}}).json()["rates"] == {"requests": "1"}
    assert api.get(f"{LIST}?provider=").json()["results"] == []
    assert api.delete(url).status_code == 204 and not Price.objects.exists()


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"rates": {"input_tokens": 2.5}}, "rates", "input_tokens: 2.5 is no amount of dollars. Write it as text"),
        ({"rates": {"input_tokens": "0.0000000001"}}, "rates", "input_tokens: more than 9 decimals"),
        ({"rates": {"inptu": "1"}}, "rates", "no such unit"),
        ({"rates": {"input_tokens": "-1"}}, "rates", "not below zero"),
        ({"rates": []}, "rates", "Give dollars by unit"),
        ({"rates": None}, "rates", "null"),
        ({"long": [{"above": 5, "rate": {}}]}, "long", "no such name"),
        ({"long": [{"above": 5, "rates": {}}, {"above": 4, "rates": {}}]}, "non_field_errors", "rising"),
        ({"long": [{"above": "5", "rates": {}}]}, "non_field_errors", "rising"),
        ({"long": {}}, "long", "list"),
        ({"tiers": {"a b": {"rates": {}}}}, "tiers", "no name of a service tier"),
        ({"tiers": {"batch": []}}, "tiers", "Give"),
        ({"kind": "openai"}, "non_field_errors", "one scope"),
        ({"model": "a*b"}, "non_field_errors", "only at the end"),
        ({"effective_until": "2025-01-01T00:00:00Z"}, "effective_until", "ends before it begins"),
        ({"effective_from": "1960-01-01T00:00:00Z"}, "non_field_errors", "1970"),
        ({"context_window": -1}, "context_window", ""),
        ({"colour": "red"}, "colour", "no such field"),
    ],
)
def test_what_is_no_price_is_refused(api: APIClient, change: dict[str, Any], field: str, words: str) -> None:
    refused = api.post(LIST, {**BODY, **change})
    assert refused.status_code == 400 and list(refused.json()) == [field], refused.content
    assert words in str(refused.json()[field])


def test_versions_that_overlap_are_refused_and_the_other_is_named(api: APIClient) -> None:
    api.post(LIST, {**BODY, "effective_until": "2026-06-01T00:00:00Z"})
    first = Price.objects.get()
    beside = [{"provider": ""}, {"provider": "", "kind": "openai"}, {"model": "gpt-5*"}]
    for change in [*beside, {"effective_from": "2026-06-01T00:00:00Z"}]:
        assert api.post(LIST, {**BODY, **change}).status_code == 201
    for start, end in (("2026-05-31T23:59:59Z", None), (None, "2026-01-01T00:00:01Z"), (None, None)):
        refused = api.post(LIST, {**BODY, "model": "GPT-5", "effective_from": start, "effective_until": end})
        assert refused.status_code == 400
        assert f"overlaps {first.version}, in force 2026-01-01 until 2026-06-01" in str(refused.json())


def test_a_version_that_charges_stand_for_can_only_be_ended(api: APIClient) -> None:
    api.post(LIST, BODY)
    price = Price.objects.get()
    url = reverse("api:price-detail", kwargs={"pk": price.pk})
    assert api.patch(url, {"rates": {"input_tokens": "3"}}).status_code == 200
    charged(price)
    changes: tuple[dict[str, Any], ...] = (
        {"rates": {"input_tokens": "4"}},
        {"model": "x"},
        {"effective_from": None},
        {"tiers": {}},
    )
    for change in changes:
        refused = api.patch(url, change)
        assert refused.status_code == 400 and list(refused.json()) == list(change)
        assert "Requests were charged by this version" in str(refused.json())
    assert api.delete(url).status_code == 409
    ended = api.patch(url, {"effective_until": "2027-01-01T00:00:00Z", "note": "over", "context_window": 5})
    assert ended.status_code == 200
    assert api.post(LIST, {**BODY, "effective_from": "2027-01-01T00:00:00Z"}).status_code == 201
    with pytest.raises(ProtectedError):
        Price.objects.get(pk=price.pk).delete()


FILE = """
prices:
  - model: gpt-5
    provider: main
    effective_from: {later}
    rates: {{input_tokens: "3"}}
  - model: gpt-5
    provider: main
    effective_from: 2026-01-01T00:00:00Z
    effective_until: {later}
    rates: {{input_tokens: "2.50", output_tokens: "10"}}
    tiers: {{batch: {{rates: {{input_tokens: "1.25"}}}}}}
"""


def test_a_file_makes_versions_and_a_second_run_none() -> None:
    file = FILE.format(later="2026-06-01T00:00:00Z")
    do(file)
    assert [price.rates["input_tokens"] for price in Price.objects.all()] == [25 * 10**8, 3 * 10**9]
    before = list(Price.objects.values())
    do(file)
    do(file.replace("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"))
    assert Price.objects.count() == 2
    do("prices: []")
    assert list(Price.objects.values("rates", "effective_from")) == [
        {name: row[name] for name in ("rates", "effective_from")} for row in before
    ]


def test_pruning_takes_all_but_what_charges_stand_for() -> None:
    do(FILE.format(later="2026-06-01T00:00:00Z"))
    first, second = Price.objects.all()
    charged(first)
    with pytest.raises(Refused, match="cannot be pruned"):
        do("prices: []", prune=True)
    assert Price.objects.count() == 2
    do("prices: [{model: gpt-5, provider: main, effective_from: 2026-01-01T00:00:00Z}]", prune=True)
    assert list(Price.objects.all()) == [first] and second.pk


def test_a_file_with_a_number_for_dollars_names_the_line() -> None:
    before = everything()
    with pytest.raises(Refused, match=r"price m: rates: input_tokens: 0\.1 is no amount") as refused:
        do("prices:\n  - {model: m, rates: {input_tokens: 0.1}}")
    assert [line for line, _ in refused.value.problems] == [3]
    assert everything() == before


def test_text_and_rates_say_the_same() -> None:
    text = "input 2.5, output 10, cache_read 0.25, audio_ms 0.36, requests 0.01"
    told = price_words.read_rates("Input $2.50; output: 10\ncache read=0.25, audio_ms 0.36, requests 0.01")
    assert price_words.write_rates(told) == text and price_words.read_rates(text) == told
    long = "above 128000: input 4\nabove 200000: input 5, output 15"
    assert price_words.write_long(price_words.read_long(long)) == long
    assert price_words.read_long("above 200,000: input 5, output 15\nabove 128_000:input 4") == price_words.read_long(
        long
    )
    tiers = "batch: input 1.25, output 5\nbatch above 200000: input 2.5\npriority: input 5"
    assert price_words.write_tiers(price_words.read_tiers(tiers)) == tiers
    assert price_words.read_rates(" ") == {} and price_words.read_tiers("\n") == {} and price_words.read_long("") == []


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (price_words.read_rates, "input", "write a unit and dollars"),
        (price_words.read_rates, "input 1, input_tokens 2", "twice"),
        (price_words.read_rates, "water 1", "no such unit"),
        (price_words.read_long, "input 5", "such a line"),
        (price_words.read_long, "batch: input 5", "above a number"),
        (price_words.read_long, "batch above 5: input 5", "above a number"),
        (price_words.read_tiers, "above 5: input 5", "begins with the tier"),
        (price_words.read_tiers, "batch above 5: input 5", "one line has its rates"),
        (price_words.read_tiers, "batch: input 5\nbatch: input 6", "one line has its rates"),
    ],
)
def test_text_that_says_nothing_is_refused(reader: Any, text: str, words: str) -> None:
    with pytest.raises(BadAmount, match=words):
        reader(text)


def test_moments_are_whole_seconds() -> None:
    price = Price(model="m", rates={}, effective_from=datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC))
    price.full_clean()
    assert price.effective_from == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValidationError, match="no such unit"):
        Price(model="m", rates={"x": 1}).full_clean()
