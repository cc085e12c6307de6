"""Every recorded request and reply of one dialect, written in each other one: nothing is lost without being named."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from providers.chat import (
    Audio,
    BadRequest,
    Chat,
    File,
    Image,
    Message,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Unsupported,
    Video,
    function_tools,
)
from providers.dialects import CLIENTS, UPSTREAMS, bedrock_write_request, cohere_write_request, ollama_write_request
from providers.dialects.tool_names import ToolNames, unwrapped
from providers.events import Event, Failed, Finished
from providers.usage import Usage
from tests.dialect_shapes import said, split
from tests.recordings import Recording
from tests.test_recordings import DIALECTS, chat_of, of_dialect, read, replies, reply_events
from tests.upstream_replies import FILES, READ, Replied, replied

PAIRS = [(client, upstream) for client in DIALECTS for upstream in DIALECTS if client != upstream]
TO_ANY = [(client, upstream) for client in DIALECTS for upstream in UPSTREAMS if client != upstream]
MEDIA = (Image, File, Audio, Video)
NAMINGS = {"ollama": ollama_write_request.NAMING, "bedrock": bedrock_write_request.NAMING}
NAMINGS["cohere"] = cohere_write_request.NAMING


def texts(parts: list[Part]) -> str:
    """The words of ``parts``; a document of plain text is words too, and some dialects have it only so."""
    return "".join(map(words, parts)).replace("\n", "").removeprefix("Error:")


def words(part: Part) -> str:
    if isinstance(part, Text | Refusal):
        return part.text
    if isinstance(part, File) and part.source.kind == "text":
        return part.source.value
    if isinstance(part, File) and part.source.kind == "data" and part.source.media_type.startswith("text/"):
        return base64.b64decode(part.source.value).decode()
    return ""


def arguments(call: ToolCall) -> Any:
    return free(unwrapped(call.arguments) or "{}") or {}


def free(text: str) -> Any:
    """JSON says the same however it is spaced."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def kind(part: Part) -> str:
    """An image, or another file: some dialects have sounds and films as files."""
    return "Image" if isinstance(part, Image) else "File"


def carried(chat: Chat, narrowed: bool = False) -> dict[str, Any]:
    """What a request says, wherever its dialect puts it: texts by speaker, calls, results, media, tools. ``narrowed``:
    a choice of one tool is told by offering no other."""
    spoken: Counter[str] = Counter()
    calls, results, media = [], [], Counter[str]()
    messages = [Message("system", chat.system), *chat.messages]
    for message in messages:
        spoken[message.role.replace("developer", "system").replace("tool", "user")] += len(texts(message.parts))
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls.append((part.name.rpartition("__")[2], arguments(part)))
            elif isinstance(part, ToolResult):
                results.append(free(texts(part.parts)))
                media.update(kind(inner) for inner in part.parts if isinstance(inner, MEDIA) and not words(inner))
            elif isinstance(part, MEDIA) and not words(part):
                media[kind(part)] += 1
    choice = chat.tool_choice
    narrow = ("allowed", "tool") if narrowed else ("allowed",)
    only = {name for _, name in choice.names} if choice and choice.mode in narrow else None
    offered = [] if choice and choice.mode == "none" else function_tools(chat.tools)
    tools = [tool.name.rpartition("__")[2] for _, tool in offered if not only or tool.name in only]
    given = chat.sampling
    return {
        "spoken": {role: length for role, length in spoken.items() if length},
        "calls": calls,
        "results": results,
        "media": media,
        "tools": sorted(tools),
        "top_p": given.top_p,
        "stop": chat.stop,
    }


def lost(before: dict[str, Any], after: dict[str, Any], dropped: list[str]) -> str:
    """Empty, or what ``after`` does not say and ``dropped`` does not name."""
    told = " ".join(dropped)
    for name, value in before.items():
        other = after[name]
        if name == "spoken" and ("messages.role" in told or "messages.content." in told):
            value, other = sum(value.values()), sum(other.values())
        if value != other and not (name == "results" and "messages.content." in told) and name not in told:
            return f"{name}: {str(value)[:200]} became {str(other)[:200]} (dropped: {told})"
    return ""


@pytest.mark.parametrize(("client", "upstream"), TO_ANY)
def test_requests_say_the_same_in_every_other_dialect(client: str, upstream: str) -> None:
    wrong, refused, dropped_names, total = [], Counter[str](), Counter[str](), 0
    for recording in of_dialect(client):
        try:
            chat = read(client, recording)
        except BadRequest:
            continue
        total += 1
        try:
            doc, dropped = UPSTREAMS[upstream].write_request(chat)
        except Unsupported as error:
            refused[error.field] += 1
            continue
        dropped_names.update(dropped)
        back = read_back(upstream, json.loads(json.dumps(doc)), chat)
        if why := lost(carried(chat, upstream == "cohere"), carried(back), dropped):
            wrong.append(f"{recording.id}: {why}")
    print(f"\n{client} -> {upstream}: {total - len(wrong) - refused.total()} of {total}; refused {dict(refused)}")
    print("  dropped", dict(dropped_names))
    assert wrong == []


