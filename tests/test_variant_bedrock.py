"""Claude's own API through Bedrock's InvokeModel: what the plain API's requests and streams become there and back."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, AnthropicBedrock, BadRequestError
from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import eventstream, sse
from providers.chat import Unsupported
from providers.dialects import anthropic
from providers.events import Event, Failed
from providers.upstream import Upstream
from providers.variants import Wire
from providers.variants.bedrock import VARIANT, Frames
from tests import recordings
from tests.dialect_shapes import split
from tests.recordings import Recording
from tests.test_dialects_streams import streams
from tests.test_eventstream import event, exception, frame

Json = dict[str, Any]
UPSTREAM = Upstream(1, "aws", "bedrock-anthropic", "https://bedrock-runtime.us-east-1.amazonaws.com", frozenset())
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PATH = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
HEADERS = [
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"Anthropic-Beta", b"a-2025-01-01, b-2025-02-02"),
    (b"accept", b"text/event-stream"),
    (b"user-agent", b"x"),
]


def wire(
    body: bytes, stream: bool = False, headers: Any = HEADERS, path: str = "/v1/messages", model: str = MODEL
) -> Wire:
    return VARIANT.request(UPSTREAM, Wire(path, b"beta=true", list(headers), body), model, stream)


def test_path_headers_and_body() -> None:
    body = b'{ "model":"x" ,"stream" : true, "max_tokens":1e2,\n "temperature":0.50, "messages":[{"role":"user","content":"\\u00e9"}]}'
    found = wire(body, True)
    assert (found.path, found.query) == (f"{PATH}/invoke-with-response-stream", b"")
    assert found.headers == [HEADERS[0], HEADERS[4], (b"accept", b"application/json")]
    kept = b'"max_tokens":1e2,\n "temperature":0.50, "messages":[{"role":"user","content":"\\u00e9"}]}'
    assert found.body.endswith(kept)
    added = {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a-2025-01-01", "b-2025-02-02"]}
    rest = {"max_tokens": 1e2, "temperature": 0.5, "messages": [{"role": "user", "content": "\u00e9"}]}
    assert json.loads(found.body) == added | rest
    assert wire(body).path == f"{PATH}/invoke"


def test_what_the_body_tells_already() -> None:
    """Once each, however a client says it."""
    body = b'{"anthropic_version":"2023-06-01","anthropic_beta":["c","a-2025-01-01"],"max_tokens":1}'
    found = json.loads(wire(body).body, object_pairs_hook=list)
    assert found == [
        ("anthropic_version", "bedrock-2023-05-31"),
        ("anthropic_beta", ["c", "a-2025-01-01", "b-2025-02-02"]),
        ("max_tokens", 1),
    ]
    assert json.loads(wire(body, headers=[]).body)["anthropic_beta"] == ["c", "a-2025-01-01"]
    assert json.loads(wire(b"{}", headers=[]).body) == {"anthropic_version": "bedrock-2023-05-31"}


@pytest.mark.parametrize(
    ("asked", "model", "version"),
    [
        (b"2023-06-01", "anthropic.claude-opus-5", "bedrock-2023-05-31"),
        (b"2026-10-21", "anthropic.claude-opus-5", "2026-10-21"),
        (b"2026-10-21", "us.anthropic.claude-opus-4-7-v1:0", "2026-10-21"),
        (b"2026-10-21", MODEL, "bedrock-2023-05-31"),
        (b"2026-10-21", "anthropic.claude-opus-4-20250514-v1:0", "bedrock-2023-05-31"),
        (b"2026-10-21", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x", "bedrock-2023-05-31"),
        (b"latest", "anthropic.claude-opus-5", "bedrock-2023-05-31"),
    ],
)
def test_versions(asked: bytes, model: str, version: str) -> None:
    """Bedrock has the later versions for Claude 4.7 and what came after."""
    found = wire(b"{}", headers=[(b"anthropic-version", asked)], model=model)
    assert json.loads(found.body) == {"anthropic_version": version}
    body = json.dumps({"anthropic_version": asked.decode()}).encode()
    assert json.loads(wire(body, headers=[], model=model).body) == {"anthropic_version": version}


def test_other_calls_are_refused() -> None:
    with pytest.raises(Unsupported, match="count_tokens"):
        wire(b"{}", path="/v1/messages/count_tokens")


def messages() -> list[Recording]:
    return [each for each in recordings.of_dialect("anthropic") if each.api == "anthropic.messages"]


def test_recorded_requests_keep_every_other_member() -> None:
    for recording in messages():
        body = recording.request_bytes("m")
        before = json.loads(body, object_pairs_hook=lambda pairs: pairs)
        after = json.loads(wire(body, headers=[]).body, object_pairs_hook=lambda pairs: pairs)
        kept = [pair for pair in before if pair[0] not in ("model", "stream", "anthropic_version")]
        assert [pair for pair in after if pair[0] != "anthropic_version"] == kept, recording.id


def test_the_sdk_for_bedrock_asks_the_same() -> None:
    """What the plain SDK asks becomes what the one for Bedrock asks."""
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(400, json={"message": "no"})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    theirs = AnthropicBedrock(api_key="k", aws_region="us-east-1", max_retries=0, http_client=transport)
    plain = Anthropic(api_key="k", base_url="http://gateway.invalid", max_retries=0, http_client=transport)
    model = "us.anthropic.claude-opus-4-8-v1:0"
    members: Json = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "system": "S"}
    for stream in (False, True):
        for client in (plain, theirs):
            with pytest.raises(BadRequestError):
                client.messages.create(stream=stream, extra_headers={"anthropic-beta": "a,b"}, **members)
        asked, wanted = sent[-2:]
        headers = [(name.lower(), value) for name, value in asked.headers.raw]
        ours = wire(asked.content, stream, headers, asked.url.path, model)
        assert json.loads(ours.body) == json.loads(wanted.content)
        # The SDK leaves colons as they are; AWS's own clients quote them, and it takes both.
        assert ours.path.encode() == wanted.url.raw_path.replace(b":", b"%3A")


# ---------------------------------------------------------------- replies


def chunk(text: bytes) -> bytes:
    return event("chunk", {"bytes": base64.b64encode(text).decode(), "p": "abcd"})


def framed(recording: Recording) -> bytes:
    """A recorded stream of Anthropic's as Bedrock frames it."""
    return frame({":event-type": "initial-response", ":message-type": "event"}, b"{}") + b"".join(
        chunk(json.dumps(doc).encode()) for doc in recording.events() if doc.get("type") != "ping"
    )


