"""What replies tell that has a price of its own."""

from __future__ import annotations

from typing import Any

import pytest

from providers.billed import NOTHING, Billed, read_billed
from tenants.units import COUNTED, TOKENS
from tests import recordings
from tests.test_price_recordings import APIS, documents

GARBAGE = [2**53 + 1, 1e300, float("nan"), -1, "7", True, None, [], {}]


@pytest.mark.parametrize(
    ("api", "doc", "expected"),
    [
        (
            "messages",
            {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 5, "ephemeral_5m_input_tokens": 2}}},
            Billed({"cache_write_1h_tokens": 5}),
        ),
        (
            "messages",
            {"usage": {"server_tool_use": {"web_search_requests": 2}, "service_tier": "standard", "speed": "fast"}},
            Billed({}, {"web_searches": 2}, "fast"),
        ),
        ("messages", {"usage": {"service_tier": "batch"}}, Billed(tier="batch")),
        (
            "generate",
            {
                "usageMetadata": {
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 1},
                        {"modality": "IMAGE", "tokenCount": 2},
                        {"modality": "DOCUMENT", "tokenCount": 3},
                        {"modality": "AUDIO", "tokenCount": 4},
                    ],
                    "toolUsePromptTokensDetails": [{"modality": "VIDEO", "tokenCount": 7}],
                    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 9}],
                    "serviceTier": "PRIORITY",
                }
            },
            Billed(
                {
                    "input_image_tokens": 5,
                    "input_audio_tokens": 4,
                    "input_video_tokens": 7,
                    "cache_read_audio_tokens": 3,
                    "output_image_tokens": 9,
                },
                {},
                "priority",
            ),
        ),
        (
            "converse",
            {
                "metadata": {
                    "usage": {"cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 2}]}
                }
            },
            Billed({"cache_write_1h_tokens": 4}),
        ),
        ("converse", {"usage": {"inputTokens": 1}, "serviceTier": {"type": "flex"}}, Billed(tier="flex")),
        ("chat", {"usage": {"prompt_tokens": 1}, "service_tier": "default"}, Billed()),
        ("responses", {"usage": {"input_tokens": 1}, "service_tier": "priority"}, Billed(tier="priority")),
        (
            "images",
            {"usage": {"input_tokens_details": {"image_tokens": 3}, "output_tokens_details": {"image_tokens": 4}}},
            Billed({"input_image_tokens": 3, "output_image_tokens": 4}),
        ),
        ("audio", {"usage": {"type": "duration", "seconds": 7.0004}}, Billed({}, {"audio_ms": 7001})),
        (
            "chat",
            {"usage": {"citation_tokens": 5, "num_search_queries": 3}},
            Billed({"citation_tokens": 5}, {"web_searches": 3}),
        ),
    ],
)
def test_each_api_tells_it_in_its_own_way(api: str, doc: dict[str, Any], expected: Billed) -> None:
    assert read_billed(api, doc) == expected


def test_the_later_of_two_events_wins_name_by_name() -> None:
    start = {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 5}, "service_tier": "priority"}}
    end = {"usage": {"output_tokens": 9, "server_tool_use": {"web_search_requests": 1}}}
    known = read_billed("messages", start)
    assert read_billed("messages", end, known) == Billed({"cache_write_1h_tokens": 5}, {"web_searches": 1}, "priority")
    assert read_billed("messages", {"type": "ping"}, known) is known
    assert read_billed("messages", {"type": "ping"}) is None


@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize("api", ["messages", "generate", "converse", "chat", "audio"])
def test_what_is_no_count_is_not_counted(api: str, value: Any) -> None:
    name = "usageMetadata" if api == "generate" else "usage"
    tier = "" if value == "7" else value
    deep = {
        "cache_creation": {"ephemeral_1h_input_tokens": value},
        "server_tool_use": {"web_search_requests": value},
        "cacheDetails": [{"ttl": "1h", "inputTokens": value}, value],
        "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": value}, {"modality": value}, value],
        "prompt_tokens_details": {"image_tokens": value, "cached_tokens_details": value},
        "seconds": value,
        "serviceTier": tier,
        "service_tier": tier,
    }
    flat = dict.fromkeys((*deep, "completion_tokens_details", "cacheTokensDetails", "citation_tokens"), value) | {
        "serviceTier": tier,
        "service_tier": tier,
    }
    for usage in (deep, flat):
        assert read_billed(api, {name: usage, "service_tier": tier, "serviceTier": tier}) == Billed()
    assert read_billed(api, {name: value, "metadata": value}) in (None, Billed())


def test_what_recordings_tell_are_names_that_have_prices() -> None:
    names, counted = set[str](), set[str]()
    for recording in recordings.require():
        if recording.api in APIS and recording.status < 300:
            for each in documents(recording):
                found = read_billed(APIS[recording.api][0], each) or Billed()
                names |= set(found.tokens)
                counted |= set(found.counted)
    print(f"\n{sorted(names)} {sorted(counted)}")
    assert {"cache_write_1h_tokens", "cache_read_audio_tokens", "input_image_tokens"} <= names <= set(TOKENS)
    assert {"web_searches"} <= counted <= set(COUNTED)


def test_what_most_replies_share_stays_empty() -> None:
    plain = {"usage": {"prompt_tokens": 3}, "service_tier": "default"}
    assert read_billed("chat", plain) is NOTHING
    told = read_billed("chat", {**plain, "service_tier": "flex"}, NOTHING)
    assert told == Billed(tier="flex") and read_billed("chat", plain, told) == told
    assert Billed() == NOTHING