def read_back(upstream: str, doc: Any, chat: Chat) -> Chat:
    """The request that ``upstream`` was sent for ``chat``, its tools under the client's names."""
    if upstream in CLIENTS:
        return CLIENTS[upstream].read_request(doc, UPSTREAMS[upstream].url(chat))
    back, names = READ[upstream](doc), ToolNames(chat, NAMINGS[upstream])
    for _, tool in function_tools(back.tools):
        tool.name = names.back(tool.name)[2]
    for call in (part for message in back.messages for part in message.parts if isinstance(part, ToolCall)):
        call.name = names.back(call.name)[2]
    return back


WORDS = {
    "stop_sequence": "stop",
    "pause": "stop",
    "context_window": "length",
    "error": "stop",
    "refusal": "content_filter",
}


def outcome(events: list[Event], client: str) -> Any:
    """What a reply says to a client of any dialect. Gemini's usage has no word for cache writes, two have none for
    audio; arguments that the
    length limit cut are no JSON, and travel as one text where an API wants an object."""
    what = said(events)
    choices = []
    for text, _, calls, reason in what.choices[:1]:
        told = [
            (name, (given or {})["input"] if isinstance(given, dict) and given.keys() == {"input"} else given or {})
            for _, _, name, given in calls
        ]
        choices.append((text, told, WORDS.get(reason, reason)))
    usage = what.usage
    if usage is not None and client == "gemini":
        output = max(usage.output_tokens, usage.reasoning_tokens)  # Vercel's reasoning is no part of its output
        usage = replace(usage, cache_write_tokens=0, output_tokens=output)
    if usage is not None and client in ("anthropic", "openai_responses"):
        usage = replace(usage, input_audio_tokens=0, output_audio_tokens=0)
    return ([], None, True) if what.failed else (choices, usage, False)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("client", "upstream"), TO_ANY)
def test_replies_say_the_same_in_every_other_dialect(client: str, upstream: str, stream: bool) -> None:
    wrong, total = [], 0
    for recording, events in recorded(upstream):
        if len([event for event in events if isinstance(event, Finished | Failed)]) != 1:
            continue  # errors, and n > 1, which only two dialects have
        total += 1
        asked = Chat(client, "m", [], stream=stream, stream_usage=True)
        again = rewritten(client, events, asked, stream)
        one, two = outcome(events, client), outcome(again, client)
        if one != two and not known(recording, one, two):
            wrong.append(f"{recording.id}: {str(one)[:300]} became {str(two)[:300]}")
    print(f"\n{upstream} -> {client} {'stream' if stream else 'whole'}: {total - len(wrong)} of {total}")
    assert wrong == []


def recorded(upstream: str) -> Iterator[tuple[Recording | Replied, list[Event]]]:
    """Every recorded good reply of ``upstream``, and what it says."""
    if upstream in FILES:
        yield from ((each, each.events(upstream)) for each in replied(upstream))
    else:
        yield from ((each, reply_events(upstream, each, chat_of(upstream, each))) for each in replies(upstream))


#: Clients whose replies have one answer.
ONE_CHOICE = ("openai_responses", "anthropic")


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_whole_and_streamed_replies_of_one_recording_say_the_same(upstream: str, client: str) -> None:
    """What a client reads of ``write_response`` and of ``StreamWriter``, folded: text, thoughts, calls, end and usage."""
    wrong, total = [], 0
    for recording, events in recorded(upstream):
        if b'"status":"queued"' in recording.reply:
            continue  # in the background: there is nothing to stream yet
        if client in ONE_CHOICE and len(said(events).choices) > 1:
            continue
        total += 1
        whole, streamed = (
            rewritten(client, events, Chat(client, "m", [], stream=stream, stream_usage=True), stream)
            for stream in (False, True)
        )
        one, two = folded(whole, client), folded(streamed, client)
        if one != two:
            wrong.append(f"{recording.id}: {str(one)[:700]} as a stream {str(two)[:700]}")
    print(f"\n{upstream} -> {client}: {total - len(wrong)} of {total} say the same whole and streamed")
    assert wrong == [] and total


def folded(events: list[Event], client: str) -> Any:
    """``outcome`` and the thoughts; usage that no upstream told may be told as zeros."""
    choices, usage, failed = outcome(events, client)
    thoughts = [] if failed else [thought for _, thought, _, _ in said(events).choices]
    return choices, usage or Usage(), failed, thoughts


def known(recording: Recording | Replied, one: Any, two: Any) -> bool:
    """Usage that no upstream told is told as zeros where the client's dialect requires some; a refusal is a filter."""
    (choices, usage, failed), (others, told, other_failed) = one, two
    refusal = "refusal" in recording.reply.decode() and [c[:2] for c in choices] == [c[:2] for c in others]
    return failed == other_failed and (choices == others or refusal) and (usage == told or usage is None)


def rewritten(client: str, events: list[Event], chat: Chat, stream: bool) -> list[Event]:
    dialect = CLIENTS[client]
    if not stream:
        return UPSTREAMS[client].read_response(json.loads(json.dumps(dialect.write_response(events, chat))))
    writer, reader = dialect.StreamWriter(chat), UPSTREAMS[client].StreamReader()
    written = b"".join(writer.feed(event) for event in events) + writer.flush()
    return [event for each in split(written) for event in reader.feed(each)] + reader.flush()
