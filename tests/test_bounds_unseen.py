"""Bounds where a body does not tell all: references, media, tools of the upstream, service tiers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers import jsonbytes
from routing.bound_tools import BUILT_IN_TOKENS
from routing.bounds import CAP_SLACK, MOST_ROUNDS, bound, demand
from tests.test_bounds import CAPPED, HI, WINDOW, asked, made, put

UNSEEN: dict[str, dict[str, Any]] = {
    "chat": {
        "file": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}],
        "input_audio": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA"}}]}],
        "audio": [{"role": "assistant", "audio": {"id": "audio_1"}}],
        "video_url": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://a"}}]}],
        "messages": {"role": "user"},
    },
    "responses": {
        "item_reference": [{"type": "item_reference", "id": "msg_1"}],
        "reasoning": [{"type": "reasoning", "id": "rs_1", "summary": []}],
        "input_file": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a"}]}],
        "compaction": [{"type": "compaction", "encrypted_content": "AA"}],
        "web_search_call": [{"type": "web_search_call", "id": "ws_1"}],
    },
    "messages": {
        "document": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://a"}}]}],
        "container_upload": [{"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}],
        "tool_reference": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "tool_reference"}]}]}],
        "unheard_of": [{"role": "user", "content": [{"type": "unheard_of"}]}],
    },
    "generate": {
        "fileData": [{"parts": [{"fileData": {"fileUri": "https://a"}}]}],
        "inlineData": [{"parts": [{"inlineData": {"mimeType": "application/pdf", "data": "AA"}}]}],
    },
}  # fmt: skip
CASES = [(endpoint, name, value) for endpoint, cases in UNSEEN.items() for name, value in cases.items()]


@pytest.mark.parametrize(("endpoint", "name", "value"), CASES, ids=[name for _, name, _ in CASES])
def test_what_cannot_be_seen_is_as_long_as_may_be(endpoint: str, name: str, value: Any) -> None:
    doc = {{"responses": "input", "generate": "contents"}.get(endpoint, "messages"): value}
    found = asked(endpoint, put(doc, CAPPED[endpoint][1], 100))
    assert found.hidden == name and found.unbounded == ()
    assert bound(found, endpoint, WINDOW).units.input_tokens == WINDOW
    assert bound(found, endpoint, 0).unbounded == (name,)
    assert "input_audio_tokens" not in found.without


def test_pictures_count_by_the_piece_and_not_by_their_data() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 500_000}}
    doc = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, picture, picture]}],
        "max_tokens": 9,
    }
    found = asked("chat", doc)
    assert (found.pictures, found.hidden) == (2, "") and found.text < 500
    assert bound(found, "chat", 1_000_000).units.input_tokens < 110_000
    assert bound(found, "messages", 1_000_000).units.input_tokens < 15_000
    assert bound(found, "chat", 64_000).units.input_tokens == 64_000


def test_what_only_its_maker_can_read_may_be_longer_than_it_is() -> None:
    block = {"type": "thinking", "thinking": "", "signature": "A" * 10_000}
    doc = {"messages": [{"role": "assistant", "content": [block]}], "max_tokens": 9}
    assert asked("messages", doc).text > 40_000


def test_what_is_longer_than_the_window_is_refused_by_the_upstream_or_the_window_is_wrong() -> None:
    doc = {"messages": [{"role": "user", "content": "a" * 100_000}], "max_tokens": 9}
    assert bound(asked("chat", doc), "chat", 50_000).units.input_tokens == 50_000
    assert bound(asked("chat", doc), "chat", 8_000).units.input_tokens > 25_000
    assert 100_000 < bound(asked("chat", doc), "chat", 0).units.input_tokens < 110_000


# ---------------------------------------------------------------- tools, tiers, parts

REFUSED = [
    ("chat", {"tools": [{"type": "openrouter:web_search"}]}),
    ("chat", {"tools": "all"}),
    ("responses", {"tools": [{"type": "mcp", "server_url": "https://a"}]}),
    ("responses", {"tools": [{"type": "image_generation"}]}),
    ("responses", {"tools": [{"type": "tool_search"}]}),
    ("responses", {"tools": [{"type": "namespace", "tools": [{"type": "web_search"}]}]}),
    ("responses", {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]}),
    ("messages", {"tools": [{"type": "code_execution_20250522", "name": "a"}]}),
    ("messages", {"tools": [{"type": "advisor_20260301", "name": "a"}]}),
    ("generate", {"tools": [{"googleSearch": {}}]}),
    ("generate", {"tools": [{"functionDeclarations": [], "codeExecution": {}}]}),
]


@pytest.mark.parametrize(("endpoint", "more"), REFUSED)
def test_tools_of_the_upstream_without_a_cap_have_no_bound(endpoint: str, more: dict[str, Any]) -> None:
    doc, path = CAPPED[endpoint]
    found = asked(endpoint, {**put(doc, path, 10), **more})
    assert bound(found, endpoint, WINDOW, uses=1).unbounded == ("tools",)


def test_tools_of_the_client_are_text_and_some_bring_words_of_the_upstream() -> None:
    plain = asked("messages", {"messages": HI, "max_tokens": 9, "tools": [{"name": "a", "input_schema": {}}]})
    built_in = asked("messages", {"messages": HI, "max_tokens": 9, "tools": [{"name": "a", "type": "bash_20250124"}]})
    assert plain.unbounded == built_in.unbounded == () and built_in.text > plain.text + BUILT_IN_TOKENS // 2


def test_a_search_for_tools_is_the_clients_or_ends_with_the_upstreams_rounds() -> None:
    found = asked("responses", {"input": "Hi", "tools": [{"type": "tool_search", "execution": "client"}]})
    assert found.unbounded == () and found.served == ()
    doc = {"messages": HI, "max_tokens": 9, "tools": [{"type": "tool_search_tool_bm25_20251119", "name": "a"}]}
    bounds = bound(asked("messages", doc), "messages", WINDOW)
    assert bounds.unbounded == () and bounds.units.input_tokens == MOST_ROUNDS["messages"] * WINDOW


@pytest.mark.parametrize(
    ("endpoint", "told", "tiers"),
    [
        ("chat", {}, None),
        ("chat", {"service_tier": "auto"}, None),
        ("chat", {"service_tier": "default"}, ()),
        ("chat", {"service_tier": "flex"}, ("flex",)),
        ("chat", {"service_tier": 7}, None),
        ("messages", {}, ("priority",)),
        ("messages", {"service_tier": "standard_only"}, ()),
        ("messages", {"speed": "fast", "service_tier": "standard_only"}, ("fast",)),
        ("generate", {}, ()),
        ("generate", {"serviceTier": "PRIORITY"}, ("priority",)),
    ],
)
def test_tiers_that_a_request_may_be_given(endpoint: str, told: dict[str, Any], tiers: Any) -> None:
    doc, path = CAPPED[endpoint]
    found = asked(endpoint, {**put(doc, path, 10), **told})
    assert bound(found, endpoint, WINDOW).tiers == tiers
    assert bound(found, "cohere", WINDOW).tiers is None  # translated: the upstream's own default


def test_parts_that_a_request_cannot_have() -> None:
    doc = {"messages": HI, "max_tokens": 9}
    plain = bound(asked("messages", doc), "messages", WINDOW).without
    assert {"cache_write_tokens", "cache_write_1h_tokens", "input_image_tokens"} <= plain
    assert "cache_write_tokens" not in bound(asked("messages", doc), "chat", WINDOW).without
    cached = asked("messages", {**doc, "cache_control": {"type": "ephemeral"}}).without
    assert "cache_write_1h_tokens" in cached and "cache_write_tokens" not in cached
    assert "cache_write_1h_tokens" not in asked("messages", {**doc, "cache_control": {"ttl": "1h"}}).without
    body = orjson.dumps(doc)[:-1] + b',"cache_c\\u006fntrol":{"ttl":"\\u0031h"}}'
    assert "cache_write_1h_tokens" not in demand("messages", jsonbytes.parse(body), body).without


def test_models_that_search_unasked_have_no_bound() -> None:
    found = asked("chat", {"messages": HI, "max_tokens": 9})
    for model in ("gpt-4o-search-preview", "perplexity/sonar-deep-research", "openai/gpt-4o:online", "groq/compound"):
        assert bound(found, "chat", WINDOW, model=model).unbounded == ("model",)
    assert bound(found, "chat", WINDOW, model="gpt-4o").unbounded == ()


def test_what_a_candidate_shows_comes_on_top_of_its_cap() -> None:
    config = {"maxOutputTokens": 10, "candidateCount": 2, "responseModalities": ["TEXT"]}
    assert made("generate", {"contents": [], "generationConfig": config}) == 2 * (10 + CAP_SLACK)
    config["responseModalities"] = ["TEXT", "IMAGE"]
    assert made("generate", {"contents": [], "generationConfig": config}) > 100_000


def test_fields_that_decide_stand_once() -> None:
    body = b'{"messages":[],"max_tokens":9,"service_tier":"flex","service_tier":"default"}'
    assert demand("chat", orjson.loads(body), body).unbounded == ("service_tier",)
    for first in (b'"messages"', b'"m\\u0065ssages"'):
        body = b'{%s:[{"role":"user","content":[{"type":"file"}]}],"max_tokens":9,"messages":[]}' % first
        assert demand("chat", orjson.loads(body), body).unbounded == ("messages",)
    body = b'{"max_tokens":9,"messages":[],"metadata":{"messages":"a"}}'
    assert demand("chat", orjson.loads(body), body).unbounded == ()


# ---------------------------------------------------------------- media


def test_sound_is_as_long_as_its_size_lets_it_be() -> None:
    wave = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0" + (32_000).to_bytes(4, "little")
    for content, most in (
        (b"ID3" + bytes(60_000), 61_000),
        (b"\xff\xfb" + bytes(60_000), 61_000),
        (wave + bytes(64_000), 2_100),
    ):
        bounds = transcribed(content)
        assert bounds.unbounded == () and most * 0.9 < bounds.units.counted["audio_ms"] < most
    for content in (b"OggS" + bytes(60_000), b"fLaC", wave[:-4] + bytes(4)):
        assert transcribed(content).unbounded == ("file",)


def transcribed(content: bytes) -> Any:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + content + b"\r\n--b--\r\n"
    return bound(demand("audio.transcriptions", {}, form, "multipart/form-data; boundary=b"), "audio", 16_000)


def test_things_that_are_counted() -> None:
    pictures = asked("images.generations", {"prompt": "Hi", "n": 3, "size": "1024x1024"})
    assert pictures.counted == {"images": 3} and pictures.cap is not None and pictures.cap > 3 * 4_160
    spoken = asked("audio.speech", {"input": "Grüße", "voice": "a"})
    assert spoken.counted["characters"] == 7
    ranked = asked("rerank", {"query": "Hi", "documents": ["a"] * 101})
    assert ranked.counted == {"rerank_searches": 2}
