"""Bounds of what a request can use: caps, tools, what cannot be seen, and what is put in where nothing is said."""

from __future__ import annotations

import json
import timeit
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import bound_fields, bound_generate, bound_media
from routing.bound_demand import Demand
from routing.bound_splice import changes, written
from routing.bounds import CAP_SLACK, LONGEST_OUTPUT, MOST_ROUNDS, bound, demand, fitting
from routing.call import UNMETERED
from routing.paths import TABLE
from tenants.pricing import Price, Rates, Tariff
from tenants.units import MOST_UNITS, checked
from tenants.worst_case import worst_case

WINDOW = 200_000
ENDPOINTS = (*bound_generate.READERS, *bound_media.READERS)
APIS = {name: name.partition(".")[0] for name in ENDPOINTS} | {"unified": "chat", "moderations": "moderation"}
HI = [{"role": "user", "content": "Hi"}]
#: Endpoint -> the least request, and where its cap stands.
CAPPED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "chat": ({"model": "m", "messages": HI}, ("max_tokens",)),
    "unified": ({"model": "m", "messages": HI}, ("max_tokens",)),
    "completions": ({"model": "m", "prompt": "Hi"}, ("max_tokens",)),
    "responses": ({"model": "m", "input": "Hi"}, ("max_output_tokens",)),
    "messages": ({"model": "m", "messages": HI}, ("max_tokens",)),
    "generate": ({"contents": [{"parts": [{"text": "Hi"}]}]}, ("generationConfig", "maxOutputTokens")),
}


def asked(endpoint: str, doc: dict[str, Any]) -> Demand:
    return demand(endpoint, doc, json.dumps(doc, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace"))


def made(endpoint: str, doc: dict[str, Any], **known: Any) -> int:
    return bound(asked(endpoint, doc), APIS[endpoint], WINDOW, **known).units.output_tokens


def at(doc: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        doc = doc.get(name) if isinstance(doc, dict) else None
    return doc


def put(doc: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**doc, path[0]: value}
    return {**doc, path[0]: put(doc.get(path[0], {}), path[1:], value)}


# ---------------------------------------------------------------- every endpoint, every body


def test_every_endpoint_is_bounded_or_uses_nothing() -> None:
    rows = [row for paths in TABLE.values() for resource in paths.values() for row in resource.methods.values()]
    names = {endpoint.name for _, endpoint in rows} - {"models"}
    assert names | {"unified"} == {*ENDPOINTS, *UNMETERED}
    assert set(bound_fields.KNOWN) == set(ENDPOINTS)
    for name in UNMETERED:
        found = bound(demand(name, {"a": 1}, b"{}"), "chat", 0)
        assert found.unbounded == () and found.units.count("requests") == found.units.input_tokens == 0
    assert bound(demand("new", {}, b"{}"), "chat", 0).unbounded == ("endpoint",)


_NAMES = sorted(
    {name for names in bound_fields.KNOWN.values() for name in names} | {"type", "content", "parts", "role"}
)
_INNER = (
    "type",
    "content",
    "source",
    "data",
    "max_uses",
    "tools",
    "edits",
    "mode",
    "url",
    "maxOutputTokens",
    "candidateCount",
)
_KINDS = (
    "text",
    "image",
    "image_url",
    "document",
    "function",
    "web_search",
    "web_search_20250305",
    "reasoning",
    "namespace",
)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
_VALUES = st.recursive(
    _LEAVES | st.sampled_from(_KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_INNER), inner, max_size=4),
    max_leaves=8,
)
_DOCS = st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=5), _VALUES, max_size=6)
PRICE = Price("p", {"": Tariff(Rates({"input_tokens": 10**9, "output_tokens": 4 * 10**9}))})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(ENDPOINTS), _DOCS, st.sampled_from([0, 8_000, WINDOW]), st.sampled_from(["", "multipart/form-data"])
)
def test_no_body_breaks_it(endpoint: str, doc: dict[str, Any], window: int, content_type: str) -> None:
    body = json.dumps(doc).encode()
    found = demand(endpoint, doc, body, content_type)
    for api in (APIS[endpoint], "messages", "generate"):
        for kind in ("openai", "openrouter"):
            bounds = bound(found, api, window, kind=kind)
            assert checked(bounds.units).input_tokens <= MOST_UNITS
            assert all(type(count) is int and count >= 0 for count in bounds.units.counted.values())
            assert all(isinstance(name, str) for name in bounds.unbounded)
    changed = changes(found, doc, cap=500, uses=3)
    assert all(isinstance(name, str) for name in changed)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CAPPED)), _DOCS, st.integers(1, 10**7), st.integers(0, 10**7), st.integers(1, 50))
