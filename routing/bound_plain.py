"""The demand of requests of plain texts, as most are: but for their length it is the same for all that ask alike."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from providers.hints import is_text
from routing.bound_demand import SIMPLE, Demand
from routing.bound_fields import KNOWN, may_repeat_turns
from routing.bound_generate import READERS

#: Endpoint -> the fields that hold its texts.
TEXTS: Final = {
    "chat": ("messages",),
    "unified": ("messages",),
    "messages": ("messages", "system"),
    "responses": ("input", "instructions"),
}
#: Fields of which each value asks for something else.
COUNTS: Final = ("n", "max_tokens", "max_completion_tokens", "max_output_tokens")
_COUNTED: Final = frozenset(COUNTS)
PLAIN: Final = {endpoint: SIMPLE & KNOWN[endpoint] for endpoint in TEXTS}


def plain(endpoint: str, doc: dict[str, Any], body: bytes) -> Demand | None:
    """The demand of all that ask alike, whose ``text`` is 0 and stands for the body's length. None where the request asks for
    more than texts and counts, or where another reader may find something else."""
    known = PLAIN.get(endpoint)
    if known is None:
        return None
    if not known.issuperset(doc):
        return None
    for name in TEXTS[endpoint]:
        if not _texts(doc.get(name)):
            return None
    if may_repeat_turns(endpoint, body):
        return None
    if _COUNTED.isdisjoint(doc):
        return _USUAL[endpoint]
    counts = []
    for name in COUNTS:
        value = doc.get(name)
        if value is not None and value.__class__ is not int:
            return None
        counts.append(value)
    return _alike(endpoint, *counts)


def _texts(value: Any) -> bool:
    if value is None or value.__class__ is str:
        return True
    if value.__class__ is not list:
        return False
    return all(is_text(turn) for turn in value)


@lru_cache(4096)
def _alike(endpoint: str, *counts: int | None) -> Demand:
    return READERS[endpoint](endpoint, dict(zip(COUNTS, counts, strict=True)), b"")._replace(plain=True)


_USUAL: Final = {endpoint: _alike(endpoint, *(None for _ in COUNTS)) for endpoint in TEXTS}
