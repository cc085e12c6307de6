"""Recorded exchanges of the dialects that only upstreams speak: their requests, read for the tests alone, and replies."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from providers.chat import Chat, FunctionTool, Image, Message, Part, Source, Text, ToolCall, ToolChoice, ToolResult
from providers.dialects import UPSTREAMS
from providers.events import Event
from tests import bedrock_shapes, recordings

Doc = dict[str, Any]
FILES = {
    "ollama": ("ollama.chat",),
    "bedrock": ("bedrock.converse", "bedrock.converseStream"),
    "cohere": ("cohere.chat",),
}


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply, whole or streamed, to a request for ``model``."""

    id: str
    model: str
    stream: bool
    reply: bytes = field(repr=False)

    def events(self, upstream: str) -> list[Event]:
        dialect, chat = UPSTREAMS[upstream], Chat("openai_chat", self.model, [])
        if not self.stream:
            return dialect.read_response(json.loads(self.reply), chat)
        parser, reader = dialect.FRAMES(), dialect.StreamReader(chat)
        frames = parser.feed(self.reply) + parser.flush()
        return [event for frame in frames for event in reader.feed(frame)] + reader.flush()


def _reply(row: Doc) -> bytes:
    if row.get("response_base64"):
        return base64.b64decode(row["response_base64"])
    return (row.get("response_text") or json.dumps(row["response_body"])).encode()


@cache
def _load(upstream: str) -> tuple[Replied, ...]:
    files = [recordings.folder() / f"{name}.jsonl" for name in FILES[upstream]]
    lines = [line for file in files if file.exists() for line in file.read_text("utf-8").split("\n") if line]
    rows = [json.loads(line) for line in lines]
    return tuple(
        Replied(
            row["id"], row.get("model") or row["request_body"].get("model") or "m", bool(row["stream"]), _reply(row)
        )
        for row in rows
        if row["status"] < 300
    )


def replied(upstream: str) -> tuple[Replied, ...]:
    """The good replies of ``upstream``, or a skip that says why there are none."""
    if not _load(upstream):
        reason = f"no recordings of {upstream} in {recordings.folder()} (GATEWAY_RECORDINGS)"
        (pytest.fail if os.environ.get("GATEWAY_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return _load(upstream)


# ---------------------------------------------------------------- their requests


def _of_bedrock(doc: Doc) -> Chat:
    """A lone full stop stands where the API wants words and the client had none, a tool without use where it wants one
    for calls long past."""
    filler = {"text": "."}
    if doc["messages"][0]["content"] == [filler]:
        del doc["messages"][0]
    for message in doc["messages"]:
        if any("document" in block for block in message["content"]):
            message["content"] = [block for block in message["content"] if block != filler]
    config = doc.get("toolConfig", {"tools": []})
    past = "No longer available."
    config["tools"] = [tool for tool in config["tools"] if tool.get("toolSpec", {}).get("description") != past]
    return bedrock_shapes.chat_of(doc, "m")


def _tools(doc: Doc) -> list[Any]:
    return [FunctionTool(tool["function"]["name"]) for tool in doc.get("tools", ())]


def _calls(message: Doc) -> list[Part]:
    found: list[Part] = []
    for call in message.get("tool_calls", ()):
        told = call["function"]["arguments"]
        text = told if isinstance(told, str) else json.dumps(told)
        found.append(ToolCall(call.get("id", ""), call["function"]["name"], text))
    return found


def _of_ollama(doc: Doc) -> Chat:
    messages = []
    for each in doc["messages"]:
        parts: list[Part] = [Text(each["content"])]
        if each["role"] == "tool":
            parts = [ToolResult(each.get("tool_call_id", ""), parts)]
        parts += [Image(Source("data", data)) for data in each.get("images", ())] + _calls(each)
        messages.append(Message(each["role"], parts))
    chat = Chat("openai_chat", doc["model"], messages, tools=_tools(doc))
    options = doc.get("options", {})
    chat.sampling.top_p, chat.stop = options.get("top_p"), options.get("stop", [])
    return chat


def _of_cohere(doc: Doc) -> Chat:
    messages = []
    for each in doc["messages"]:
        content = each.get("content") or []
        blocks: list[Doc] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts: list[Part] = [Text(str(block["text"])) for block in blocks if block["type"] == "text"]
        parts += [Image(Source("url", b["image_url"]["url"])) for b in blocks if b["type"] == "image_url"]
        if each["role"] == "tool":
            parts = [ToolResult(each["tool_call_id"], parts)]
        messages.append(Message(each["role"], parts + _calls(each)))
    chat = Chat("openai_chat", doc["model"], messages, tools=_tools(doc), stop=doc.get("stop_sequences", []))
    chat.sampling.top_p = doc.get("p")
    if doc.get("tool_choice") == "NONE":
        chat.tool_choice = ToolChoice("none")
    return chat


#: Upstream -> the request that a client would have made for its body.
READ: dict[str, Callable[[Doc], Chat]] = {"ollama": _of_ollama, "bedrock": _of_bedrock, "cohere": _of_cohere}
