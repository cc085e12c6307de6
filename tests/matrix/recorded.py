"""The recorded replies of every upstream dialect, in the order in which a cell may choose from them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests import recordings

#: Upstream dialect -> the files with its replies, and the vendor whose own it is.
FILES = {
    "chat": (("openai.chat",), "openai"),
    "responses": (("openai.responses",), "openai"),
    "messages": (("anthropic.messages",), "anthropic"),
    "generate": (("gemini.generateContent", "gemini.streamGenerateContent"), "gemini"),
    "ollama": (("ollama.chat",), "ollama"),
    "converse": (("bedrock.converse", "bedrock.converseStream"), "bedrock"),
    "cohere": (("cohere.chat",), "cohere"),
}
#: Replies of which a part has no counterpart elsewhere; they have tests of their own.
APART = {"server_tool", "audio", "n>1", "video"}
#: What a reply may hold besides; those without it come first.
BESIDES = {"logprobs", "citations"}
BROKEN = "error_in_stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it is on the wire, and as JSON: the body, or the documents of its events."""

    id: str
    status: int
    stream: bool
    content_type: str
    body: bytes = field(repr=False)
    docs: tuple[Any, ...] = field(repr=False)
    features: frozenset[str] = frozenset()
    fixture: bool = False


def sse_docs(text: str) -> list[Any]:
    lines = text.replace("\r\n", "\n").split("\n")
    data = (line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
    return [json.loads(each) for each in data if each and each != "[DONE]"]


def _reply(row: dict[str, Any]) -> Reply:
    headers = {name.lower(): value for name, value in (row["response_headers"] or {}).items()}
    text = row.get("response_text")
    if row.get("response_base64"):
        body = base64.b64decode(row["response_base64"])
        docs = [{event["headers"][":event-type"]: event["payload"]} for event in row["response_events"]]
    elif text is not None:
        body = text.encode()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        docs = lines if row["api"] == "ollama.chat" else sse_docs(text) if row["stream"] else []
    else:
        body, docs = json.dumps(row["response_body"]).encode(), [row["response_body"]]
    kind = {"ollama.chat": "application/x-ndjson"}.get(row["api"], "text/event-stream")
    return Reply(
        row["id"],
        row["status"],
        row["stream"],
        headers.get("content-type") or (kind if row["stream"] else "application/json"),
        body,
        tuple(docs),
        frozenset(row["features"]),
    )


@cache
def replies(upstream: str) -> tuple[Reply, ...]:
    """Its vendor's own first, then by id; none where the folder is absent."""
    names, vendor = FILES[upstream]
    files = [recordings.folder() / f"{name}.jsonl" for name in names]
    rows = [json.loads(line) for file in files if file.exists() for line in file.read_text("utf-8").split("\n") if line]
    usual = [row for row in rows if not any(name in APART or name[:8] == "builtin_" for name in row["features"])]
    usual.sort(key=lambda row: (row["provider"] != vendor, not BESIDES.isdisjoint(row["features"]), row["id"]))
    return tuple(_reply(row) for row in usual if row.get("stream_complete") is not False or BROKEN in row["features"])
