"""What a recording says it cost in tokens: the tests' own look-up, written apart from the gateway's readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.recordings import Json, Recording


class Tokens(NamedTuple):
    """Cache reads and writes are parts of the input, reasoning is a part of the output."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


def _number(usage: Json, *paths: str) -> int:
    """The first of the dotted ``paths`` that leads to a number above zero, else 0."""
    for path in paths:
        found: Any = usage
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, int) and found > 0:
            return found
    return 0


def _replies(recording: Recording) -> list[Json]:
    if recording.stream:
        return recording.events()
    body = json.loads(recording.reply)
    return [body] if isinstance(body, dict) else []


def _objects(replies: list[Json], *paths: str) -> Iterator[Json]:
    for reply in replies:
        for path in paths:
            found: Any = reply
            for name in path.split("."):
                found = found.get(name) if isinstance(found, dict) else None
            if isinstance(found, dict) and found:
                yield found


def _openai_chat(replies: list[Json]) -> Tokens | None:
    usages = list(_objects(replies, "usage")) or list(_objects(replies, "x_groq.usage"))
    if not usages:
        return None
    usage = usages[-1]
    total = _number(usage, "total_tokens")
    prompt = _number(usage, "prompt_tokens") or total  # some embedders tell the total only
    completion = _number(usage, "completion_tokens")
    reasoning = _number(usage, "completion_tokens_details.reasoning_tokens", "reasoning_tokens")
    if total > prompt + completion:  # xAI, and Gemini behind its OpenAI API: thoughts are in the total only
        output, reasoning = total - prompt, total - prompt - completion
    elif reasoning > completion:  # Vercel bills thoughts but leaves them out of completion and total
        output = completion + reasoning
    else:
        output = completion
    read = ("prompt_tokens_details.cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens")
    write = ("prompt_tokens_details.cache_write_tokens", "cache_creation_input_tokens")
    return Tokens(
        prompt,
        output,
        _number(usage, *read, "cache_read_input_tokens", "cached_tokens"),
        _number(usage, *write),
        reasoning,
    )


def _openai_responses(replies: list[Json]) -> Tokens | None:
    usages = list(_objects(replies, "response.usage", "usage"))
    if not usages:
        return None
    usage = usages[-1]
    return Tokens(
        _number(usage, "input_tokens"),
        _number(usage, "output_tokens"),
        _number(usage, "input_tokens_details.cached_tokens"),
        _number(usage, "input_tokens_details.cache_write_tokens"),
        _number(usage, "output_tokens_details.reasoning_tokens"),
    )


def _anthropic(replies: list[Json]) -> Tokens | None:
    merged: Json = {}
    for usage in _objects(replies, "message.usage", "usage"):
        merged |= {name: value for name, value in usage.items() if value is not None}
    if not merged:
        return None
    read, write = _number(merged, "cache_read_input_tokens"), _number(merged, "cache_creation_input_tokens")
    return Tokens(
        _number(merged, "input_tokens") + read + write,
        _number(merged, "output_tokens"),
        read,
        write,
        _number(merged, "output_tokens_details.thinking_tokens"),
    )


def _gemini(replies: list[Json]) -> Tokens | None:
    usages = list(_objects(replies, "usageMetadata"))
    if not usages:
        return None
    usage = usages[-1]
    thoughts = _number(usage, "thoughtsTokenCount")
    return Tokens(
        _number(usage, "promptTokenCount") + _number(usage, "toolUsePromptTokenCount"),
        _number(usage, "candidatesTokenCount") + thoughts,
        _number(usage, "cachedContentTokenCount"),
        0,
        thoughts,
    )


READERS = {
    "openai.chat": _openai_chat,
    "openai.completions": _openai_chat,
    "openai.embeddings": _openai_chat,
    "openai.responses": _openai_responses,
    "anthropic.messages": _anthropic,
    "gemini.generateContent": _gemini,
    "gemini.streamGenerateContent": _gemini,
    "gemini.embedContent": _gemini,
}


def expected(recording: Recording) -> Tokens | None:
    """The recorded tokens; None where the reply tells none (counting tokens is no use of them)."""
    reader = READERS.get(recording.api)
    return reader(_replies(recording)) if reader and recording.status < 300 else None
