"""Events of a stream, cut anywhere, against a reading so plain that it can be seen to be right."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import sse
from providers.sse import Event, EventTooLong, Parser
from tests import recordings

BOM = b"\xef\xbb\xbf"
PIECES = [
    "data:",
    "data",
    "data: ",
    "event: x",
    "event:",
    "event",
    "id: 1",
    "retry: 5",
    ":",
    ": ping",
    ":\xe9",
    "\n",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    " ",
    "{}",
    "é",
    "\u2028",
    "\x85",
    "\ufeff",
    "\x00",
    "x:y",
    "dat",
]

streams = st.lists(st.sampled_from(PIECES), max_size=25).map("".join).map(str.encode)


def lines_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Each line and its end, "" where the last has none."""
    lines, line, at = [], b"", 0
    while at < len(data):
        end = b"\r\n" if data[at : at + 2] == b"\r\n" else data[at : at + 1]
        if end in (b"\r\n", b"\r", b"\n"):
            lines.append((line, end))
            line = b""
            at += len(end)
        else:
            line += end
            at += 1
    return [*lines, (line, b"")] if line else lines


def reference(stream: bytes) -> list[Event]:
    """The algorithm of the standard, line by line (but the last event needs no end, as upstreams forget it)."""
    events: list[Event] = []
    kind, data, raw = b"", list[bytes](), b""
    if stream.startswith(BOM):
        raw, stream = BOM, stream[3:]
    for line, end in lines_of(stream):
        raw += line + end
        if not line:
            events.append(Event(kind.decode(errors="replace"), b"\n".join(data), raw, not data))
            kind, data, raw = b"", [], b""
            continue
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"data":
            data.append(value)
        if name == b"event":
            kind = value
    return [*events, Event(kind.decode(errors="replace"), b"\n".join(data), raw, not data)] if raw else events


def parsed(pieces: Iterable[bytes], limit: int = sse.LIMIT) -> list[Event]:
    parser = Parser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.flush()


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(bounds)]


@given(streams, st.data())
def test_any_cut_gives_the_events_of_the_standard(stream: bytes, data: st.DataObject) -> None:
    expected = reference(stream)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert b"".join(event.raw for event in expected) == stream
    assert parsed([stream]) == expected
    assert parsed(cut(stream, places)) == expected
    assert parsed(cut(stream, range(1, len(stream)))) == expected


@given(st.binary(max_size=60))
def test_raw_is_the_input_whatever_it_is(stream: bytes) -> None:
    events = parsed([stream])
    assert b"".join(event.raw for event in events) == stream
    assert events == reference(stream) == parsed(cut(stream, range(1, len(stream))))


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\n', [("", b'{"a":1}', False)]),
        (b"data:x\n\ndata:  y\n\n", [("", b"x", False), ("", b" y", False)]),
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}", False)]),
        (b"event: ping\r\ndata: {}\r\n\r\n", [("ping", b"{}", False)]),
        (b"event: a\revent: b\rdata: 1\r\rdata: 2\r\r", [("b", b"1", False), ("", b"2", False)]),
        (b"data: 1\ndata: 2\ndata\n\n", [("", b"1\n2\n", False)]),
        (b": OPENROUTER PROCESSING\n\n: x\ndata: 1\n\n", [("", b"", True), ("", b"1", False)]),
        (b"id: 7\nretry: 10\ndata: 1\nid: 8\n\n", [("", b"1", False)]),
        (b"data:\n\n", [("", b"", False)]),
        (b"event: ping\n\n", [("ping", b"", True)]),
        (BOM + b"data: 1\n\n" + BOM + b"data: 2\n\n", [("", b"1", False), ("", b"", True)]),
        (BOM, [("", b"", True)]),
        (b"data: 1\n\n\n\ndata: 2\n\n", [("", b"1", False), ("", b"", True), ("", b"", True), ("", b"2", False)]),
        (b"data: 1\n\ndata: [DONE]", [("", b"1", False), ("", b"[DONE]", False)]),
        (b"data: 1\n", [("", b"1", False)]),
        ("data: a\u2028b\x85c\x0bd\n\n".encode(), [("", "a\u2028b\x85c\x0bd".encode(), False)]),
        (b"data: \xf0\x9f\x98\n\nevent: \xff\ndata: 1\n\n", [("", b"\xf0\x9f\x98", False), ("\ufffd", b"1", False)]),
        (b"data : 1\nDATA: 2\n data: 3\ndatax: 4\n\n", [("", b"", True)]),
    ],
)
def test_by_hand(stream: bytes, events: list[tuple[str, bytes, bool]]) -> None:
    for pieces in ([stream], cut(stream, range(1, len(stream)))):
        assert [(event.type, event.data, event.silent) for event in parsed(pieces)] == events


