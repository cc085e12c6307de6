"""Token usage as each API tells it, read into one shape.

``input_tokens`` is all input, cache reads and writes included; ``output_tokens`` is all output, reasoning included.
The wire differs: OpenAI's input includes cached tokens and Anthropic's does not; Gemini and xAI tell reasoning apart
from output and OpenAI does not. Audio is a part of the input and of the output it is in; only some APIs tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(slots=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0


Doc = dict[str, Any]
#: DeepSeek, Mistral, Anthropic behind an OpenAI API, Moonshot
CACHE_READS: Final = ("prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens", "cached_tokens")
#: Of OpenAI's ``usage``: without one of these, nothing beside its totals and details counts.
_RARE: Final = frozenset({*CACHE_READS, "cache_creation_input_tokens", "reasoning_tokens"})


#: What every JSON number holds exactly; a count above it is garbage.
MOST: Final = 2**53


def _int(source: Any, *names: str) -> int:
    """The first of ``names`` that ``source`` has as a count above zero, else 0. Upstreams write null, floats and text."""
    if type(source) is dict:
        for name in names:
            if found := _one(source, name):
                return found
    return 0


def _one(source: Doc, name: str) -> int:
    """As ``_int``, of one name."""
    value = source.get(name)
    return int(value) if (value.__class__ is int or value.__class__ is float) and 0 < value <= MOST else 0


def of_openai(usage: Doc) -> Usage:
    """``usage`` of chat, completions, embeddings, images, audio and rerank replies.

    Voyage tells only ``total_tokens``. xAI, and Gemini behind its OpenAI API, count thoughts in the total alone; Vercel's
    gateway tells more reasoning than output: there too the reasoning comes on top.
    """
    given = _one(usage, "prompt_tokens") or _one(usage, "input_tokens")
    made = _one(usage, "completion_tokens") or _one(usage, "output_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    thought = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    rare = not _RARE.isdisjoint(usage)
    reasoning = _int(thought, "reasoning_tokens") if thought else 0
    if rare:
        reasoning = reasoning or _one(usage, "reasoning_tokens")
    total = _one(usage, "total_tokens")
    if not given:
        given = max(total - made, 0)  # some embedders tell the total only
    elif total > given + made and "prompt_tokens" in usage:
        made, reasoning = total - given, total - given - made
    elif reasoning > made:
        made += reasoning
    cached = written = 0
    if details:
        cached, written = _int(details, "cached_tokens"), _int(details, "cache_write_tokens", "cache_creation_tokens")
    if rare:
        cached = cached or _int(usage, *CACHE_READS)
        written = written or _one(usage, "cache_creation_input_tokens")
    heard = _int(details, "audio_tokens") if details else 0
    return Usage(given, made, cached, written, reasoning, heard, _int(thought, "audio_tokens") if thought else 0)


def of_anthropic(usage: Doc, known: Usage | None = None) -> Usage:
    """``usage`` of a message, or of ``message_start`` and then, with ``known``, of ``message_delta``: the later wins
    field by field, since a delta repeats only what it knows."""
    known = known or Usage()
    read = _int(usage, "cache_read_input_tokens") or known.cache_read_tokens
    written = _int(usage, "cache_creation_input_tokens") or known.cache_write_tokens
    fresh = _int(usage, "input_tokens") or known.input_tokens - known.cache_read_tokens - known.cache_write_tokens
    thought = _int(usage.get("output_tokens_details"), "thinking_tokens", "reasoning_tokens")
    return Usage(
        fresh + read + written,
        _int(usage, "output_tokens") or known.output_tokens,
        read,
        written,
        thought or known.reasoning_tokens,
    )


def _audio(usage: Doc, *names: str) -> int:
    """Gemini's tokens of sound, which it tells by modality."""
    found = 0
    for name in names:
        details = usage.get(name)
        if type(details) is list:
            found += sum(_int(each, "tokenCount") for each in details if _is_audio(each))
    return found


def _is_audio(detail: Any) -> bool:
    return isinstance(detail, dict) and detail.get("modality") == "AUDIO"


def of_gemini(usage: Doc) -> Usage:
    """``usageMetadata``: thoughts are told apart from candidates, tool-use prompts apart from the prompt."""
    thought = _int(usage, "thoughtsTokenCount")
    return Usage(
        _int(usage, "promptTokenCount") + _int(usage, "toolUsePromptTokenCount"),
        _int(usage, "candidatesTokenCount", "responseTokenCount") + thought,
        _int(usage, "cachedContentTokenCount"),
        0,
        thought,
        _audio(usage, "promptTokensDetails", "toolUsePromptTokensDetails"),
        _audio(usage, "candidatesTokensDetails", "responseTokensDetails"),
    )


