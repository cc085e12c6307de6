"""Every byte of a same-dialect exchange, over raw sockets: what the upstream is asked, what the client gets, what is stored."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import replay
from tests.live import KEY, SERVERS, Gateway, Upstream, prepare, replay_upstream, serve
from tests.recorded_usage import Tokens, expected
from tests.recordings import Json, Recording, require
from tests.test_sdk_conformance import mapped_status
from tests.wire import Reply, exchange

AUTH = {
    "openai": {"authorization": f"Bearer {KEY}"},
    "anthropic": {"x-api-key": KEY},
    "gemini": {"x-goog-api-key": KEY},
}
SENT_AUTH = {
    "openai": ("authorization", f"Bearer {replay.SECRET}"),
    "anthropic": ("x-api-key", replay.SECRET),
    "gemini": ("x-goog-api-key", replay.SECRET),
    "azure-openai": ("api-key", replay.SECRET),
    "ollama": None,
    "openrouter": ("authorization", f"Bearer {replay.SECRET}"),
}
#: Who tells the usage of a chat stream without being asked, so that nothing is added to the request.
NATIVE_USAGE = frozenset({"mistral", "perplexity", "huggingface"})
SPLICED_APIS = frozenset({"openai.chat", "openai.completions"})
PASSED = frozenset({"content-type", "accept", "anthropic-version", "anthropic-beta"})
OPERATORS = frozenset({"openai-organization", "openai-project", "x-ratelimit-limit-input-images", "etag", "expect-ct"})
#: Replies in which an error stands in the middle of a stream that had begun with 200.
BROKEN_STREAMS = frozenset({"openai.chat-1fa1ebdff37a", "openai.chat-c70bf58c2248", "openai.chat-5f5d29271438"})
ERROR_SHAPES: dict[str, Callable[[Json], bool]] = {
    "openai": lambda body: (
        body["error"]["type"] == "server_error" and "code" in body["error"] and "param" in body["error"]
    ),
    "anthropic": lambda body: body["type"] == "error" and body["error"]["type"] == "api_error",
    "gemini": lambda body: body["error"]["status"] == "INTERNAL" and body["error"]["code"] == 502,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recording, asked for under another name than its own, as both ends of the gateway saw it."""

    recording: Recording
    request_id: str
    reply: Reply
    seen: Any

    @property
    def seen_body(self) -> bytes:
        return base64.b64decode(self.seen["body"])

    @property
    def splices(self) -> bool:
        """Whether the gateway must ask for the usage of a stream because the client did not."""
        body = self.recording.request_body
        asks = self.recording.kind not in NATIVE_USAGE and self.recording.api in SPLICED_APIS
        return bool(asks and body.get("stream") and not body.get("stream_options"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    require()
    with replay_upstream() as found:
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bytes")
    recordings = list(require())
    named = {found for recording in recordings for found in replay.named_objects(recording)}
    prepare(folder, replay.config(recordings, upstream, renamed=recordings), named)
    return folder


@pytest.fixture(scope="module", params=SERVERS)
def gateway(request: pytest.FixtureRequest, data: Path) -> Iterator[Gateway]:
    with serve(request.param, data) as found:
        yield found


@pytest.fixture(scope="module")
def exchanges(gateway: Gateway, upstream: Upstream) -> list[Exchange]:
    async def all_of_them() -> list[Exchange]:
        places = asyncio.Semaphore(16)

        async def one(recording: Recording) -> Exchange:
            async with places:
                return await _exchange(recording, gateway, upstream)

        return list(await asyncio.gather(*map(one, require())))

    return asyncio.run(all_of_them())


async def _exchange(recording: Recording, gateway: Gateway, upstream: Upstream) -> Exchange:
    public, request_id = replay.asked(recording), f"{gateway.server}.{recording.id}"
    headers = {**recording.request_headers, **AUTH[recording.dialect], "x-request-id": request_id}
    path, body = recording.client_path(public), recording.request_bytes(public)
    reply = await exchange(gateway.port, "POST", path, headers, body)
    seen = await exchange(upstream.port, "GET", f"/_seen/{recording.model}", {})
    return Exchange(recording, request_id, reply, json.loads(seen.body))


def failing(exchanges: list[Exchange], check: Callable[[Exchange], str]) -> list[str]:
    """``ID: what is wrong`` of every exchange for which ``check`` returns something."""
    return [f"{one.recording.id} ({one.recording.kind}): {wrong}" for one in exchanges if (wrong := check(one))]


def test_every_reply_is_kept(exchanges: list[Exchange], gateway: Gateway) -> None:
    def wrong(one: Exchange) -> str:
        wanted = mapped_status(one.recording)
        if wanted is not None:
            shape_ok = ERROR_SHAPES[one.recording.dialect](json.loads(one.reply.body))
            return "" if one.reply.status == wanted and shape_ok else f"{one.reply.status} {one.reply.body[:300]!r}"
        body = without_unasked_usage(one.recording.reply) if one.splices else one.recording.reply
        if (one.reply.status, one.reply.body) == (one.recording.status, body):
            return ""
        return f"{one.recording.status} → {one.reply.status} {differs(body, one.reply.body)}"

    kept = Counter(one.recording.api for one in exchanges if mapped_status(one.recording) is None)
    found = failing(exchanges, wrong)
    print(
        f"\n{gateway.server}: {sum(kept.values())} of {len(exchanges)} statuses kept, {len(found)} replies differ: {dict(kept)}"
    )
    assert not found, "\n".join(found[:20])


def test_every_request_arrives_as_sent(exchanges: list[Exchange], gateway: Gateway) -> None:
    def wrong(one: Exchange) -> str:
        if one.seen is None:
            return "nothing arrived"
        wanted = one.recording.request_bytes(one.recording.model)
        if one.splices:
            return spliced_badly(wanted, one.seen_body)
        return "" if one.seen_body == wanted else differs(wanted, one.seen_body)

    found = failing(exchanges, wrong)
    spliced = sum(one.splices for one in exchanges)
    print(f"\n{gateway.server}: {len(exchanges)} requests, usage asked for in {spliced}, {len(found)} differ")
    assert not found, "\n".join(found[:20])


def test_paths_and_headers(exchanges: list[Exchange]) -> None:
    def wrong(one: Exchange) -> str:
        recording, reply = one.recording, one.reply
        if one.seen is None:
            return "nothing arrived"
        headers = dict(one.seen["headers"])
        base = replay.BASES[recording.kind]
        path = recording.client_path(recording.model)
        allowed = {base + path.removeprefix("/v1"), base + path} if recording.dialect == "openai" else {base + path}
        auth = SENT_AUTH.get(recording.kind, SENT_AUTH[recording.dialect])
        checks = {
            "path": one.seen["target"] in ({base + path.removeprefix("/v1")} if base.endswith("/v1") else allowed),
            "upstream auth": auth is None or headers.get(auth[0]) == auth[1],
            "client key upstream": KEY not in json.dumps(one.seen) and KEY.encode() not in one.seen_body,
            "forwarded headers": all(
                headers.get(name) == (value if name in PASSED else None)
                for name, value in recording.request_headers.items()
            ),
            "accept-encoding": headers.get("accept-encoding") == "identity",
            "x-request-id": reply.headers.get("x-request-id") == one.request_id,
            "nosniff": reply.headers.get("x-content-type-options") == "nosniff",
            "operator's headers": not OPERATORS & set(reply.headers),
            "provider": reply.headers.get("x-gateway-provider") == recording.kind,
            "content-type": mapped_status(recording) is not None
            or reply.headers.get("content-type") == recording.response_headers.get("content-type"),
        }
        bad = [name for name, fine in checks.items() if not fine]
        return f"{bad}: {one.seen['target']} {headers} → {reply.headers}" if bad else ""

    found = failing(exchanges, wrong)
    assert not found, "\n".join(found[:10])


def test_every_row_tells_the_recorded_usage(exchanges: list[Exchange], gateway: Gateway) -> None:
    rows = gateway.wait_rows(f"{gateway.server}.", len(exchanges))

    def wrong(one: Exchange) -> str:
        row, recording, wanted = rows[one.request_id], one.recording, expected(one.recording)
        got = Tokens(*(row[name] for name in Tokens._fields))
        checks = {
            f"tokens {wanted} → {got}": bool(row["estimated"]) or got == (0, 0, 0, 0, 0)
            if wanted is None
            else got == wanted,
            "estimated": wanted is None or not row["estimated"],
            "status": row["status"] == one.reply.status,
            "model": row["model"] == replay.asked(recording),
            "upstream model": row["upstream_model"] == recording.model,
            "provider": row["provider"] == recording.kind,
            "stream": bool(row["stream"]) == asked_for_stream(recording),
            f"error kind {row['error_kind']!r}": bool(row["error_kind"])
            == (recording.status >= 400 or recording.id in BROKEN_STREAMS),
        }
        bad = [name for name, fine in checks.items() if not fine]
        return f"{bad}" if bad else ""

    found = failing(exchanges, wrong)
    told = Counter(one.recording.api for one in exchanges if expected(one.recording) is not None)
    print(
        f"\n{gateway.server}: usage of {sum(told.values())} recordings compared, {len(found)} rows differ: {dict(told)}"
    )
    assert not found, "\n".join(found[:40])


def asked_for_stream(recording: Recording) -> bool:
    return bool(recording.request_body.get("stream")) or recording.path.endswith(":streamGenerateContent")


def without_unasked_usage(reply: bytes) -> bytes:
    """The stream without those events that exist only because usage was asked for."""

    def is_unasked(event: bytes) -> bool:
        if not event.startswith(b"data: {"):
            return False
        found: Json = json.loads(event.removeprefix(b"data: "))
        return found.get("choices") == [] and found.get("usage") is not None

    events = reply.split(b"\n\n")
    return b"\n\n".join(event for event in events if not is_unasked(event))


def spliced_badly(wanted: bytes, got: bytes) -> str:
    """ "" if ``got`` is ``wanted`` with the asking for usage put in at one place and no other byte changed."""
    document = json.loads(wanted)
    document.setdefault("stream_options", {})["include_usage"] = True
    if json.loads(got) != document:
        return f"not the same document: {differs(wanted, got)}"
    start = next((n for n, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), len(wanted))
    return (
        ""
        if got.endswith(wanted[start:]) and len(got) > len(wanted)
        else f"more than one place: {differs(wanted, got)}"
    )


def differs(wanted: bytes, got: bytes) -> str:
    start = next(
        (n for n, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), min(len(wanted), len(got))
    )
    return f"at {start} of {len(wanted)}/{len(got)}: {wanted[start - 30 : start + 120]!r} → {got[start - 30 : start + 120]!r}"
