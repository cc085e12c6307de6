"""What keeps the vocabulary honest: every recorded exchange of a dialect goes through it and comes out the same.

Another set of recordings of the same shape may be judged by this: ``GATEWAY_RECORDINGS``. Each property prints how many
hold; at most one in a hundred may be an exception, and each exception is a shape with a reason.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest

from providers.chat import BadRequest, Chat, HostedTool, Opaque, Text, Thinking, ToolCall, ToolResult
from providers.dialects import CLIENTS, UPSTREAMS
from providers.events import Event, Failed
from tests import recordings
from tests.dialect_allowed import EXTRA, FORMS, OPAQUE
from tests.dialect_shapes import NORMALISE, alike, said, split
from tests.recordings import Recording

APIS = {
    "openai_chat": ("openai.chat",),
    "openai_responses": ("openai.responses",),
    "anthropic": ("anthropic.messages",),
    "gemini": ("gemini.generateContent", "gemini.streamGenerateContent"),
}
DIALECTS = tuple(APIS)
ALLOWED_SHARE = 0.01
Predicate = Callable[[Recording, str], bool]


def _refused(recording: Recording, why: str) -> bool:
    """The upstream refused it as malformed, and so do we: a test of somebody's that sends text for a number."""
    return recording.status >= 400 and why.startswith("BadRequest")


def _error_after_finish(recording: Recording, why: str) -> bool:
    """OpenRouter adds an error to a stream that had finished: usage is told after an error nowhere else."""
    return b'"error"' in recording.reply and b'"finish_reason"' in recording.reply and "Used" in why


def _in_background(recording: Recording, why: str) -> bool:
    """A background reply that is only queued: there is nothing to stream yet."""
    return b'"status":"queued"' in recording.reply


#: property -> (predicate, reason) of the exceptions that may be
EXCEPTIONS: dict[str, list[tuple[Predicate, str]]] = {
    "request": [(_refused, "refused by its upstream and by us")],
    "reply": [(_error_after_finish, "an error after the finish")],
    "whole": [(_in_background, "queued in the background")],
    "mutation": [],
    "names": [],
}


def of_dialect(dialect: str) -> list[Recording]:
    found = [recording for recording in recordings.require() if recording.api in APIS[dialect]]
    if not found:
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(f"no recordings of {dialect}")
    return found


def judge(dialect: str, name: str, outcomes: Iterator[tuple[Recording, str]]) -> None:
    """Print the counts and fail where too many are exceptions, or one has no reason."""
    total, wrong, excused = 0, [], Counter[str]()
    for recording, why in outcomes:
        total += 1
        if not why:
            continue
        reason = next((text for fits, text in EXCEPTIONS[name] if fits(recording, why)), "")
        if reason:
            excused[reason] += 1
        else:
            wrong.append(f"{recording.id}: {why}")
    held = total - len(wrong) - excused.total()
    print(f"\n{dialect:17} {name:9} {held:4} of {total} hold", *(f"; {n} x {text}" for text, n in excused.items()))
    for line in wrong[:5]:
        print("   ", line[:600])
    assert len(wrong) + excused.total() <= max(1, total * ALLOWED_SHARE), wrong[:5]
    assert len(wrong) <= total * ALLOWED_SHARE / 2, wrong[:5]


def read(dialect: str, recording: Recording) -> Chat:
    return CLIENTS[dialect].read_request(recording.request_body, recording.path)


def chat_of(dialect: str, recording: Recording) -> Chat:
    """The request, or one that stands for it where it is no request of the dialect."""
    try:
        chat = read(dialect, recording)
    except BadRequest:
        chat = Chat(dialect, "m", [])
    chat.stream_usage = True  # so that usage is written, whether the client asked for it or not
    return chat


