"""Bedrock's Converse dialect over all recordings, and over garbage."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.chat import (
    BadRequest,
    Chat,
    Text,
    Thinking,
    ToolCall,
    Unsupported,
)
from providers.dialects import CLIENTS, bedrock
from providers.dialects.folding import fold
from providers.events import Event, Failed, Finished, OpaqueAdded, Started, Used
from tests import recordings
from tests.bedrock_shapes import CLAUDE, NOVA_2, Json, chat_of, normal, read, wrong_in
from tests.dialect_shapes import Sse
from tests.test_dialects_streams import JSON, spoiled, written
from tests.test_eventstream import rows, streams

MODELS = (CLAUDE, NOVA_2, "openai.gpt-oss-120b-1:0", "mistral.mistral-large-3-675b-instruct")


@pytest.mark.parametrize("model", MODELS)
def test_requests_of_every_dialect_are_valid(model: str) -> None:
    counts: Counter[str] = Counter()
    chats = ("openai.chat", "openai.responses", "anthropic.messages", "gemini.generateContent")
    for recording in recordings.require():
        if recording.api not in (*chats, "gemini.streamGenerateContent") or recording.status >= 400:
            continue
        client = recording.api.replace(".", "_") if recording.dialect == "openai" else recording.dialect
        try:
            chat = CLIENTS[client].read_request(recording.request_body, recording.path)
        except BadRequest:
            continue
        chat.model = model
        try:
            doc, _ = bedrock.write_request(chat)
            counts["strict"] += 1
        except Unsupported as error:
            counts[f"refused {error.field}"] += 1
            doc, _ = bedrock.write_request(chat, lenient=True)
        why = wrong_in(doc, model)
        assert not why, (recording.id, why)
    print(f"\n{model}: {counts.most_common()}")
    assert counts["strict"] > 0.7 * counts.total()


def test_recorded_requests_come_out_as_they_were_sent() -> None:
    """Save what a client cannot say: a result of success to a model of a family that knows no status."""
    count = unsaid = 0
    for row in rows("bedrock.converse") + rows("bedrock.converseStream"):
        body, model = row["request_body"], row["model"]
        if row["status"] >= 400:
            continue
        try:
            doc, dropped = bedrock.write_request(chat_of(body, model))
        except KeyError:  # a block that no client can say
            unsaid += 1
            continue
        expected = normal(body)
        if not any(name in model for name in ("claude", "nova", "arn")):
            for message in expected["messages"]:
                for block in message["content"]:
                    block.get("toolResult", {}).pop("status", None)
        assert normal(doc) == expected, row["id"]
        assert not dropped, (row["id"], dropped)
        count += 1
    print(f"\n{count} requests, {unsaid} with what no client can say")
    assert count and unsaid <= 0.05 * count


def told(events: list[Event]) -> tuple[str, list[tuple[str, str, Any]], tuple[int, ...], str]:
    """(text, calls, usage, reason)"""
    reply = fold(events)
    choice = reply.choices[0]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    usage = reply.usage
    assert usage and choice.finished and reply.failed is None
    counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    text = "".join(part.text for part in choice.parts if isinstance(part, Text))
    return (
        text,
        [(call.id, call.name, json.loads(call.arguments or "{}")) for call in calls],
        counts,
        choice.finished.native,
    )


def counted(usage: Json) -> tuple[int, ...]:
    cached, written_ = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    assert usage["totalTokens"] == usage["inputTokens"] + cached + written_ + usage["outputTokens"]
    return usage["totalTokens"] - usage["outputTokens"], usage["outputTokens"], cached, written_


def test_recorded_streams_are_read() -> None:
    for row in streams():
        text, calls, usage, reason = "", dict[int, list[Any]](), tuple[int, ...](), ""
        for each in row["response_events"]:
            payload, at = each["payload"], each["payload"].get("contentBlockIndex", -1)
            start, delta = payload.get("start", {}).get("toolUse"), payload.get("delta", {})
            if start and start.get("type") != "server_tool_use":
                calls[at] = [start["toolUseId"], start["name"], ""]
            text += delta.get("text", "")
            if at in calls and "toolUse" in delta:
                calls[at][2] += delta["toolUse"]["input"]
            reason = payload.get("stopReason", reason)
            usage = counted(payload["usage"]) if "usage" in payload else usage
        expected = [(call, name, json.loads(arguments or "{}")) for call, name, arguments in calls.values()]
        chat = Chat("anthropic", row["model"], [])
        found = read(base64.b64decode(row["response_base64"]), chat)
        assert told(found) == (text, expected, usage, reason), row["id"]
        assert found[0] == Started("", row["model"], 0, "bedrock")


def test_recorded_replies_are_read() -> None:
    for row in rows("bedrock.converse"):
        body = row["response_body"]
        if row["status"] >= 400:
            failed = bedrock.read_error(row["status"], body)
            assert (failed.message, failed.status) == (body["message"], row["status"])
            continue
        if "usage" not in body:
            continue
        blocks = body["output"]["message"]["content"]
        uses = [block["toolUse"] for block in blocks if "toolUse" in block]
        calls = [(u["toolUseId"], u["name"], u["input"]) for u in uses if u.get("type") != "server_tool_use"]
        text = "".join(block.get("text", "") for block in blocks)
        found = bedrock.read_response(body, Chat("gemini", row["model"], []))
        assert told(found) == (text, calls, counted(body["usage"]), body["stopReason"]), row["id"]
        thought = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
        parts = [part for part in fold(found).choices[0].parts if isinstance(part, Thinking)]
        assert ["".join(part.texts) for part in parts] == [t.get("reasoningText", {}).get("text", "") for t in thought]
        opaque = [each.raw for each in found if isinstance(each, OpaqueAdded)]
        assert opaque == [
            b
            for b in blocks
            if next(iter(b.values())).__class__ is dict
            and "type" in next(iter(b.values()))
            and next(iter(b.values()))["type"] != "tool_use"
        ]


def test_every_prefix_is_one_failure_until_the_reason_is_known() -> None:
    """Usage may be missing then, but the answer is whole."""
    count = 0
    for row in streams():
        raw = base64.b64decode(row["response_base64"])
        end = 0
        while b"messageStop" not in raw[:end]:
            end += struct.unpack_from("!I", raw, end)[0]
        for at in {*random.Random(row["id"]).sample(range(end), 40), end - 1, 0}:
            count += 1
            found = read(raw[:at])
            assert isinstance(found[-1], Failed), (row["id"], at)
            assert sum(isinstance(each, Failed | Finished) for each in found) == 1
        for at in (end, len(raw) - 1, len(raw)):
            found = read(raw[:at])
            assert isinstance(found[-1], Finished) and not any(isinstance(each, Failed) for each in found)
            assert any(isinstance(each, Used) for each in found) is (at == len(raw))
    print(f"\n{count} prefixes")


def test_recorded_replies_are_written_for_every_client() -> None:
    for row in streams():
        written("bedrock", read(base64.b64decode(row["response_base64"])))
    for row in rows("bedrock.converse"):
        written("bedrock", bedrock.read_response(row["response_body"]))


# ---------------------------------------------------------------- garbage

MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = [
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
    "throttlingException", "x", "",
]  # fmt: skip


@MANY
@given(data=st.data())
def test_spoiled_streams_raise_nothing(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(streams()))
    frames = [
        Sse(each["headers"][":event-type"], json.dumps(each["payload"]).encode()) for each in row["response_events"]
    ]
    at = data.draw(st.integers(0, len(frames) - 1))
    frames[at] = Sse(frames[at].type, json.dumps(spoiled(row["response_events"][at]["payload"], data.draw)).encode())
    reader = bedrock.StreamReader()
    written("bedrock", [each for frame in frames for each in reader.feed(frame)] + reader.flush())


@MANY
@given(frames=st.lists(st.tuples(st.sampled_from(KINDS), JSON | st.binary(max_size=20)), max_size=6))
def test_garbage_streams_raise_nothing(frames: list[tuple[str, Any]]) -> None:
    reader = bedrock.StreamReader()
    found: list[Event] = []
    for kind, doc in frames:
        found += reader.feed(Sse(kind, doc if isinstance(doc, bytes) else json.dumps(doc).encode()))
    found += reader.flush()
    assert sum(isinstance(each, Failed) for each in found) <= 1
    written("bedrock", found)


@MANY
@given(data=st.data(), status=st.integers(100, 599))
def test_garbage_replies_raise_nothing(data: st.DataObject, status: int) -> None:
    row = data.draw(st.sampled_from([row for row in rows("bedrock.converse") if row["status"] == 200]))
    for doc in (spoiled(row["response_body"], data.draw), data.draw(JSON)):
        written("bedrock", bedrock.read_response(doc))
        assert isinstance(bedrock.read_error(status, doc), Failed)