def of_converse(usage: Doc) -> Usage:
    """``usage`` of Bedrock's Converse: like Anthropic's, its input leaves out what the cache read and wrote."""
    read, written = _int(usage, "cacheReadInputTokens"), _int(usage, "cacheWriteInputTokens")
    return Usage(_int(usage, "inputTokens") + read + written, _int(usage, "outputTokens"), read, written)


def of_cohere(usage: Doc) -> Usage:
    """``usage`` of Cohere's chat, ``meta`` of its other replies.

    ``tokens`` counts all that the model read, Cohere's own template included; ``billed_units`` what Cohere charges for.
    The latter counts here where it is told, since money is made of it. Cached tokens are a part of the former alone:
    there may be more of them than are billed at all, and nothing is cheaper for them.
    """
    billed = usage.get("billed_units")
    if _int(billed, "input_tokens", "output_tokens"):
        return Usage(_int(billed, "input_tokens"), _int(billed, "output_tokens"))
    tokens = usage.get("tokens")
    given = _int(tokens, "input_tokens")
    return Usage(given, _int(tokens, "output_tokens"), min(given, _int(usage, "cached_tokens")))


def of_ollama(doc: Doc) -> Usage:
    """The counts stand in the reply itself, in that of a stream which says ``done``."""
    return Usage(_int(doc, "prompt_eval_count"), _int(doc, "eval_count"))


def of_titan(doc: Doc) -> Usage:
    """Titan's whole reply tells the output of each result, its stream the total; its embeddings have none."""
    results = doc.get("results")
    made = sum(_int(each, "tokenCount") for each in results) if isinstance(results, list) else 0
    return Usage(_int(doc, "inputTextTokenCount"), made or _int(doc, "totalOutputTextTokenCount"))


def _openai_reply(doc: Doc) -> Usage | None:
    usage = doc.get("usage")
    if not usage:
        groq = doc.get("x_groq")  # Groq's streams tell usage there
        usage = groq.get("usage") if isinstance(groq, dict) else None
    return of_openai(usage) if isinstance(usage, dict) else None


def _anthropic_reply(doc: Doc) -> Usage | None:
    usage = doc.get("usage")
    return of_anthropic(usage) if isinstance(usage, dict) else None


def _gemini_reply(doc: Doc) -> Usage | None:
    usage = doc.get("usageMetadata")
    return of_gemini(usage) if isinstance(usage, dict) else None


def _rerank_reply(doc: Doc) -> Usage | None:
    meta = doc.get("meta")
    tokens = meta.get("tokens") if isinstance(meta, dict) else None
    return of_openai(tokens) if isinstance(tokens, dict) else _openai_reply(doc)


def _converse_reply(doc: Doc) -> Usage | None:
    usage = doc.get("usage")
    if not isinstance(usage, dict):
        told = doc.get("metadata")  # the last event of a stream
        usage = told.get("usage") if isinstance(told, dict) else None
    return of_converse(usage) if usage and isinstance(usage, dict) else None


def _cohere_reply(doc: Doc) -> Usage | None:
    usage = doc.get("usage") or doc.get("meta")
    if not usage:
        told = doc.get("delta")  # message-end of a stream
        usage = told.get("usage") if isinstance(told, dict) else None
    return of_cohere(usage) if isinstance(usage, dict) else None


def _ollama_reply(doc: Doc) -> Usage | None:
    return of_ollama(doc) if "eval_count" in doc or "prompt_eval_count" in doc else None


def _titan_reply(doc: Doc) -> Usage | None:
    return of_titan(doc) if "inputTextTokenCount" in doc else None


#: API -> reads usage of one whole JSON reply; None where it tells none.
READERS: Final[dict[str, Callable[[Doc], Usage | None]]] = {
    "messages": _anthropic_reply,
    "generate": _gemini_reply,
    "rerank": _rerank_reply,
    "converse": _converse_reply,
    "cohere": _cohere_reply,
    "ollama": _ollama_reply,
    "titan": _titan_reply,
}


def read_usage(api: str, doc: Doc) -> Usage | None:
    return READERS.get(api, _openai_reply)(doc)
