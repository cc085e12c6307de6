"""What a reply tells that has a price of its own, beyond the tokens that every row of usage has: cache writes for an
hour, pictures, sound and films among the tokens, searches, the service tier that it was given.

Read from the same JSON as ``providers.usage``, which counts the same tokens in its wholes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from providers.usage import MOST

Doc = dict[str, Any]
#: What Gemini tells by modality -> our names. It prices documents as pictures.
PROMPT: Final = {
    "IMAGE": "input_image_tokens",
    "DOCUMENT": "input_image_tokens",
    "VIDEO": "input_video_tokens",
    "AUDIO": "input_audio_tokens",
}
REPLY: Final = {name: kind.replace("input", "output") for name, kind in PROMPT.items()}
CACHED: Final = {name: kind.replace("input", "cache_read") for name, kind in PROMPT.items()}
MODALITIES: Final = {
    "promptTokensDetails": PROMPT,
    "toolUsePromptTokensDetails": PROMPT,
    "candidatesTokensDetails": REPLY,
    "responseTokensDetails": REPLY,
    "cacheTokensDetails": CACHED,
}
SECONDS: Final = ("seconds", "prompt_audio_seconds", "billable_audio_seconds")


@dataclass(slots=True)
class Billed:
    """Counts by the names of ``tenants.units``; those of no token in ``counted``. ``tier`` is "" for the standard one."""

    tokens: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    tier: str = ""


#: Of most replies, one for all: nobody changes one of these.
NOTHING: Final = Billed()
#: What upstreams call the tier that is the standard one.
STANDARD: Final = frozenset({"", "standard", "default", "auto", "on_demand"})


def _count(source: Any, *path: str) -> int:
    for name in path:
        source = source.get(name) if isinstance(source, dict) else None
    return int(source) if type(source) in (int, float) and 0 < source <= MOST else 0


def _sound(usage: Doc) -> int:
    """Milliseconds, rounded up."""
    told: list[Any] = [usage.get(name) for name in SECONDS]
    seconds = [each for each in told if type(each) in (int, float) and 0 < each <= MOST]
    return math.ceil(max(seconds) * 1000) if seconds else 0


def _kept(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _tier(*told: Any) -> str:
    """The first that is no standard one."""
    return next((text for text in told if isinstance(text, str) and text.lower() not in STANDARD), "")


_GIVEN: Final = frozenset({"image_tokens", "cached_tokens_details"})
_COUNTED: Final = frozenset({"num_search_queries", *SECONDS})


def of_openai(doc: Doc, usage: Doc) -> Billed:
    """Image and audio replies tell modalities, transcriptions the length of the sound."""
    given = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    made = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    tokens: dict[str, int] = {}
    if isinstance(given, dict) and not _GIVEN.isdisjoint(given):
        tokens |= _kept(
            input_image_tokens=_count(given, "image_tokens"),
            cache_read_audio_tokens=_count(given, "cached_tokens_details", "audio_tokens"),
            cache_read_image_tokens=_count(given, "cached_tokens_details", "image_tokens"),
        )
    if isinstance(made, dict) and "image_tokens" in made:
        tokens |= _kept(output_image_tokens=_count(made, "image_tokens"))
    if "citation_tokens" in usage:
        tokens |= _kept(citation_tokens=_count(usage, "citation_tokens"))
    counted: dict[str, int] = {}
    if not _COUNTED.isdisjoint(usage):
        counted = _kept(web_searches=_count(usage, "num_search_queries"), audio_ms=_sound(usage))
    tier = _tier(told) if (told := doc.get("service_tier")) else ""
    return Billed(tokens, counted, tier) if tokens or counted or tier else NOTHING


def of_anthropic(doc: Doc, usage: Doc) -> Billed:
    tokens = _kept(cache_write_1h_tokens=_count(usage, "cache_creation", "ephemeral_1h_input_tokens"))
    counted = _kept(web_searches=_count(usage, "server_tool_use", "web_search_requests"))
    return Billed(tokens, counted, _tier(usage.get("service_tier"), usage.get("speed")))


def of_gemini(doc: Doc, usage: Doc) -> Billed:
    found: dict[str, int] = {}
    for name, kinds in MODALITIES.items():
        details = usage.get(name)
        for detail in details if isinstance(details, list) else ():
            kind = kinds.get(str(detail.get("modality"))) if isinstance(detail, dict) else None
            if kind:
                found[kind] = found.get(kind, 0) + _count(detail, "tokenCount")
    return Billed(_kept(**found), {}, _tier(usage.get("serviceTier")).lower())


def of_converse(doc: Doc, usage: Doc) -> Billed:
    details = usage.get("cacheDetails")
    hour = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    written = sum(_count(each, "inputTokens") for each in hour if each.get("ttl") == "1h")
    tokens = _kept(cache_write_1h_tokens=written)
    tier = doc.get("serviceTier")
    return Billed(tokens, {}, _tier(tier.get("type") if isinstance(tier, dict) else ""))


#: API -> reads a reply and the usage in it; APIs that are not named are OpenAI's.
READERS: Final[dict[str, Callable[[Doc, Doc], Billed]]] = {
    "messages": of_anthropic,
    "generate": of_gemini,
    "converse": of_converse,
}


def read_billed(api: str, doc: Doc, known: Billed | None = None) -> Billed | None:
    """What a whole reply, or an event of one with usage, tells; None where it tells no usage.

    ``known`` is what earlier events told: the later wins, name by name.
    """
    if api == "converse" and isinstance(doc.get("metadata"), dict):
        doc = doc["metadata"]  # the last event of a stream
    usage = doc.get("usageMetadata" if api == "generate" else "usage")
    if not isinstance(usage, dict):
        return known
    found = READERS.get(api, of_openai)(doc, usage)
    if known is None or known is NOTHING:
        return found
    return Billed(known.tokens | found.tokens, known.counted | found.counted, found.tier or known.tier)