def test_more_is_never_less(endpoint: str, more: dict[str, Any], cap: int, rest: int, times: int) -> None:
    doc, path = CAPPED[endpoint]
    number = {"generate": ("generationConfig", "candidateCount")}.get(endpoint, ("n",))
    doc = {name: value for name, value in more.items() if name not in (*path[:1], "max_completion_tokens", "n")} | doc
    small, large = put(doc, path, cap), put(doc, path, cap + rest)
    assert made(endpoint, small) <= made(endpoint, large)
    if endpoint not in ("responses", "messages"):
        assert made(endpoint, put(small, number, times)) <= made(endpoint, put(small, number, times + 1))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(CAPPED)), st.text(max_size=400))
def test_a_longer_text_has_no_lower_bound(endpoint: str, text: str) -> None:
    doc, _ = CAPPED[endpoint]
    name = next(name for name in doc if name != "model")
    turn = {"role": "user", "parts": [{"text": text}]} if endpoint == "generate" else {"role": "user", "content": text}
    found = [asked(endpoint, {**doc, name: [turn] * number}).text for number in (1, 2)]
    assert len(text.encode()) <= found[0] < found[1]


# ---------------------------------------------------------------- caps


@pytest.mark.parametrize("endpoint", CAPPED)
def test_what_is_generated_is_capped_by_the_body(endpoint: str) -> None:
    doc, path = CAPPED[endpoint]
    assert asked(endpoint, doc).cap is None
    assert made(endpoint, doc) == max(WINDOW, LONGEST_OUTPUT)
    assert made(endpoint, put(doc, path, 100)) == 100 + CAP_SLACK == made(endpoint, put(doc, path, 99.5))
    voids: list[Any] = [None, "100", True, -1, [], {}, [100]]
    for void in voids:
        assert asked(endpoint, put(doc, path, void)).cap is None
    assert bound(asked(endpoint, doc), APIS[endpoint], 0).unbounded
    assert made(endpoint, doc, most_output=4_096) == 4_096


def test_of_two_caps_the_greater_counts() -> None:
    doc = {"messages": HI, "max_tokens": 10, "max_completion_tokens": 500}
    assert made("chat", doc) == 500 + CAP_SLACK
    assert asked("chat", {**doc, "max_tokens": -1}).cap is None  # which of them counts?
    assert changes(asked("chat", {**doc, "max_tokens": -1}), {**doc, "max_tokens": -1}, cap=9) == {
        "max_tokens": 9,
        "max_completion_tokens": 9,
    }
    config = {"generationConfig": {"maxOutputTokens": 10}, "generation_config": {"max_output_tokens": 700}}
    assert made("generate", {"contents": [], **config}) == 700 + CAP_SLACK


def test_a_cap_that_the_upstream_does_not_know_is_none() -> None:
    lacks = frozenset(("max_completion_tokens",))
    doc = {"messages": HI, "max_completion_tokens": 10}
    assert made("chat", doc, lacks=lacks) == WINDOW
    assert made("chat", doc, lacks=lacks, cap=300) == 10 + CAP_SLACK
    assert made("chat", {"messages": HI, "max_tokens": 10}, lacks=lacks) == 10 + CAP_SLACK
    assert changes(asked("chat", doc), doc, cap=300, lacks=lacks) == {"max_tokens": 10}


def test_reasoning_may_pass_a_cap_where_vendors_are_known_for_it() -> None:
    doc = {"messages": HI, "max_tokens": 10}
    assert made("chat", doc, kind="openrouter") == 10 + WINDOW
    assert bound(asked("chat", doc), "chat", 0, kind="openai-compatible").unbounded == ("max_tokens",)
    assert made("chat", doc, kind="vllm") == 10 + CAP_SLACK


def test_prompts_multiply_what_is_generated() -> None:
    doc = {"prompt": ["a", "b", "c"], "n": 2, "best_of": 5, "max_tokens": 100}
    assert made("completions", doc) == 15 * (100 + CAP_SLACK)
    assert made("completions", {**doc, "prompt": [1, 2, 3]}) == 5 * (100 + CAP_SLACK)
    assert made("completions", {**doc, "max_tokens": 0}) == 0


TWICE = {
    "generate": b'{"contents":[],"generationConfig":{"maxOutputTokens":9000,"maxOutputTokens":10}}',
    "messages": b'{"max_tokens":9,"tools":[{"type":"web_search_20250305","max_uses":99,"max_uses":1}]}',
    "completions": b'{"prompt":"a","max_tokens":9,"best_of":9,"best_of":1}',
}


@pytest.mark.parametrize("endpoint", TWICE)
def test_what_stands_twice_has_no_bound(endpoint: str) -> None:
    body = TWICE[endpoint]
    assert demand(endpoint, orjson.loads(body), body).unbounded
    spelled = body.replace(b'"maxOutputTokens":10', b'"max\\u004futputTokens":10')
    assert demand(endpoint, orjson.loads(spelled), spelled).unbounded
    once = orjson.dumps(orjson.loads(body))
    assert demand(endpoint, orjson.loads(once), once).unbounded == ()


