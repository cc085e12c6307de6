"""Streams cut anywhere, and garbage: the same events, or an error, never an exception and never a false success."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers import sse
from providers.chat import BadRequest, Chat, Unsupported
from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import Event, Failed, Started
from tests import recordings
from tests.dialect_shapes import Sse
from tests.recordings import Recording
from tests.test_recordings import DIALECTS, of_dialect

EVERYWHERE = 4  # streams of a dialect that are cut at every byte: its shortest
SAMPLES = 5  # cuts of each other one


def streams(dialect: str) -> list[Recording]:
    """Complete ones, the shortest first."""
    found = [
        each for each in of_dialect(dialect) if each.stream and each.status < 300 and b'"error":{' not in each.reply
    ]
    return sorted(found, key=lambda each: len(each.reply))


def events_of(dialect: str, pieces: list[bytes]) -> list[Event]:
    parser, reader = sse.Parser(), UPSTREAMS[dialect].StreamReader()
    found: list[Event] = []
    for piece in pieces:
        for event in parser.feed(piece):
            found += reader.feed(event)
    for event in parser.flush():
        found += reader.feed(event)
    return found + reader.flush()


def cuts(dialect: str) -> Iterator[tuple[Recording, int]]:
    for number, recording in enumerate(streams(dialect)):
        places = range(1, len(recording.reply))
        chosen = places if number < EVERYWHERE else random.Random(recording.id).sample(places, SAMPLES)
        yield from ((recording, at) for at in chosen)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_pieces_of_any_size_give_the_same_events(dialect: str) -> None:
    count, wholes = 0, dict[str, list[Event]]()
    for recording, at in cuts(dialect):
        count += 1
        whole = wholes.get(recording.id) or wholes.setdefault(recording.id, events_of(dialect, [recording.reply]))
        assert events_of(dialect, [recording.reply[:at], recording.reply[at:]]) == whole, (recording.id, at)
    print(f"\n{dialect}: {count} cuts")


def complete_at(dialect: str, reply: bytes) -> int:
    """The first byte after which a stream may count as complete, by its dialect's own terminator."""
    if dialect == "openai_chat":
        return reply.index(b"[DONE]") + len("[DONE]")
    names = {
        "openai_responses": (b'"type":"response.completed"', b'"type":"response.incomplete"'),
        "anthropic": (b'"type":"message_stop"',),
    }
    marks = names.get(dialect, (b'"finishReason"', b'"blockReason"'))
    squeezed = reply if any(mark in reply for mark in marks) else b""
    if not squeezed:  # white space after the colon
        marks = tuple(mark.replace(b":", b": ") for mark in marks)
    first = min(reply.index(mark) for mark in marks if mark in reply)
    # the end of that event's line
    return min((end for end in (reply.find(b"\n", first), reply.find(b"\r", first)) if end > 0), default=len(reply))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_prefix_is_an_error(dialect: str) -> None:
    count = 0
    for recording, at in cuts(dialect):
        if (dialect == "openai_chat" and b"[DONE]" not in recording.reply) or at >= complete_at(
            dialect, recording.reply
        ):
            continue
        count += 1
        found = events_of(dialect, [recording.reply[:at]])
        assert isinstance(found[-1], Failed), (recording.id, at)
        assert sum(isinstance(event, Failed) for event in found) == 1
    print(f"\n{dialect}: {count} prefixes")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failed_stream_is_never_written_as_complete(dialect: str) -> None:
    """Whatever the writer had begun: the error in the client's form, and no terminator that means success."""
    ends = {
        "openai_chat": b"[DONE]",
        "openai_responses": b"response.completed",
        "anthropic": b"message_stop",
        "gemini": b"finishReason",
    }
    for upstream in DIALECTS:
        for recording in streams(upstream)[:40]:
            cut = events_of(upstream, [recording.reply[: len(recording.reply) // 2]])
            writer = CLIENTS[dialect].StreamWriter(Chat(dialect, "m", []))
            written = b"".join(writer.feed(event) for event in cut) + writer.flush()
            assert ends[dialect] not in written.replace(
                b"data: [DONE]", b"" if dialect == "openai_responses" else b"[DONE]"
            )
            assert b"error" in written


# ---------------------------------------------------------------- garbage

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def spoiled(value: Any, draw: Any) -> Any:
    """``value`` with one member, at any depth, replaced or taken away."""
    value = copy.deepcopy(value)
    node, depth = value, draw(st.integers(0, 6))
    for _ in range(depth):
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        inner = [key for key in keys if isinstance(node[key], dict | list) and node[key]]
        if not inner:
            break
        node = node[draw(st.sampled_from(inner))]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if keys:
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            node[key] = draw(JSON)
        else:
            del node[key]
    return value


def written(client: str, events: list[Event]) -> None:
    """Every writer writes what any reader gives."""
    for name, dialect in CLIENTS.items():
        chat = Chat(name, "m", [], stream_usage=True)
        writer = dialect.StreamWriter(chat)
        b"".join(writer.feed(event) for event in events) + writer.flush()
        json.dumps(dialect.write_response(events, chat))


MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("dialect", DIALECTS)
@MANY
@given(data=st.data())
def test_spoiled_streams_raise_nothing(dialect: str, data: st.DataObject) -> None:
    recordings.require()
    recording = data.draw(st.sampled_from(streams(dialect)))
    lines = [Sse("", json.dumps(doc).encode()) for doc in recording.events()]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = Sse("", json.dumps(spoiled(recording.events()[at], data.draw)).encode())
    reader = UPSTREAMS[dialect].StreamReader()
    events = [event for line in lines for event in reader.feed(line)] + reader.flush()
    written(dialect, events)


@pytest.mark.parametrize("told", [2e19, 1e300, -5, True, "1741569952", [], 2**70])
def test_a_time_that_is_none_spoils_no_stream(told: Any) -> None:
    """JSON of 64 bits was to hold it."""
    for dialect, member in (("openai_chat", "created"), ("openai_responses", "created_at")):
        [recording, *_] = streams(dialect)
        docs = recording.events()
        for doc in docs:
            (doc if member == "created" else doc.get("response", {}))[member] = told
        reader = UPSTREAMS[dialect].StreamReader()
        events = [e for doc in docs for e in reader.feed(Sse("", json.dumps(doc).encode()))] + reader.flush()
        assert [event.created for event in events if isinstance(event, Started)] == [1 if told is True else 0]
        written(dialect, events)


@pytest.mark.parametrize("dialect", DIALECTS)
@MANY
@given(doc=JSON, raw=st.binary(max_size=30), status=st.integers(100, 599))
def test_garbage_raises_nothing(dialect: str, doc: Any, raw: bytes, status: int) -> None:
    upstream = UPSTREAMS[dialect]
    for reply in (doc, {"choices": [doc], "output": [doc], "content": [doc], "candidates": [doc]}):
        assert upstream.read_response(reply)
        assert isinstance(upstream.read_error(status, reply), Failed)
    reader = upstream.StreamReader()
    events = reader.feed(Sse("", raw)) + reader.feed(Sse("error", json.dumps(doc).encode())) + reader.flush()
    written(dialect, events)
    with pytest.raises(BadRequest):
        CLIENTS[dialect].read_request({"x": doc})


@pytest.mark.parametrize("dialect", DIALECTS)
@MANY
@given(data=st.data())
def test_spoiled_requests_raise_only_what_they_may(dialect: str, data: st.DataObject) -> None:
    recordings.require()
    recording = data.draw(st.sampled_from(of_dialect(dialect)))
    try:
        chat = CLIENTS[dialect].read_request(spoiled(recording.request_body, data.draw), recording.path)
    except BadRequest:
        return
    for upstream in UPSTREAMS.values():
        with contextlib.suppress(Unsupported):
            json.dumps(upstream.write_request(chat)[0])


def test_every_dialect_has_streams() -> None:
    assert all(streams(dialect) for dialect in DIALECTS)
