"""What a dialect must do, so that any client can be answered by an upstream that speaks it. For packages that add one:

    def test_my_dialect():
        assert conformance.faults(my_dialect, [conformance.Sample("Hello", whole=…, stream=…)]) == []

The requests that it has to write are built in; what its upstream answers, samples tell: recorded replies, with what they
say. Those of the built-in dialects are held to the same.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from providers.chat import BadRequest, Chat, Text, ToolCall, Unsupported
from providers.conformance_cases import LEAST, REPLIES, REQUESTS
from providers.dialects.failures import KINDS
from providers.dialects.folding import Reply, fold
from providers.events import Event, Failed, Finished, Started, ToolDelta, ToolStarted
from providers.plugins import checked_dialect

HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_|~-]+")
NEVER = ("authorization", "host", "content-length", "connection", "cookie")
GARBAGE: tuple[Any, ...] = (None, [], {}, "x", 7, [{}], {"error": None}, {"choices": 1}, {"message": {"content": [[]]}})
NOISE = (b"\x00\xff", b"{", b"[]", b"null", b"{}", b'"x"')
STATUSES = (400, 401, 403, 404, 413, 429, 500, 503)
#: Bytes of a stream that is cut at every one of them; of a longer one at so many places.
CUTS = 4000


@dataclass(frozen=True)
class Sample:
    """A reply of the dialect's upstream to ``chat``: ``whole`` is its JSON, ``stream`` the bytes of the same streamed, of
    which one may be absent. ``text`` is what it says, ``tools`` the names of the tools that it calls."""

    text: str = ""
    tools: tuple[str, ...] = ()
    whole: Any = None
    stream: bytes = b""
    chat: Chat | None = None


def faults(dialect: Any, samples: Iterable[Sample] = ()) -> list[str]:
    """What is wrong with ``dialect``, in words for its author."""
    try:
        checked_dialect(dialect.NAME, dialect)
    except (AttributeError, TypeError) as error:
        return [str(error)]
    found = [fault for name, chat in REQUESTS.items() for fault in _request(dialect, name, chat)]
    found += [*_garbage(dialect), *_errors(dialect)]
    for number, sample in enumerate(samples, 1):
        found += [f"sample {number}: {fault}" for fault in _sample(dialect, sample)]
    if not found and all(hasattr(dialect, name) for name in ("read_request", "StreamWriter", "write_response")):
        found += _both_ways(dialect)
    return list(dict.fromkeys(found))


# ---------------------------------------------------------------- requests


def _request(dialect: Any, name: str, chat: Chat) -> Iterator[str]:
    asked, chat = chat, copy.deepcopy(chat)
    for lenient in (False, True):
        try:
            doc, dropped = dialect.write_request(chat, lenient)
            body = orjson.dumps(doc).decode()
            again = orjson.dumps(dialect.write_request(chat, lenient)[0]).decode()
        except (Unsupported, BadRequest) as error:
            if name in LEAST:
                yield f"{name} cannot be written: {error}"
        except Exception as error:
            yield f"{name}: write_request raised {type(error).__name__}: {error}"
        else:
            yield from _written(name, asked, doc, dropped, body)
            if again != body:
                yield f"{name}: written twice, it is not the same"
    if chat != asked:
        yield f"{name}: write_request changes the chat that it is given"
    yield from _address(dialect, name, asked)


def _written(name: str, chat: Chat, doc: Any, dropped: Any, body: str) -> Iterator[str]:
    if not isinstance(doc, dict) or not isinstance(dropped, list) or not all(isinstance(d, str) for d in dropped):
        yield f"{name}: write_request must give an object and a list of the names of what it leaves out"
    elif (lost := [word for word in _words(chat) if word not in body]) and (name in LEAST or not dropped):
        yield f"{name}: {', '.join(lost)} is lost" + ("" if dropped else ", and not said to be")


def _words(chat: Chat) -> list[str]:
    return sorted(set(re.findall(r"word[a-z]+", repr(chat))))


def _address(dialect: Any, name: str, chat: Chat) -> Iterator[str]:
    url = dialect.url(chat)
    if not isinstance(url, str) or not url.startswith("/") or not url.isascii() or not url.isprintable() or " " in url:
        yield f"{name}: url must give a path that begins with /, quoted"
    for pair in dialect.headers(chat):
        key, value = pair
        if not HEADER.fullmatch(key) or key in NEVER or not value.isascii() or not value.isprintable():
            yield f"{name}: the header {key!r} cannot be sent; names are in lower case, and credentials are not its own"


# ---------------------------------------------------------------- replies


def _read(dialect: Any, pieces: Iterable[bytes], chat: Chat | None) -> list[Event]:
    frames, reader = dialect.FRAMES(), dialect.StreamReader(chat)
    split = [frame for piece in pieces for frame in frames.feed(piece)] + frames.flush()
    found: list[Event] = [event for frame in split for event in reader.feed(frame)]
    found += reader.flush()
    return found


def _garbage(dialect: Any) -> Iterator[str]:
    """Whatever an upstream sends, it is no exception."""
    chat = REQUESTS["a text"]
    for doc in GARBAGE:
        found = _tried(lambda doc=doc: dialect.read_response(doc, chat))  # type: ignore[misc]
        yield from (f"read_response of {doc!r}: {fault}" for fault in _told(found))
    for noise in NOISE:
        found = _tried(lambda noise=noise: _read_frame(dialect, noise, chat))  # type: ignore[misc]
        yield from (f"StreamReader, given {noise!r}: {fault}" for fault in _told(found))
    nothing = _tried(lambda: _read(dialect, (), chat))
    if not isinstance(nothing, list) or not nothing or not isinstance(nothing[-1], Failed):
        yield "StreamReader: a stream that ends before its end must be a Failed"


@dataclass
class _Frame:
    data: bytes
    type: str = ""

    @property
    def raw(self) -> bytes:
        return b"data: " + self.data + b"\n\n"


def _read_frame(dialect: Any, data: bytes, chat: Chat) -> list[Event]:
    reader = dialect.StreamReader(chat)
    found = [*reader.feed(_Frame(data)), *reader.flush()]
    if not reader.over:
        raise AssertionError("after flush, over must be true")
    return found


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:
        return error


def _told(found: Any) -> Iterator[str]:
    if isinstance(found, Exception):
        yield f"it raised {type(found).__name__}: {found}"
    elif not isinstance(found, list) or not all(isinstance(event, Event) for event in found):
        yield "it must give a list of events of the vocabulary"
    else:
        kinds = [event.kind for event in found if isinstance(event, Failed)]
        yield from (f"there is no kind of error {kind!r}" for kind in kinds if kind not in KINDS)


def _errors(dialect: Any) -> Iterator[str]:
    for status in STATUSES:
        for doc in (*GARBAGE, {"error": {"message": "wordwhy"}}):
            found = _tried(lambda status=status, doc=doc: dialect.read_error(status, doc))  # type: ignore[misc]
            if not isinstance(found, Failed) or found.kind not in KINDS or not isinstance(found.message, str):
                yield f"read_error of {status} and {doc!r} must give a Failed of a known kind, not {found!r}"


# ---------------------------------------------------------------- samples


def _sample(dialect: Any, sample: Sample) -> Iterator[str]:
    chat = sample.chat or REQUESTS["a text"]
    if sample.whole is not None:
        yield from _says("whole", _tried(lambda: dialect.read_response(sample.whole, chat)), sample)
    if not sample.stream:
        return
    events = _tried(lambda: _read(dialect, [sample.stream], chat))
    yield from _says("stream", events, sample)
    step = max(1, len(sample.stream) // CUTS)
    for at in range(1, len(sample.stream), step):
        if _tried(lambda at=at: _read(dialect, [sample.stream[:at], sample.stream[at:]], chat)) != events:  # type: ignore[misc]
            yield f"stream: cut after byte {at} it gives other events"
            break
    half = _tried(lambda: _read(dialect, [sample.stream[: len(sample.stream) // 2]], chat))
    if not isinstance(half, list) or not isinstance(half[-1], Failed):
        yield "stream: half of it must end in a Failed"


def _says(form: str, found: Any, sample: Sample) -> Iterator[str]:
    yield from (wrong := [f"{form}: {fault}" for fault in _told(found)])
    if wrong:
        return
    yield from (f"{form}: {fault}" for fault in _order(found))
    reply = fold(found)
    text, tools = _said(reply)
    if reply.failed is not None:
        yield f"{form}: it is read as an error: {reply.failed.message}"
    elif (text, tools) != (sample.text, sample.tools):
        yield f"{form}: it says {text!r} and calls {tools}, not {sample.text!r} and {sample.tools}"
    elif reply.usage is None:
        yield f"{form}: it tells no usage"


def _said(reply: Reply) -> tuple[str, tuple[str, ...]]:
    parts = [part for choice in reply.choices.values() for part in choice.parts]
    texts = "".join(part.text for part in parts if isinstance(part, Text))
    return texts, tuple(part.name for part in parts if isinstance(part, ToolCall))


def _order(events: list[Event]) -> Iterator[str]:
    """Begun once, ended once, and each call begun before its arguments."""
    if not events or not isinstance(events[0], Started) or sum(isinstance(event, Started) for event in events) != 1:
        yield "Started must come once, and first"
    ends = [(event.choice, n) for n, event in enumerate(events) if isinstance(event, Finished)]
    if len({choice for choice, _ in ends}) != len(ends) or not ends:
        yield "Finished must come once for each choice"
    begun: set[tuple[int, int]] = set()
    for event in events:
        if isinstance(event, ToolStarted):
            begun.add((event.choice, event.index))
        elif isinstance(event, ToolDelta) and (event.choice, event.index) not in begun:
            yield "a ToolDelta comes before its ToolStarted"


# ---------------------------------------------------------------- both sides


def _both_ways(dialect: Any) -> Iterator[str]:
    """What it writes, it reads again."""
    for name in LEAST:
        doc = orjson.loads(orjson.dumps(dialect.write_request(REQUESTS[name], False)[0]))
        again = _tried(lambda doc=doc: dialect.read_request(doc, "/v1beta/models/model-x:generateContent"))  # type: ignore[misc]
        if not isinstance(again, Chat) or not set(_words(REQUESTS[name])) <= set(_words(again)):
            yield f"{name}: read_request of what write_request gives is not the same"
    for name, events in REPLIES.items():
        chat, meant = REQUESTS["tools"], _said(fold(events))
        whole = _tried(lambda e=events, c=chat: dialect.read_response(dialect.write_response(e, c), c))  # type: ignore[misc]
        if isinstance(whole, Exception) or _said(fold(whole)) != meant:
            yield f"{name}: read_response of what write_response gives is not the same"
        writer = dialect.StreamWriter(chat)
        data = b"".join(writer.feed(event) for event in events) + writer.flush()
        streamed = _tried(lambda data=data, c=chat: _read(dialect, [data], c))  # type: ignore[misc]
        if isinstance(streamed, Exception) or _said(fold(streamed)) != meant or [*_order(streamed)]:
            yield f"{name}: StreamReader of what StreamWriter gives is not the same"
