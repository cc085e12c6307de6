"""Every recorded request and reply of one dialect, written in each other one: nothing is lost without being named."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from providers.chat import (
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
    function_tools,
)
from providers.dialects import CLIENTS, UPSTREAMS
from providers.dialects.tool_names import unwrapped
from providers.events import Event, Failed, Finished
from tests.dialect_shapes import said, split
from tests.recordings import Recording
from tests.test_recordings import DIALECTS, chat_of, of_dialect, read, replies, reply_events

PAIRS = [(client, upstream) for client in DIALECTS for upstream in DIALECTS if client != upstream]


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
    text = unwrapped(call.arguments)
    try:
        return json.loads(text or "{}") or {}
    except ValueError:
        return text


def carried(chat: Chat) -> dict[str, Any]:
    """What a request says, wherever its dialect puts it: texts by speaker, calls, results, media, tools."""
    spoken: Counter[str] = Counter()
    calls, results, media = [], [], Counter[str]()
    messages = [Message("system", chat.system), *chat.messages]
    for message in messages:
        spoken[message.role.replace("developer", "system").replace("tool", "user")] += len(texts(message.parts))
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls.append((part.name.rpartition("__")[2], arguments(part)))
            elif isinstance(part, ToolResult):
                results.append(texts(part.parts))
                media.update(
                    type(inner).__name__ for inner in part.parts if isinstance(inner, Image | File) and not words(inner)
                )
            elif isinstance(part, Image | File) and not words(part):
                media[type(part).__name__] += 1
    choice = chat.tool_choice
    only = {name for _, name in choice.names} if choice and choice.mode == "allowed" else None
    tools = [tool.name.rpartition("__")[2] for _, tool in function_tools(chat.tools) if not only or tool.name in only]
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


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
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
        back = CLIENTS[upstream].read_request(json.loads(json.dumps(doc)), UPSTREAMS[upstream].url(chat))
        if why := lost(carried(chat), carried(back), dropped):
            wrong.append(f"{recording.id}: {why}")
    print(f"\n{client} -> {upstream}: {total - len(wrong) - refused.total()} of {total}; refused {dict(refused)}")
    print("  dropped", dict(dropped_names))
    assert wrong == []


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
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_replies_say_the_same_in_every_other_dialect(client: str, upstream: str, stream: bool) -> None:
    wrong, total = [], 0
    for recording in replies(upstream):
        events = reply_events(upstream, recording, chat_of(upstream, recording))
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


def known(recording: Recording, one: Any, two: Any) -> bool:
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
