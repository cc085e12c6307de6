"""Gemini and Claude at Vertex AI: addresses, and the body's model and version."""

from __future__ import annotations

import json

import pytest

from providers.light import Header
from providers.upstream import Upstream
from providers.urls import join
from providers.variants import Variant, Wire
from providers.variants.vertex import ANTHROPIC, GEMINI

BASE = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west1"
UPSTREAM = Upstream(1, "vertex", "vertex", BASE, frozenset({"generate"}))
HEADERS: list[Header] = [(b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", b"x")]  # fmt: skip


def address(wire: Wire, base_url: str = BASE) -> str:
    found = join(base_url, wire.path).removeprefix(base_url)
    return f"{found}?{wire.query.decode()}" if wire.query else found


def sent(
    variant: Variant, path: str, model: str, body: bytes = b"{}", stream: bool = False, query: bytes = b""
) -> Wire:
    return variant.request(UPSTREAM, Wire(path, query, HEADERS, body), model, stream)


# ---------------------------------------------------------------- Gemini


@pytest.mark.parametrize("action", ["generateContent", "streamGenerateContent", "countTokens", "embedContent"])
@pytest.mark.parametrize("version", ["v1beta", "/v1beta", "v1", "v1alpha"])
def test_gemini_is_a_model_of_google(version: str, action: str) -> None:
    body = b'{ "contents" :[]}'
    wire = sent(GEMINI, f"{version}/models/gemini-2.5-pro:{action}", "gemini-2.5-pro", body, query=b"alt=sse")
    assert address(wire) == f"/publishers/google/models/gemini-2.5-pro:{action}?alt=sse"
    assert wire.body is body and wire.headers is HEADERS


def test_a_tuned_model_is_an_endpoint_of_the_project() -> None:
    wire = sent(GEMINI, "v1beta/models/endpoints%2F12345:generateContent", "endpoints/12345")
    assert address(wire) == "/endpoints/12345:generateContent"


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("../../evil", "..%2F..%2Fevil"),
        ("endpoints/../../x", "endpoints%2F..%2F..%2Fx"),
        ("a:b?c", "a%3Ab%3Fc"),
        ("projects/x/y", "projects%2Fx%2Fy"),
    ],
)
def test_a_model_cannot_leave_its_place(model: str, quoted: str) -> None:
    for variant, path in ((GEMINI, f"v1beta/models/{quoted}:generateContent"), (ANTHROPIC, "v1/messages")):
        segments = address(sent(variant, path, model)).split("/")
        assert segments[-1].startswith(f"{quoted}:") and len(segments) == 5


def test_other_gemini_paths_are_left_alone() -> None:
    wire = Wire("v1beta/models", b"", [], b"")
    assert GEMINI.request(UPSTREAM, wire, "", False) is wire


@pytest.mark.parametrize(
    "base_url", [BASE, f"{BASE}/", BASE.replace("/v1/", "/v1beta1/"), BASE.replace("europe-west1", "global")]
)
def test_the_address_joins_by_whole_segments(base_url: str) -> None:
    wire = sent(GEMINI, "v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro")
    assert (
        join(base_url, wire.path) == f"{base_url.rstrip('/')}/publishers/google/models/gemini-2.5-pro:generateContent"
    )


# ---------------------------------------------------------------- Claude


@pytest.mark.parametrize(("stream", "action"), [(False, "rawPredict"), (True, "streamRawPredict")])
def test_claude_is_a_model_of_anthropic(stream: bool, action: str) -> None:
    body = b'{"max_tokens": 5,\n "model":"claude-opus-4-1@20250805" , "stream":true, "messages":[{"model":"x"}]}'
    wire = sent(ANTHROPIC, "/v1/messages", "claude-opus-4-1@20250805", body, stream, b"beta=true")
    assert address(wire) == f"/publishers/anthropic/models/claude-opus-4-1@20250805:{action}"
    assert (
        wire.body
        == b'{"anthropic_version":"vertex-2023-10-16","max_tokens": 5,\n "stream":true, "messages":[{"model":"x"}]}'
    )
    assert wire.headers == [HEADERS[0], HEADERS[2]]


def test_the_body_may_hold_nothing_else() -> None:
    assert json.loads(sent(ANTHROPIC, "v1/messages", "m", b'{"model":"m"}').body) == {
        "anthropic_version": "vertex-2023-10-16"
    }
    assert json.loads(sent(ANTHROPIC, "v1/messages", "m", b"{}").body) == {"anthropic_version": "vertex-2023-10-16"}


def test_a_version_in_the_body_is_the_clients_own() -> None:
    body = b'{"anthropic_version":"vertex-x","model":"m"}'
    assert sent(ANTHROPIC, "v1/messages", "m", body).body == b'{"anthropic_version":"vertex-x"}'


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (b"2023-06-01", "vertex-2023-10-16"),
        (b"2023-01-01", "vertex-2023-10-16"),
        (b"2026-10-21", "2026-10-21"),
        (b'x"', "vertex-2023-10-16"),
        (None, "vertex-2023-10-16"),
    ],
)
def test_the_header_tells_for_which_version_a_request_was_written(asked: bytes | None, told: str) -> None:
    headers = [] if asked is None else [(b"anthropic-version", asked)]
    wire = ANTHROPIC.request(UPSTREAM, Wire("v1/messages", b"", headers, b'{"model":"m"}'), "m", False)
    assert json.loads(wire.body) == {"anthropic_version": told}
    assert wire.headers == []


def test_counting_has_a_path_of_its_own_and_keeps_the_model() -> None:
    body = b'{"model":"claude-x","messages":[]}'
    wire = sent(ANTHROPIC, "v1/messages/count_tokens", "claude-x", body)
    assert address(wire) == "/publishers/anthropic/models/count-tokens:rawPredict"
    assert wire.body == b'{"anthropic_version":"vertex-2023-10-16","model":"claude-x","messages":[]}'


def test_other_claude_paths_are_left_alone() -> None:
    wire = Wire("v1/messages/batches", b"", HEADERS, b"{}")
    assert ANTHROPIC.request(UPSTREAM, wire, "m", False) is wire
