"""Token usage as each API tells it, read into one shape.

``input_tokens`` is all input, cache reads and writes included; ``output_tokens`` is all output, reasoning included.
The wire differs: OpenAI's input includes cached tokens and Anthropic's does not; Gemini and xAI tell reasoning apart
from output and OpenAI does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


def _int(source: Mapping[str, Any] | None, *names: str) -> int:
    """The first of ``names`` that ``source`` has as a whole number, else 0. Upstreams write null, floats and text."""
    if isinstance(source, Mapping):
        for name in names:
            value = source.get(name)
            if isinstance(value, int | float) and value > 0:
                return int(value)
    return 0


def of_openai(usage: Mapping[str, Any]) -> Usage:
    """``usage`` of chat, completions, embeddings, images, audio and rerank replies.

    DeepSeek says ``prompt_cache_hit_tokens``, Moonshot ``cached_tokens``, OpenRouter ``cache_write_tokens``,
    Voyage only ``total_tokens``. Where the total shows that reasoning is not part of the output, it is added.
    """
    given = _int(usage, "prompt_tokens", "input_tokens")
    made = _int(usage, "completion_tokens", "output_tokens")
    total = _int(usage, "total_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    reasoning = _int(usage.get("completion_tokens_details") or usage.get("output_tokens_details"), "reasoning_tokens") or _int(usage, "reasoning_tokens")
    if not given and not made:
        given = total
    elif reasoning and total == given + made + reasoning:
        made += reasoning
    return Usage(
        given,
        made,
        _int(details, "cached_tokens") or _int(usage, "prompt_cache_hit_tokens", "cached_tokens"),
        _int(details, "cache_write_tokens", "cache_creation_tokens"),
        reasoning,
    )


def of_anthropic(usage: Mapping[str, Any], known: Usage | None = None) -> Usage:
    """``usage`` of a message, or of ``message_start`` and then, with ``known``, of ``message_delta``: the later wins
    field by field, since a delta repeats only what it knows."""
    known = known or Usage()
    read = _int(usage, "cache_read_input_tokens") or known.cache_read_tokens
    written = _int(usage, "cache_creation_input_tokens") or known.cache_write_tokens
    fresh = _int(usage, "input_tokens") or known.input_tokens - known.cache_read_tokens - known.cache_write_tokens
    thought = _int(usage.get("output_tokens_details"), "thinking_tokens", "reasoning_tokens")
    return Usage(fresh + read + written, _int(usage, "output_tokens") or known.output_tokens, read, written, thought or known.reasoning_tokens)


def of_gemini(usage: Mapping[str, Any]) -> Usage:
    """``usageMetadata``: thoughts are told apart from candidates, tool-use prompts apart from the prompt."""
    thought = _int(usage, "thoughtsTokenCount")
    return Usage(
        _int(usage, "promptTokenCount") + _int(usage, "toolUsePromptTokenCount"),
        _int(usage, "candidatesTokenCount", "responseTokenCount") + thought,
        _int(usage, "cachedContentTokenCount"),
        0,
        thought,
    )


def _openai_reply(doc: Mapping[str, Any]) -> Usage | None:
    usage = doc.get("usage")
    if not usage:
        groq = doc.get("x_groq")  # Groq's streams tell usage there
        usage = groq.get("usage") if isinstance(groq, Mapping) else None
    return of_openai(usage) if isinstance(usage, Mapping) else None


def _anthropic_reply(doc: Mapping[str, Any]) -> Usage | None:
    usage = doc.get("usage")
    if isinstance(usage, Mapping):
        return of_anthropic(usage)
    return Usage(_int(doc, "input_tokens")) if "input_tokens" in doc else None


def _gemini_reply(doc: Mapping[str, Any]) -> Usage | None:
    usage = doc.get("usageMetadata")
    if isinstance(usage, Mapping):
        return of_gemini(usage)
    return Usage(_int(doc, "totalTokens")) if "totalTokens" in doc else None


def _rerank_reply(doc: Mapping[str, Any]) -> Usage | None:
    meta = doc.get("meta")
    tokens = meta.get("tokens") if isinstance(meta, Mapping) else None
    return of_openai(tokens) if isinstance(tokens, Mapping) else _openai_reply(doc)


#: API -> reads usage of one whole JSON reply; None where it tells none.
READERS: dict[str, Callable[[Mapping[str, Any]], Usage | None]] = {
    "messages": _anthropic_reply,
    "generate": _gemini_reply,
    "rerank": _rerank_reply,
}


def read_usage(api: str, doc: Mapping[str, Any]) -> Usage | None:
    return READERS.get(api, _openai_reply)(doc)