# ---------------------------------------------------------------- what is put in


@pytest.mark.parametrize("endpoint", CAPPED)
@pytest.mark.parametrize("void", [..., None, "7", -1], ids=str)
def test_a_cap_is_put_in_where_there_is_none(endpoint: str, void: Any) -> None:
    doc, path = CAPPED[endpoint]
    doc = doc if void is ... else put(doc, path, void)
    body = json.dumps(doc, indent=1).encode()
    found = demand(endpoint, doc, body)
    new = written(body, doc, changes(found, doc, cap=300))
    assert orjson.loads(new) == put(doc, path, 300)
    assert asked(endpoint, orjson.loads(new)).cap == 300
    assert made(endpoint, orjson.loads(new)) == bound(found, APIS[endpoint], WINDOW, cap=300).units.output_tokens
    assert changes(asked(endpoint, orjson.loads(new)), orjson.loads(new), cap=5) == {}


def test_the_name_of_a_chat_cap_is_the_one_that_the_model_knows() -> None:
    doc = {"messages": HI, "max_tokens": -1}
    found = asked("chat", doc)
    assert changes(found, {"messages": HI}, cap=9, model="gpt-5-mini") == {"max_completion_tokens": 9}
    assert changes(found, {"messages": HI}, cap=9, model="llama-3") == {"max_tokens": 9}
    assert changes(found, doc, cap=9, model="openai/o3") == {"max_tokens": 9}


def test_a_gemini_cap_is_put_beside_what_is_configured() -> None:
    doc = {"contents": [], "generation_config": {"temperature": 0.5}}
    assert changes(asked("generate", doc), doc, cap=9) == {
        "generation_config": {"temperature": 0.5, "maxOutputTokens": 9}
    }


def test_uses_of_search_are_put_in_where_nothing_caps_them() -> None:
    tools: list[dict[str, Any]] = [
        {"type": "web_search_20250305", "name": "a"},
        {"name": "f"},
        {"type": "web_fetch_20250910", "max_uses": 2},
    ]
    doc = {"messages": HI, "max_tokens": 10, "tools": tools}
    found = asked("messages", doc)
    assert bound(found, "messages", WINDOW).unbounded == ("tools",)
    bounds = bound(found, "messages", WINDOW, uses=3)
    assert bounds.unbounded == () and bounds.units.counted == {"web_searches": 3}
    assert bounds.units.input_tokens == MOST_ROUNDS["messages"] * WINDOW
    new = changes(found, doc, uses=3)
    assert new == {"tools": [{**tools[0], "max_uses": 3}, *tools[1:]]}
    assert bound(asked("messages", doc | new), "messages", WINDOW) == bounds
    assert bound(found, "chat", WINDOW, uses=3).unbounded == ("tools",)  # translated


def test_calls_of_hosted_tools_are_put_in_where_nothing_caps_them() -> None:
    doc = {"input": "Hi", "max_output_tokens": 10, "tools": [{"type": "web_search"}, {"type": "file_search"}]}
    found = asked("responses", doc)
    assert bound(found, "responses", WINDOW).unbounded == ("tools",)
    assert changes(found, doc, uses=4) == {"max_tool_calls": 4}
    bounds = bound(found, "responses", WINDOW, uses=4)
    assert bound(asked("responses", doc | {"max_tool_calls": 4}), "responses", WINDOW) == bounds
    assert bounds.units.counted == {"web_searches": 4, "storage_searches": 4}
    assert bounds.units.output_tokens == 10 + CAP_SLACK  # of the whole reply


def test_the_cap_that_fits_costs_no_more_than_there_is() -> None:
    doc = {"messages": HI}
    found = asked("chat", doc)
    bounded = partial(lambda cap: bound(found, "chat", WINDOW, cap=cap))
    for money in (0, 10**6, 10**7, 10**8, 10**10):
        cap = fitting(PRICE, money, bounded, 50_000)
        assert cap == 0 or 256 <= cap <= 50_000
        most = worst_case(PRICE, bounded(cap or 256).units)
        assert (most <= money) == bool(cap)
        assert cap in (0, 50_000) or worst_case(PRICE, bounded(cap + 2).units) > money


# ---------------------------------------------------------------- speed


def test_a_plain_request_takes_microseconds() -> None:
    doc = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief. " * 60},
            {"role": "user", "content": "hello world " * 100},
        ],
        "max_tokens": 100,
        "temperature": 0.2,
        "stream": True,
    }
    body = orjson.dumps(doc)
    number = 100  # few at a time, so that some run undisturbed
    runs = timeit.repeat(lambda: bound(demand("chat", doc, body), "chat", 128_000), number=number, repeat=200)
    print(f"\ndemand and bound: {min(runs) / number * 1e6:.1f} µs for {len(body)} bytes")
    assert min(runs) / number < 100e-6
