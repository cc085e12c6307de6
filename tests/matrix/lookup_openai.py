"""What a reply of OpenAI's two APIs tells: the tests' own look-up, written apart from the gateway's readers."""

from __future__ import annotations

import json
from typing import Any

from tests.matrix.meaning import Told
from tests.recorded_usage import Tokens

Json = Any


def tokens(usage: Json) -> Tokens | None:
    """Of both APIs: cached tokens are in the input, reasoning is in the output. xAI counts reasoning in the total only."""
    if not usage:
        return None
    given = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    thought = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    made = usage.get("completion_tokens", usage.get("output_tokens"))
    return Tokens(
        read,
        max(made, usage.get("total_tokens", 0) - read),
        given.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,
        given.get("cache_write_tokens") or 0,
        thought.get("reasoning_tokens") or 0,
    )


def chat(docs: list[Json], stream: bool) -> Told:
    message, finish, usage = _chunks(docs) if stream else _whole(docs[0])
    calls = tuple((call["name"], json.loads(call["arguments"] or "{}")) for call in message["calls"])
    reason = {"function_call": "tool_calls"}.get(finish, finish)
    refused = message["refusal"] and reason == "stop"
    return Told(
        message["content"],
        calls,
        "refused" if refused else reason,
        finish,
        tokens(usage),
        message["thinking"],
        message["refusal"],
    )


def _thinking(message: Json) -> str:
    return message.get("reasoning_content") or message.get("reasoning") or ""


def _whole(doc: Json) -> tuple[Json, str, Json]:
    choice = doc["choices"][0]
    message = choice["message"]
    found = {
        "content": message.get("content") or "",
        "refusal": message.get("refusal") or "",
        "thinking": _thinking(message),
        "calls": [call["function"] for call in message.get("tool_calls") or ()],
    }
    return found, choice["finish_reason"], doc.get("usage")


def _chunks(docs: list[Json]) -> tuple[Json, str, Json]:
    found: Json = {"content": "", "refusal": "", "thinking": "", "calls": []}
    finish, usage = "", None
    for doc in docs:
        usage = doc.get("usage") or (doc.get("x_groq") or {}).get("usage") or usage
        for choice in doc["choices"]:
            delta = choice.get("delta") or {}
            finish = choice.get("finish_reason") or finish
            found["content"] += delta.get("content") or ""
            found["refusal"] += delta.get("refusal") or ""
            found["thinking"] += _thinking(delta)
            for call in delta.get("tool_calls") or ():
                _add(found["calls"], call)
    return found, finish, usage


def _add(calls: list[Json], call: Json) -> None:
    if call["index"] == len(calls):
        calls.append({"name": "", "arguments": ""})
    for name in ("name", "arguments"):
        calls[call["index"]][name] += call.get("function", {}).get(name) or ""


def responses(docs: list[Json], stream: bool) -> Told:
    doc = docs[-1]["response"] if stream else docs[0]
    text = refusal = thinking = ""
    calls = []
    for item in doc["output"]:
        if item["type"] == "message":
            text += "".join(part["text"] for part in item["content"] if part["type"] == "output_text")
            refusal += "".join(part["refusal"] for part in item["content"] if part["type"] == "refusal")
        elif item["type"] == "function_call":
            calls.append((item["name"], json.loads(item["arguments"])))
        elif item["type"] == "reasoning":
            thinking += "".join(part["text"] for part in (item.get("content") or []) + item["summary"])
        else:
            raise LookupError(item["type"])
    return Told(text, tuple(calls), _ending(doc, calls, refusal), native(doc), tokens(doc["usage"]), thinking, refusal)


def native(doc: Json) -> str:
    reason = (doc.get("incomplete_details") or {}).get("reason")
    return f"{doc['status']}: {reason}" if reason else str(doc["status"])


def _ending(doc: Json, calls: list[Any], refusal: str) -> str:
    if doc["status"] == "incomplete":
        return {"max_output_tokens": "length"}.get(doc["incomplete_details"]["reason"], "content_filter")
    if doc["status"] != "completed":
        raise LookupError(doc["status"])
    return "tool_calls" if calls else "refused" if refusal else "stop"
