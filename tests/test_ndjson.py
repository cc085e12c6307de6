"""Lines of a stream, cut anywhere, against a reading so plain that it can be seen to be right."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.ndjson import Parser
from providers.sse import LIMIT, Event, EventTooLong
from tests.recordings import folder

streams = st.lists(
    st.sampled_from([b"{}", b'{"a": "\xc3\xa9"}', b"\n", b"\n", b"\r\n", b"\r", b" ", b"\xff", b"\x00"]), max_size=20
).map(b"".join)


def reference(stream: bytes) -> list[Event]:
    """Byte by byte."""
    found, line = [], b""
    for at in range(len(stream)):
        line += stream[at : at + 1]
        if line.endswith(b"\n"):
            found.append(line)
            line = b""
    return [Event("", raw.strip(), raw, not raw.strip()) for raw in [*found, line] if raw]


def parsed(pieces: Iterable[bytes], limit: int = LIMIT) -> list[Event]:
    parser = Parser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.flush()


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(bounds)]


@given(streams | st.binary(max_size=40), st.data())
def test_any_cut_gives_the_same_lines(stream: bytes, data: st.DataObject) -> None:
    expected = reference(stream)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    assert b"".join(event.raw for event in expected) == stream
    assert parsed([stream]) == parsed(cut(stream, places)) == parsed(cut(stream, range(1, len(stream)))) == expected


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'{"a":1}\n{"b":2}\n', [(b'{"a":1}', False), (b'{"b":2}', False)]),
        (b'{"a":1}\r\n{"b":2}\r\n', [(b'{"a":1}', False), (b'{"b":2}', False)]),
        (b'{"a":1}', [(b'{"a":1}', False)]),
        (b'\n{"a":1}\n\r\n \n', [(b"", True), (b'{"a":1}', False), (b"", True), (b"", True)]),
        ('{"a":"\u2028\x85"}\n'.encode(), [('{"a":"\u2028\x85"}'.encode(), False)]),
        (b"", []),
    ],
)
def test_by_hand(stream: bytes, events: list[tuple[bytes, bool]]) -> None:
    for pieces in ([stream], cut(stream, range(1, len(stream)))):
        assert [(event.data, event.silent) for event in parsed(pieces)] == events


def test_a_line_comes_with_its_last_byte() -> None:
    parser = Parser()
    assert parser.feed(b'{"a":1}') == []
    assert parser.feed(b'\n{"b"') == [Event("", b'{"a":1}', b'{"a":1}\n')]
    assert parser.flush() == [Event("", b'{"b"', b'{"b"')]
    assert parser.flush() == []


def test_an_endless_line_is_refused_after_those_before_it() -> None:
    parser = Parser(limit=100)
    assert [event.data for event in parser.feed(b"{}\n" + b"x" * 200)] == [b"{}"]
    for _ in range(2):
        with pytest.raises(EventTooLong, match="100 bytes"):
            parser.feed(b"x")
    with pytest.raises(EventTooLong):
        parser.flush()


@pytest.mark.parametrize("piece", [b"x" * 7, b"\r", b" "])
def test_what_is_held_is_bounded(piece: bytes) -> None:
    parser = Parser(limit=1000)
    fed = 0
    with pytest.raises(EventTooLong):
        while fed < 10_000:
            assert parser.feed(piece) == []
            fed += len(piece)
    assert fed <= 1000


def test_a_limit_counts_one_line_only() -> None:
    stream = (b"x" * 99 + b"\n") * 50
    assert len(parsed(cut(stream, range(7, len(stream), 7)), limit=100)) == 50


def test_recorded_lines_cut_at_every_byte() -> None:
    """All into single bytes, and the shortest in two at every byte: a cut changes nothing but the line that it is in,
    so its neighbours are all that need be fed with it."""
    file = folder() / "ollama.chat.jsonl"
    rows = map(json.loads, file.read_text("utf-8").splitlines()) if file.exists() else []
    texts = [row["response_text"].encode() for row in rows if row.get("response_text")]
    if not texts:
        pytest.skip(f"no NDJSON recordings in {folder()} (GATEWAY_RECORDINGS)")
    for text in texts:
        assert parsed([text]) == parsed(cut(text, range(1, len(text)))) == reference(text)
    lines = reference(min(texts, key=len))
    for at, line in enumerate(lines):
        window = lines[max(at - 1, 0) : at + 2]
        whole, start = b"".join(event.raw for event in window), len(window[0].raw) if at else 0
        assert all(parsed([whole[:place], whole[place:]]) == window for place in range(start, start + len(line.raw)))
