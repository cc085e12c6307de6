"""What a reply of the other vendors' APIs tells: the tests' own look-up, written apart from the gateway's readers."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.matrix.meaning import Told
from tests.recorded_usage import Tokens

Json = Any
MESSAGES = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"} | {
    word: word for word in ("stop_sequence", "refusal")
}
CONVERSE = MESSAGES | {"guardrail_intervened": "content_filter", "content_filtered": "content_filter"}
GENERATE = {"STOP": "stop", "MAX_TOKENS": "length"} | dict.fromkeys(
    ("SAFETY", "PROHIBITED_CONTENT", "RECITATION", "BLOCKLIST", "SPII", "IMAGE_SAFETY"), "content_filter"
)
COHERE = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop_sequence", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


def beside_cache(usage: Json, given: str, made: str, read: str, written: str, thought: int = 0) -> Tokens:
    """Of vendors whose input leaves out what the cache read and wrote."""
    cached, stored = usage.get(read) or 0, usage.get(written) or 0
    return Tokens((usage.get(given) or 0) + cached + stored, usage.get(made) or 0, cached, stored, thought)


def messages(docs: list[Json], stream: bool) -> Told:
    doc = _message(docs) if stream else docs[0]
    text = thinking = ""
    calls = []
    for block in doc["content"]:
        if block["type"] == "text":
            text += block["text"]
        elif block["type"] == "thinking":
            thinking += block["thinking"]
        elif block["type"] == "tool_use":
            calls.append((block["name"], block["input"]))
        elif block["type"] != "redacted_thinking":
            raise LookupError(block["type"])
    usage, reason = doc["usage"], doc["stop_reason"]
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return Told(text, tuple(calls), MESSAGES[reason], reason, beside_cache(usage, *names, thought), thinking)


def _message(docs: list[Json]) -> Json:
    doc: Json = {}
    for event in docs:
        kind = event["type"]
        if kind == "message_start":
            doc = {**event["message"], "content": []}
        elif kind == "content_block_start":
            doc["content"].append({**event["content_block"], "json": ""})
        elif kind == "content_block_delta":
            _piece(doc["content"][event["index"]], event["delta"])
        elif kind == "message_delta":
            doc |= event["delta"]
            doc["usage"] |= {name: value for name, value in event["usage"].items() if value is not None}
    for block in doc["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["json"] or "{}")
    return doc


def _piece(block: Json, delta: Json) -> None:
    for name, value in delta.items():
        if name in ("text", "thinking"):
            block[name] += value
        elif name == "partial_json":
            block["json"] += value


def generate(docs: list[Json], stream: bool) -> Told:
    text = thinking = finish = ""
    calls = []
    usage: Json = {}
    for doc in docs:
        usage = doc.get("usageMetadata") or usage
        finish = (doc.get("promptFeedback") or {}).get("blockReason") or finish
        for candidate in doc.get("candidates") or ():
            finish = candidate.get("finishReason") or finish
            for part in (candidate.get("content") or {}).get("parts") or ():
                call = part.get("functionCall")
                if call:
                    calls.append((call["name"], call.get("args") or {}))
                elif "text" not in part:
                    raise LookupError(str(part)[:60])
                elif part.get("thought"):
                    thinking += part["text"]
                else:
                    text += part["text"]
    reason = GENERATE.get(finish)
    if reason is None:
        raise LookupError(finish)
    reason = "tool_calls" if calls and reason == "stop" else reason
    return Told(text, tuple(calls), reason, finish, gemini_tokens(usage), thinking)


def gemini_tokens(usage: Json) -> Tokens:
    thought = usage.get("thoughtsTokenCount") or 0
    return Tokens(
        (usage.get("promptTokenCount") or 0) + (usage.get("toolUsePromptTokenCount") or 0),
        (usage.get("candidatesTokenCount") or 0) + thought,
        usage.get("cachedContentTokenCount") or 0,
        0,
        thought,
    )


def ollama(docs: list[Json], stream: bool) -> Told:
    said = [doc.get("message") or {} for doc in docs]
    calls = [call["function"] for message in said for call in message.get("tool_calls") or ()]
    last = docs[-1]
    reason = {"stop": "tool_calls" if calls else "stop", "length": "length"}[last["done_reason"]]
    return Told(
        "".join(message.get("content") or "" for message in said),
        tuple((call["name"], call["arguments"]) for call in calls),
        reason,
        last["done_reason"],
        Tokens(last.get("prompt_eval_count") or 0, last.get("eval_count") or 0),
        "".join(message.get("thinking") or "" for message in said),
    )


def converse(docs: list[Json], stream: bool) -> Told:
    doc = _conversed(docs) if stream else docs[0]
    text = thinking = ""
    calls = []
    for block in doc["output"]["message"]["content"]:
        kind, value = next(iter(block.items()))
        if kind == "text":
            text += value
        elif kind == "toolUse":
            calls.append((value["name"], value["input"]))
        elif kind == "reasoningContent":
            thinking += (value.get("reasoningText") or {}).get("text") or ""
        else:
            raise LookupError(kind)
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    reason = doc["stopReason"]
    return Told(text, tuple(calls), CONVERSE[reason], reason, beside_cache(doc["usage"], *names), thinking)


def _conversed(docs: list[Json]) -> Json:
    doc: Json = {"output": {"message": {"content": []}}}
    blocks: dict[int, Json] = {}
    for event in docs:
        kind, told = next(iter(event.items()))
        if kind == "contentBlockStart":
            blocks[told["contentBlockIndex"]] = {"toolUse": {**told["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            _block_piece(blocks, told)
        elif kind in ("messageStop", "metadata"):
            doc |= told
    for _, block in sorted(blocks.items()):
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        doc["output"]["message"]["content"].append(block)
    return doc


def _block_piece(blocks: dict[int, Json], told: Json) -> None:
    kind, value = next(iter(told["delta"].items()))
    if kind == "text":
        blocks.setdefault(told["contentBlockIndex"], {"text": ""})["text"] += value
    elif kind == "toolUse":
        blocks[told["contentBlockIndex"]]["toolUse"]["input"] += value["input"]
    else:
        held = blocks.setdefault(told["contentBlockIndex"], {"reasoningContent": {"reasoningText": {"text": ""}}})
        held["reasoningContent"]["reasoningText"]["text"] += value.get("text") or ""
        base64.b64decode(value.get("redactedContent") or "", validate=True)


def cohere(docs: list[Json], stream: bool) -> Told:
    doc = _cohere(docs) if stream else docs[0]
    said = doc["message"]
    parts = said.get("content") or ()
    usage = doc.get("usage") or {}
    counts = usage.get("billed_units") or usage.get("tokens") or {}
    given = int(counts.get("input_tokens") or 0)
    # Billed units have no discount; what came from a cache is a part of the tokens only.
    cached = 0 if usage.get("billed_units") else min(given, int(usage.get("cached_tokens") or 0))
    return Told(
        "".join(part.get("text") or "" for part in parts),
        tuple((c["function"]["name"], json.loads(c["function"]["arguments"])) for c in said.get("tool_calls") or ()),
        COHERE[doc["finish_reason"]],
        doc["finish_reason"],
        Tokens(given, int(counts.get("output_tokens") or 0), cached),
        (said.get("tool_plan") or "") + "".join(part.get("thinking") or "" for part in parts),
    )


def _cohere(docs: list[Json]) -> Json:
    said: Json = {"content": [{"text": "", "thinking": ""}], "tool_calls": [], "tool_plan": ""}
    doc: Json = {"message": said}
    for event in docs:
        kind, delta = event["type"], event.get("delta") or {}
        told = delta.get("message") or {}
        if kind in ("content-start", "content-delta"):
            for name in ("text", "thinking"):
                said["content"][0][name] += told["content"].get(name) or ""
        elif kind == "tool-plan-delta":
            said["tool_plan"] += told["tool_plan"]
        elif kind == "tool-call-start":
            said["tool_calls"].append({"function": dict(told["tool_calls"]["function"])})
        elif kind == "tool-call-delta":
            said["tool_calls"][-1]["function"]["arguments"] += told["tool_calls"]["function"]["arguments"]
        elif kind == "message-end":
            doc |= delta
    return doc
