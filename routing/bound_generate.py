"""The demand of requests that generate text: each client API has caps, tools and references of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from routing.bound_demand import ANY, CACHE, Demand, Served, asks, text_tokens, tiers, without
from routing.bound_fields import most, times, unknown
from routing.bound_parts import Seen
from routing.bound_tools import (
    BUILT_IN_TOKENS,
    Tools,
    chat_tools,
    gemini_tools,
    messages_tools,
    responses_tools,
)

Doc = dict[str, Any]
_NO_TOOLS: Final = Tools()
_CHAT_CAP, _RESPONSES_CAP, _MESSAGES_CAP = ("max_completion_tokens",), ("max_output_tokens",), ("max_tokens",)
_ESCAPED: Final = re.compile(rb"\\u00[4-7]")
#: Caps inside of objects, which may stand there twice.
_INNER_CAPS: Final = re.compile(rb'"(max_?[oO]utput_?[tT]okens|candidate_?[cC]ount|max_uses)"')


def chat(endpoint: str, doc: Doc, body: bytes) -> Demand:
    seen, tools = Seen(), _NO_TOOLS
    seen.read("messages", doc.get("messages"))
    if "tools" in doc:
        tools = chat_tools(doc["tools"])
    unbounded = unknown(endpoint, doc)
    if tools.refused:
        unbounded += ("tools",)
    cap, cap_at = _chat_cap(doc)
    size = len(body)
    parts = without(doc, body, seen)
    if not (doc.get("modalities") or doc.get("audio")):
        parts = _silent(parts)
    return Demand(
        endpoint,
        text_tokens(body, seen, tools.number) + tools.built_in * BUILT_IN_TOKENS,
        seen.pictures,
        seen.hidden,
        cap,
        cap_at,
        times(doc.get("n")),
        size if doc.get("prediction") else 0,
        tiers=tiers(doc.get("service_tier")),
        without=parts,
        unbounded=unbounded,
    )


def _chat_cap(doc: Doc) -> tuple[int | None, tuple[str, ...]]:
    """Of two caps the greater, and none where one of them is void: nobody knows which an upstream takes."""
    new, old = doc.get("max_completion_tokens"), doc.get("max_tokens")
    if new is None:
        return most(old), _CHAT_CAP if old is None else _MESSAGES_CAP
    cap = most(new)
    if old is None or cap is None:
        return cap, _CHAT_CAP
    older = most(old)
    return None if older is None else max(cap, older), _MESSAGES_CAP


@lru_cache(16)
def _silent(parts: frozenset[str]) -> frozenset[str]:
    return parts | {"output_audio_tokens"}


def completions(endpoint: str, doc: Doc, body: bytes) -> Demand:
    """Each of the prompts is answered so many times."""
    prompt = doc.get("prompt")
    prompts = len(prompt) if prompt.__class__ is list and not _numbers(prompt) else 1
    return Demand(
        endpoint,
        len(body),
        hidden="" if prompt is None or prompt.__class__ in (str, list) else "prompt",
        cap=most(doc.get("max_tokens"), zero=True),
        cap_at=_MESSAGES_CAP,
        choices=max(1, prompts) * max(times(doc.get("n")), times(doc.get("best_of"))),
        beyond=len(body) if doc.get("echo") else 0,
        tiers=tiers(doc.get("service_tier")),
        without=without(doc, body, Seen()),
        unbounded=unknown(endpoint, doc),
    )


def _numbers(prompt: list[Any]) -> bool:
    return bool(prompt) and prompt[0].__class__ is int


def responses(endpoint: str, doc: Doc, body: bytes) -> Demand:
    seen = Seen()
    seen.read("input", doc.get("input"))
    seen.read("instructions", doc.get("instructions"))
    for name in ("previous_response_id", "conversation", "prompt"):
        if doc.get(name):
            seen.hide(name)
    tools = responses_tools(doc.get("tools"), seen.tools) if "tools" in doc or seen.tools else _NO_TOOLS
    unbounded = unknown(endpoint, doc)
    if tools.refused:
        unbounded += ("tools",)
    if doc.get("context_management"):
        unbounded += ("context_management",)  # the upstream sums up what it has read, and reads on
    if (reasoning := doc.get("reasoning")) and not _plain_reasoning(reasoning):
        unbounded += ("reasoning",)
    compact = endpoint == "responses.compact"
    return Demand(
        endpoint,
        text_tokens(body, seen, tools.number) + tools.built_in * BUILT_IN_TOKENS,
        seen.pictures,
        seen.hidden,
        None if compact else most(doc.get("max_output_tokens")),
        () if compact else _RESPONSES_CAP,
        served=tuple(tools.served),
        most_uses=most(doc.get("max_tool_calls"), zero=True),
        tiers=tiers(doc.get("service_tier")),
        without=without(doc, body, seen),
        unbounded=unbounded + _twice(body, tools.served),
    )


def _plain_reasoning(told: Any) -> bool:
    """Whether the model reads its input once. In other modes several do, and all that they read counts."""
    return told.__class__ is dict and told.get("mode") in (None, "standard", "default")


def messages(endpoint: str, doc: Doc, body: bytes) -> Demand:
    seen, tools = Seen(), _NO_TOOLS
    seen.read("messages", doc.get("messages"))
    seen.read("system", doc.get("system"))
    if doc.get("container"):
        seen.hide("container")
    if "tools" in doc or seen.tools:
        tools = messages_tools(doc.get("tools"), seen.tools)
    unbounded = unknown(endpoint, doc)
    if tools.refused:
        unbounded += ("tools",)
    if (managed := doc.get("context_management")) and not _only_clears(managed):
        unbounded += ("context_management",)
    if doc.get("inference_geo") not in (None, "global"):
        unbounded += ("inference_geo",)  # dearer by a factor
    told = tiers(doc.get("service_tier"), ("priority",))
    if told is not None and (speed := doc.get("speed")) not in (None, "standard"):
        told = (*told, speed) if isinstance(speed, str) else ANY
    return Demand(
        endpoint,
        text_tokens(body, seen, tools.number) + tools.built_in * BUILT_IN_TOKENS,
        seen.pictures,
        seen.hidden,
        most(doc.get("max_tokens"), zero=True),
        _MESSAGES_CAP,
        served=tuple(tools.served),
        most_uses=_sum(tools.served),
        tiers=told,
        without=_uncached(doc, body, seen),
        unbounded=unbounded + _twice(body, tools.served),
    )


_WRITES: Final = frozenset(("cache_write_tokens",))


def _uncached(doc: Doc, body: bytes, seen: Seen) -> frozenset[str]:
    """What the input cannot be: no write to the cache either, where nothing asks for one."""
    parts = without(doc, body, seen)
    return parts if asks(CACHE, doc, body, seen) else parts | _WRITES


def _only_clears(managed: Any) -> bool:
    """Whether what is done to the context only makes it shorter."""
    edits = managed.get("edits") if managed.__class__ is dict else None
    return edits.__class__ is list and all(
        edit.__class__ is dict and str(edit.get("type")).startswith("clear_") for edit in edits
    )


def _sum(served: list[Served]) -> int | None:
    uses = [tool.most for tool in served]
    return None if None in uses else sum(each or 0 for each in uses)


def generate(endpoint: str, doc: Doc, body: bytes) -> Demand:
    """Google's servers take every name in two spellings."""
    seen = Seen()
    contents = doc.get("contents")
    seen.read("contents", [contents] if contents.__class__ is dict else contents)
    for name in ("systemInstruction", "system_instruction"):
        if (told := doc.get(name)) is not None:
            seen.read(name, [told] if told.__class__ is dict else told)
    for name in ("cachedContent", "cached_content"):
        if doc.get(name):
            seen.hide(name)
    tools = gemini_tools(doc["tools"]) if "tools" in doc else _NO_TOOLS
    unbounded = unknown(endpoint, doc)
    if tools.refused:
        unbounded += ("tools",)
    configs = {name: found for name in _CONFIGS if (found := doc.get(name)).__class__ is dict}
    caps = [most(found.get(name)) for found in configs.values() for name in _CAPS if name in found]
    counts = [times(found.get(name)) for found in configs.values() for name in _COUNTS]
    choices = max(counts, default=1)
    tier = doc.get("serviceTier", doc.get("service_tier"))
    return Demand(
        endpoint,
        text_tokens(body, seen, tools.number) + tools.built_in * BUILT_IN_TOKENS,
        seen.pictures,
        seen.hidden,
        None if None in caps else max(caps, default=None),  # type: ignore[type-var]
        _place(configs),
        choices,
        choices * SHOWN_TOKENS if any(_shows(found) for found in configs.values()) else 0,
        tiers=ANY if "serviceTier" in doc and "service_tier" in doc else tiers(tier, ()),
        without=without(doc, body, seen),
        unbounded=unbounded + (_twice(body) if configs else ()),
    )