def differs(one: Any, two: Any, path: str = "") -> str:
    """Empty, or the first place where two JSON values differ; 1 and 1.0 are one number."""
    if isinstance(one, dict) and isinstance(two, dict):
        if one.keys() != two.keys():
            return f"{path}: lost {sorted(one.keys() - two.keys())}, added {sorted(two.keys() - one.keys())}"
        return next((why for name in one if (why := differs(one[name], two[name], f"{path}.{name}"))), "")
    if isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            return f"{path}: {len(one)} items became {len(two)}"
        return next((why for at in range(len(one)) if (why := differs(one[at], two[at], f"{path}[{at}]"))), "")
    return (
        "" if one == two and isinstance(one, bool) == isinstance(two, bool) else f"{path}: {one!r:.80} is {two!r:.80}"
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_requests_come_out_as_they_went_in(dialect: str) -> None:
    def outcome(recording: Recording) -> str:
        try:
            doc, dropped = UPSTREAMS[dialect].write_request(read(dialect, recording))
        except BadRequest as error:
            return f"BadRequest {error}"
        normal = NORMALISE[dialect]
        written = json.loads(json.dumps(doc))
        why = differs(normal(copy.deepcopy(recording.request_body)), normal(written))
        return why or (f"dropped {dropped}" if dropped else "")

    judge(dialect, "request", ((each, outcome(each)) for each in of_dialect(dialect)))


def replies(dialect: str) -> list[Recording]:
    return [recording for recording in of_dialect(dialect) if recording.status < 300]


def reply_events(dialect: str, recording: Recording, chat: Chat) -> list[Event]:
    upstream = UPSTREAMS[dialect]
    if not recording.stream:
        return upstream.read_response(json.loads(recording.reply), chat)
    reader = upstream.StreamReader(chat)
    return [event for each in split(recording.reply) for event in reader.feed(each)] + reader.flush()


def again(dialect: str, events: list[Event], chat: Chat, stream: bool) -> list[Event]:
    """The events after having been written and read once more."""
    client, upstream = CLIENTS[dialect], UPSTREAMS[dialect]
    if not stream:
        return upstream.read_response(json.loads(json.dumps(client.write_response(events, chat))), chat)
    writer, reader = client.StreamWriter(chat), upstream.StreamReader(chat)
    written = b"".join(writer.feed(event) for event in events) + writer.flush()
    return [event for each in split(written) for event in reader.feed(each)] + reader.flush()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_replies_come_out_as_they_went_in(dialect: str) -> None:
    def outcome(recording: Recording) -> str:
        chat = chat_of(dialect, recording)
        events = reply_events(dialect, recording, chat)
        if any(isinstance(event, Failed) and event.code == "upstream_garbage" for event in events):
            return "not understood"
        return alike(events, again(dialect, events, chat, recording.stream), recording.stream)

    judge(dialect, "reply", ((each, outcome(each)) for each in replies(dialect)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whole_and_streamed_say_the_same(dialect: str) -> None:
    """A recorded stream written whole, and a recorded whole reply written as a stream."""

    def outcome(recording: Recording) -> str:
        chat = chat_of(dialect, recording)
        events = reply_events(dialect, recording, chat)
        other = again(dialect, events, chat, not recording.stream)
        one, two = said(events), said(other)
        return "" if one == two or one.failed else f"{one} != {two}"

    judge(dialect, "whole", ((each, outcome(each)) for each in replies(dialect)))


# ---------------------------------------------------------------- nothing is carried around the vocabulary


def nodes(value: Any) -> Iterator[Any]:
    """Every dataclass in ``value``."""
    if dataclasses.is_dataclass(value):
        yield value
        for member in dataclasses.fields(value):
            yield from nodes(getattr(value, member.name))
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def mutations(chat: Chat) -> list[tuple[str, Callable[[], None]]]:
    """Each a change of one text, argument or sampling value."""
    found: list[tuple[str, Callable[[], None]]] = []
    for node in nodes(chat):
        if isinstance(node, Text):
            found.append(("text", partial(setattr, node, "text", f"{node.text} more")))
        elif isinstance(node, ToolCall):
            changed = f"{node.arguments} more" if node.kind == "custom" else '{"changed":true}'
            found.append(("arguments", partial(setattr, node, "arguments", changed)))
        elif isinstance(node, ToolResult):
            found.append(("result", partial(node.parts.append, Text("more"))))
        elif isinstance(node, Thinking) and node.texts:
            found.append(("thinking", partial(node.texts.append, "more")))
    sampling = chat.sampling
    for member in dataclasses.fields(sampling):
        value = getattr(sampling, member.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append((member.name, partial(setattr, sampling, member.name, value + 1)))
    if chat.max_tokens is not None:
        found.append(("max_tokens", partial(setattr, chat, "max_tokens", chat.max_tokens + 1)))
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_change_of_the_vocabulary_changes_the_request(dialect: str) -> None:
    def outcome(recording: Recording) -> str:
        try:
            chat = read(dialect, recording)
        except BadRequest:
            return ""
        upstream = UPSTREAMS[dialect]
        before = json.dumps(upstream.write_request(chat)[0])
        for name, change in mutations(chat):
            change()
            after = json.dumps(upstream.write_request(chat)[0])
            if after == before:
                return f"a change of {name} is not seen"
            before = after
        return ""

    judge(dialect, "mutation", ((each, outcome(each)) for each in of_dialect(dialect)))


def names_apart(chat: Chat) -> Iterator[tuple[str, str]]:
    """(extra or opaque, name) of all that the vocabulary holds without understanding it."""
    for node in nodes(chat):
        if isinstance(node, Opaque):
            yield "opaque", node.type
        elif isinstance(node, HostedTool):
            yield "opaque", str(node.raw.get("type") or next(iter(node.raw), ""))
        for name in getattr(node, "extra", ()):
            yield "extra", name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_listed_names_stand_apart(dialect: str) -> None:
    counts: Counter[tuple[str, str]] = Counter()

    def allowed(kind: str, name: str) -> bool:
        if kind == "extra":
            return name in EXTRA[dialect] or name in FORMS
        return any(fnmatchcase(name, pattern) for pattern in OPAQUE[dialect])

    def outcome(recording: Recording) -> str:
        try:
            found = list(names_apart(read(dialect, recording)))
        except BadRequest:
            return ""
        counts.update(found)
        return ", ".join(sorted({name for kind, name in found if not allowed(kind, name)}))

    judge(dialect, "names", ((each, outcome(each)) for each in of_dialect(dialect)))
    print(" ", ", ".join(f"{name} {count}" for (_, name), count in counts.most_common()))


def test_counts_are_of_all_recordings() -> None:
    """No recording of the four dialects is left out above."""
    apis = [api for group in APIS.values() for api in group]
    total = sum(len([r for r in recordings.require() if r.api in APIS[dialect]]) for dialect in DIALECTS)
    assert total == len([r for r in recordings.require() if r.api in apis])
