"""Put a cap into a request that has none, and a number of uses into its tools: a declared change, as a rewrite is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from providers import jsonbytes
from providers.dialects.openai_chat_write_request import NEW_LIMIT
from routing.bound_demand import Demand
from routing.bound_fields import most

Doc = dict[str, Any]
CHAT_NAMES: Final = ("max_completion_tokens", "max_tokens")
CONFIGS = ("generationConfig", "generation_config")
CONFIG_NAMES: Final = ("maxOutputTokens", "max_output_tokens")


def changes(
    asked: Demand,
    doc: Doc,
    *,
    cap: int | None = None,
    uses: int | None = None,
    model: str = "",
    lacks: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The top-level fields of ``doc`` that get other values, so that the request keeps to ``cap`` and ``uses``. ``model``
    and ``lacks`` are the upstream's: they decide which of two names it knows."""
    found: dict[str, Any] = {}
    if cap is not None and asked.cap_at:
        if asked.endpoint == "generate":
            found |= _config(doc, cap)
        elif asked.endpoint in ("chat", "unified"):
            found |= _chat(doc, cap, model, lacks)
        elif most(doc.get(asked.cap_at[0]), zero=True) is None:
            found[asked.cap_at[0]] = cap
    if uses is not None and asked.served:
        found |= _uses(asked, doc, uses)
    return found


def _chat(doc: Doc, cap: int, model: str, lacks: frozenset[str]) -> dict[str, Any]:
    if uncapped(doc):
        return {_cap_name(model, lacks): cap}
    told = {name: most(doc[name]) for name in CHAT_NAMES if doc.get(name) is not None}
    if None in told.values():
        return dict.fromkeys(told, cap)  # nobody knows which of them an upstream takes
    if any(name not in lacks for name in told):
        return {}
    return {_cap_name(model, lacks): min([cap, *filter(None, told.values())])}


def uncapped(doc: Doc) -> bool:
    """Whether a chat request says nothing of a cap."""
    new, old = CHAT_NAMES
    return new not in doc and old not in doc


@lru_cache(4096)
def _cap_name(model: str, lacks: frozenset[str]) -> str:
    new, old = CHAT_NAMES
    return new if new not in lacks and NEW_LIMIT.search(model) is not None else old


def _config(doc: Doc, cap: int) -> Iterator[tuple[str, Any]]:
    configs = {name: found for name in CONFIGS if isinstance(found := doc.get(name), dict)}
    told = {name: [each for each in CONFIG_NAMES if each in config] for name, config in configs.items()}
    if not any(told.values()):
        told[next(iter(configs), CONFIGS[0])] = [CONFIG_NAMES[0]]
    elif None not in [most(configs[name][each]) for name, caps in told.items() for each in caps]:
        return
    for name, caps in told.items():
        if caps:
            yield name, {**configs.get(name, {}), **dict.fromkeys(caps, cap)}


def _uses(asked: Demand, doc: Doc, uses: int) -> dict[str, Any]:
    if asked.endpoint != "messages":
        return {} if asked.most_uses is not None else {"max_tool_calls": uses}
    places = {tool.place for tool in asked.served if tool.most is None}
    if not places:
        return {}
    return {"tools": [{**each, "max_uses": uses} if at in places else each for at, each in enumerate(doc["tools"])]}


def capped(body: bytes, doc: Doc, cap: int, model: str, lacks: frozenset[str]) -> bytes:
    """As ``written`` what ``changes`` tells, of a chat request that is ``uncapped``; ``doc`` gets it, too."""
    name = _cap_name(model, lacks)
    doc[name] = cap
    return jsonbytes.prepend(body, _member(name, cap))


@lru_cache(4096)
def _member(name: str, cap: int) -> bytes:
    return f'"{name}":{cap}'.encode()


def written(body: bytes, doc: Doc, changed: Mapping[str, Any]) -> bytes:
    """``body``, which ``doc`` was read from, with these fields; no other byte changes."""
    for name, value in changed.items():
        if name in doc:
            body = jsonbytes.replace(body, name, orjson.dumps(value))
        else:
            body = jsonbytes.insert(body, name, orjson.dumps(value))
    return body
