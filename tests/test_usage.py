"""Counts of tokens that no upstream can mean, and what Cohere charges for."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from providers.dialects import UPSTREAMS
from providers.events import Used
from providers.usage import MOST, Usage, of_anthropic, of_cohere, of_converse, of_gemini, of_ollama, of_openai
from tests.dialect_shapes import said
from tests.upstream_replies import replied

GARBAGE = [2**53 + 1, 2**70, 1e300, float("inf"), float("nan"), -1, "7", True, None, [], {}]


@pytest.mark.parametrize("value", GARBAGE)
def test_counts_that_are_none_are_not_counted(value: Any) -> None:
    read = (
        of_openai({"prompt_tokens": value, "completion_tokens": value}),
        of_anthropic({"input_tokens": value, "output_tokens": value}),
        of_gemini({"promptTokenCount": value, "candidatesTokenCount": value}),
        of_converse({"inputTokens": value, "outputTokens": value, "cacheReadInputTokens": value}),
        of_ollama({"prompt_eval_count": value, "eval_count": value}),
        of_cohere({"billed_units": {"input_tokens": value}, "tokens": {"output_tokens": value}}),
    )
    assert set(map(str, read)) == {str(Usage())}


def test_the_greatest_count_can_be_written() -> None:
    usage = of_converse({"inputTokens": MOST, "outputTokens": MOST, "cacheReadInputTokens": MOST})
    assert (usage.input_tokens, usage.output_tokens) == (2 * MOST, MOST)
    assert json.loads(orjson.dumps(usage.input_tokens)) == 2**54


def test_output_alone_makes_no_input() -> None:
    assert of_openai({"completion_tokens": 5}) == Usage(0, 5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"billed_units": {"input_tokens": 70, "output_tokens": 5}, "cached_tokens": 704}, Usage(70, 5)),
        ({"tokens": {"input_tokens": 800, "output_tokens": 5}, "cached_tokens": 704}, Usage(800, 5, 704)),
        ({"tokens": {"input_tokens": 8}, "cached_tokens": 704}, Usage(8, 0, 8)),
        ({"billed_units": {"images": 1}, "tokens": {"input_tokens": 8}}, Usage(8)),
        ({"billed_units": {"output_tokens": 4}, "tokens": {"input_tokens": 8}}, Usage(0, 4)),
    ],
)
def test_what_cohere_charges_for_is_what_counts(usage: dict[str, Any], expected: Usage) -> None:
    assert of_cohere(usage) == expected


@pytest.mark.parametrize("upstream", ["ollama", "bedrock", "cohere"])
def test_recorded_replies_tell_usage_that_adds_up(upstream: str) -> None:
    told = 0
    for each in replied(upstream):
        events = each.events(upstream)
        usage = said(events).usage
        if usage is None:
            continue
        told += any(isinstance(event, Used) for event in events)
        assert 0 <= usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens, each.id
    assert told and upstream in UPSTREAMS