def test_an_event_comes_with_its_last_byte() -> None:
    for end in (b"\n\n", b"\r\n\r\n"):
        parser = Parser()
        stream = b"event: x" + end[: len(end) // 2] + b"data: 1" + end
        assert [parser.feed(stream[at : at + 1]) for at in range(len(stream) - 1)] == [[]] * (len(stream) - 1)
        assert [event.data for event in parser.feed(stream[-1:])] == [b"1"]
        assert parser.flush() == []


def test_lone_carriage_returns_wait_for_the_byte_that_could_belong_to_them() -> None:
    parser = Parser()
    assert parser.feed(b"data: 1\r\r") == []
    assert [event.raw for event in parser.feed(b"data: 2\r\r")] == [b"data: 1\r\r"]
    assert [event.raw for event in parser.flush()] == [b"data: 2\r\r"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_long_lines(newline: bytes) -> None:
    long = b"data: " + b"x" * 3_000_000 + newline * 2
    stream = b"data: 1" + newline * 2 + long + b"event: e" + newline + long
    events = parsed(cut(stream, range(65_536, len(stream), 65_536)))
    assert [len(event.data) for event in events] == [1, 3_000_000, 3_000_000]
    assert b"".join(event.raw for event in events) == stream


def test_an_endless_event_is_refused_after_those_before_it() -> None:
    parser = Parser(limit=100)
    assert [event.data for event in parser.feed(b"data: 1\n\ndata: " + b"x" * 200)] == [b"1"]
    for _ in range(2):
        with pytest.raises(EventTooLong, match="100 bytes"):
            parser.feed(b"x")
    with pytest.raises(EventTooLong):
        parser.flush()


@pytest.mark.parametrize("piece", [b"x" * 7, b"data: x\n", b":\n", b"data\r"])
def test_what_is_held_is_bounded(piece: bytes) -> None:
    parser = Parser(limit=1000)
    fed = 0
    with pytest.raises(EventTooLong):
        while fed < 10_000:
            assert parser.feed(piece) == []
            fed += len(piece)
    assert fed <= 1000


def test_a_limit_counts_one_event_only() -> None:
    stream = b"data: " + b"x" * 90 + b"\n\n"
    assert len(parsed(cut(stream * 50, range(7, 50 * len(stream), 7)), limit=100)) == 50


@given(
    st.binary(max_size=30),
    st.none() | st.text("abc_. é", min_size=1, max_size=8).filter(lambda text: not text.startswith(" ")),
)
def test_what_is_written_is_read(data: bytes, kind: str | None) -> None:
    text = sse.write(data, kind)
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert parsed([text]) == [Event(kind or "", lines, text)] == reference(text)


@pytest.mark.parametrize("kind", ["a\nb", "a\rb"])
def test_a_type_of_several_lines_is_not_written(kind: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        sse.write(b"", kind)


def test_all_recordings_cut_at_every_byte() -> None:
    """Each short stream is cut in two at every byte, each long one at many, and all into single bytes."""
    streams = [recording.reply for recording in recordings.require() if recording.stream and recording.reply]
    assert len(streams) > 100
    choose = random.Random(1)
    for stream in streams:
        expected = reference(stream)
        assert any(not event.silent for event in expected)
        assert parsed([stream]) == expected
        assert parsed(cut(stream, range(1, len(stream)))) == expected
        sizes = [choose.randint(1, 400) for _ in range(len(stream))]
        assert parsed(cut(stream, {at for at in itertools.accumulate(sizes) if at < len(stream)})) == expected
        places = range(1, len(stream)) if len(stream) < 600 else choose.sample(range(1, len(stream)), 8)
        for place in places:
            assert parsed(cut(stream, [place])) == expected