def read(events: list[Any]) -> list[Event]:
    reader = anthropic.StreamReader()
    return [found for each in events for found in reader.feed(each)] + reader.flush()


def test_recorded_streams_come_out_as_anthropic_sent_them() -> None:
    for recording in streams("anthropic"):
        raw = framed(recording)
        at = random.Random(recording.id).randrange(len(raw))
        frames = Frames()
        found = frames.feed(raw[:at]) + frames.feed(raw[at:]) + frames.flush()
        assert read(found) == read(split(recording.reply)), recording.id
        wanted = [doc for doc in recording.events() if doc.get("type") != "ping"]
        assert [json.loads(each.data) for each in found] == wanted
        assert [each.type for each in found] == [doc["type"] for doc in wanted]
        again = sse.Parser().feed(b"".join(each.raw for each in found))
        assert [(each.type, each.data) for each in again] == [(each.type, each.data) for each in found]


def test_the_sdk_for_bedrock_reads_the_same() -> None:
    """Amazon's own metrics, a member of the last event, stay in."""
    metrics = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}}
    for recording in streams("anthropic")[:20]:
        raw = framed(recording) + chunk(json.dumps(metrics).encode())
        theirs = [(each.event, each.data) for each in AWSEventStreamDecoder().iter_bytes(iter([raw]))]
        ours = Frames().feed(raw)
        assert [(each.type, each.data.decode()) for each in ours] == theirs
        assert json.loads(ours[-1].data) == metrics


@pytest.mark.parametrize(
    ("name", "type", "kind"),
    [
        ("throttlingException", "rate_limit_error", "rate_limit"),
        ("modelStreamErrorException", "api_error", "server_error"),
        ("internalServerException", "api_error", "server_error"),
        ("serviceUnavailableException", "overloaded_error", "overloaded"),
        ("validationException", "invalid_request_error", "invalid_request"),
        ("modelTimeoutException", "timeout_error", "timeout"),
    ],
)
def test_exceptions_become_anthropics_error(name: str, type: str, kind: str) -> None:
    [found] = Frames().feed(exception(name, {"message": "no"}))
    assert json.loads(found.data) == {"type": "error", "error": {"type": type, "message": "no"}}
    assert found.type == "error" and found.raw == b"event: error\ndata: " + found.data + b"\n\n"
    [failed] = read([found])
    assert isinstance(failed, Failed) and (failed.kind, failed.message) == (kind, "no")


def test_chunks_that_are_none() -> None:
    wrong: list[Any] = [{"bytes": "!"}, {"bytes": base64.b64encode(b"[1]").decode()}, {}, []]
    for payload in wrong:
        [found] = Frames().feed(event("chunk", payload))
        assert found.type == "error" and json.loads(found.data)["error"]["type"] == "api_error"
    [found] = Frames().feed(chunk(b'{"completion":" Hi"}'))
    assert (found.type, found.data) == ("", b'{"completion":" Hi"}')


def test_broken_frames_raise() -> None:
    frames = Frames()
    assert len(frames.feed(chunk(b'{"type":"ping"}') + b"x" * 20)) == 1
    with pytest.raises(eventstream.FrameError):
        frames.flush()
    with pytest.raises(sse.EventTooLong):
        Frames(limit=10).feed(chunk(b'{"type":"ping"}')[:-1])


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=40)
    | st.dictionaries(st.sampled_from(["bytes", "type"]), st.text(max_size=8)).map(lambda d: json.dumps(d).encode())
)
def test_garbage_raises_nothing(payload: bytes) -> None:
    headers = {":event-type": "chunk", ":message-type": "event"}
    inner = base64.b64encode(payload).decode()
    found = Frames().feed(frame(headers, payload) + event("chunk", {"bytes": inner}) + exception("x", payload.hex()))
    assert len(found) == 3 and all(isinstance(each, sse.Event) for each in found)
    read(found)
