"""AWS event streams: what was recorded, in pieces of any size; broken frames; garbage."""

from __future__ import annotations

import base64
import json
import os
import random
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import eventstream, sse
from tests import recordings

Json = dict[str, Any]
EVERYWHERE, SAMPLES = 3, 50  # streams that are cut at every byte: the shortest; cuts of each other one


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame by the format's definition."""
    head = b""
    for name, value in headers.items():
        head += struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
    prelude = struct.pack("!II", len(head) + len(payload) + 16, len(head))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    body = prelude + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def event(kind: str, payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload).encode())


def exception(kind: str, payload: Any) -> bytes:
    return frame({":exception-type": kind, ":message-type": "exception"}, json.dumps(payload).encode())


def rows(api: str) -> list[Json]:
    file = recordings.folder() / f"{api}.jsonl"
    if not file.exists():
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(f"no recordings of {api}")
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def streams() -> list[Json]:
    """Recorded event streams, the shortest first."""
    found = [row for row in rows("bedrock.converseStream") if row.get("response_base64")]
    assert found
    return sorted(found, key=lambda row: len(row["response_base64"]))


def events_of(pieces: list[bytes]) -> list[sse.Event]:
    parser = eventstream.Parser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.flush()


def test_recorded_streams_are_what_was_decoded_when_they_were_recorded() -> None:
    for row in streams():
        found = [(each.type, json.loads(each.data)) for each in events_of([base64.b64decode(row["response_base64"])])]
        assert found == [(each["headers"][":event-type"], each["payload"]) for each in row["response_events"]]


def test_pieces_of_any_size_give_the_same_events() -> None:
    count = 0
    for number, row in enumerate(streams()):
        raw = base64.b64decode(row["response_base64"])
        whole = events_of([raw])
        places = range(len(raw)) if number < EVERYWHERE else random.Random(row["id"]).sample(range(len(raw)), SAMPLES)
        for at in places:
            count += 1
            assert events_of([raw[:at], raw[at:]]) == whole
        assert events_of([raw[at : at + 1] for at in range(len(raw))]) == whole
    print(f"\n{count} cuts")


def test_raw_is_the_event_as_sse() -> None:
    parser = sse.Parser()
    for each in events_of([base64.b64decode(streams()[0]["response_base64"])]):
        again = parser.feed(each.raw)
        assert [(one.type, one.data) for one in again] == [(each.type, each.data)]


def test_exceptions_and_errors_have_their_own_names() -> None:
    failed = exception("throttlingException", {"message": "slow down"})
    code = frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": 'a "b"'}, b"")
    assert [(each.type, json.loads(each.data)) for each in events_of([failed + code])] == [
        ("throttlingException", {"message": "slow down"}),
        ("InternalFailure", {"message": 'a "b"'}),
    ]


def test_every_broken_byte_is_noticed() -> None:
    """The events before are given, and nothing of the broken frame or after it."""
    good, bad = event("one", {"n": 1}), event("two", {"n": 2})
    for at in range(len(bad)):
        spoiled = good + bad[:at] + bytes([bad[at] ^ 0x41]) + bad[at + 1 :]
        parser = eventstream.Parser()
        assert [each.type for each in parser.feed(spoiled)] == ["one"]
        for _ in range(2):
            with pytest.raises(eventstream.FrameError):
                parser.flush()
        with pytest.raises(eventstream.FrameError):
            parser.feed(good)


def test_the_first_frame_broken_raises_at_once() -> None:
    with pytest.raises(eventstream.FrameError):
        eventstream.Parser().feed(b"x" * 40)


def test_types_are_one_line() -> None:
    with pytest.raises(eventstream.FrameError):
        events_of([event("a\ndata: forged", {})])


def test_a_stream_that_ends_amid_a_frame_gives_what_was_whole() -> None:
    good = event("one", {})
    assert [each.type for each in events_of([good + good[:-1]])] == ["one"]


def test_too_long() -> None:
    long = event("one", {"text": "x" * 1000})
    parser = eventstream.Parser(limit=500)
    with pytest.raises(sse.EventTooLong):
        parser.feed(long[:600])
    with pytest.raises(sse.EventTooLong):
        parser.flush()
    prelude = struct.pack("!II", 1 << 30, 0)  # more than a frame may ever hold
    with pytest.raises(sse.EventTooLong):
        eventstream.Parser().feed(prelude + struct.pack("!I", zlib.crc32(prelude)))
    small = event("one", {})
    parser = eventstream.Parser(limit=len(small))
    assert len(parser.feed(small * 50)) == 50  # the limit is one event's


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_garbage_raises_only_what_it_may(pieces: list[bytes], sound: bool) -> None:
    """Also garbage of sound lengths and checksums, whose headers are none."""
    parser = eventstream.Parser()
    for piece in pieces:
        if sound:
            prelude = struct.pack("!II", len(piece) + 16, len(piece))
            prelude += struct.pack("!I", zlib.crc32(prelude))
            piece = prelude + piece + struct.pack("!I", zlib.crc32(prelude + piece))
        try:
            assert all(isinstance(each, sse.Event) for each in parser.feed(piece))
            parser.flush()
        except (eventstream.FrameError, sse.EventTooLong):
            return


@settings(max_examples=300, deadline=None)
@given(total=st.integers(0, 40), head=st.integers(0, 2**32 - 1), rest=st.binary(max_size=40))
def test_any_lengths(total: int, head: int, rest: bytes) -> None:
    prelude = struct.pack("!II", total, head)
    parser = eventstream.Parser()
    try:
        parser.feed(prelude + struct.pack("!I", zlib.crc32(prelude)) + rest)
        parser.flush()
    except (eventstream.FrameError, sse.EventTooLong):
        return