#: Pictures and sound of one candidate: nothing says that a cap is one of them too.
SHOWN_TOKENS: Final = 65_536


def _shows(config: Doc) -> bool:
    """Whether more than text is to be generated."""
    kinds = config.get("responseModalities", config.get("response_modalities"))
    plain = kinds is None or (kinds.__class__ is list and all(str(each).upper() == "TEXT" for each in kinds))
    return not plain or any(config.get(name) for name in _LOOKS)


_LOOKS: Final = ("imageConfig", "image_config", "speechConfig", "speech_config")
_CONFIGS: Final = ("generationConfig", "generation_config")
_CAPS, _COUNTS = ("maxOutputTokens", "max_output_tokens"), ("candidateCount", "candidate_count")


def _place(configs: Mapping[str, Doc]) -> tuple[str, str]:
    """Where the cap stands, or belongs."""
    for name, config in configs.items():
        for cap in _CAPS:
            if cap in config:
                return name, cap
    return next(iter(configs), _CONFIGS[0]), _CAPS[0]


def _twice(body: bytes, served: list[Served] | None = None) -> tuple[str, ...]:
    """Names of caps that stand twice in one object, so that an upstream may read another than we do."""
    if served == []:
        return ()
    found = _INNER_CAPS.findall(body)
    if len(found) == len(set(found)) and not (b"\\" in body and _ESCAPED.search(body)):
        return ()
    double: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        double.extend(name for name in set(names) if names.count(name) > 1)

    try:
        json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return ("body",)
    return tuple(name for name in sorted(double) if _INNER_CAPS.fullmatch(f'"{name}"'.encode()))


READERS: Final[dict[str, Callable[[str, Doc, bytes], Demand]]] = {
    "chat": chat,
    "unified": chat,
    "completions": completions,
    "responses": responses,
    "responses.compact": responses,
    "messages": messages,
    "generate": generate,
}
