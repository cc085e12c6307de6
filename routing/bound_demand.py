"""What one request can use at most, as far as its body tells: the same for every target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from providers.hints import has
from routing.bound_parts import SEALED_FACTOR, Seen

ANY: Final = None  # of the service tiers
NOTHING: Final[Mapping[str, int]] = {}
_NONE: Final[frozenset[str]] = frozenset()
TOOL_TOKENS: Final = 64  # of what is written around each tool


class Served(NamedTuple):
    """A tool that the upstream itself runs: ``unit`` is what each of its uses counts as, ``most`` how often it may be
    used, None where nothing says so. ``place`` is its place among the tools."""

    place: int
    unit: str
    most: int | None


class Demand(NamedTuple):
    """``text`` is a bound of the tokens of all that can be seen, without ``pictures``; ``hidden`` names what hides input.

    ``cap`` is what the body allows to be generated in each of ``choices``, None where it does not say; ``cap_at`` is where
    it stands, or would have to, () where it cannot. ``beyond`` is generated outside of any cap. ``served`` are tools that
    have the upstream read its own results, ``most_uses`` what all of them may be used together. ``plain``: but for ``text``
    it is told by ``endpoint``, ``cap``, ``cap_at`` and ``choices``.
    """

    endpoint: str
    text: int
    pictures: int = 0
    hidden: str = ""
    cap: int | None = 0
    cap_at: tuple[str, ...] = ()
    choices: int = 1
    beyond: int = 0
    served: tuple[Served, ...] = ()
    most_uses: int | None = None
    counted: Mapping[str, int] = NOTHING
    tiers: tuple[str, ...] | None = ()
    without: frozenset[str] = _NONE
    unbounded: tuple[str, ...] = ()
    plain: bool = False


MODAL_INPUT: Final = frozenset(
    f"{kind}_{medium}_tokens" for kind in ("input", "cache_read") for medium in ("audio", "image", "video")
)
_HOUR: Final = frozenset(("cache_write_1h_tokens",))
_PLAIN, _PLAIN_HOUR = MODAL_INPUT, MODAL_INPUT | _HOUR


def text_tokens(body: bytes, seen: Seen, tools: int = 0) -> int:
    """No token is shorter than a byte."""
    return len(body) - seen.held + seen.sealed * (SEALED_FACTOR - 1) + tools * TOOL_TOKENS


#: Fields in which nothing can ask for a cache, unless they hold more than texts.
SIMPLE: Final = frozenset(
    "model messages max_tokens max_completion_tokens temperature top_p stream stream_options n stop user seed input"
    " instructions max_output_tokens system contents frequency_penalty presence_penalty".split()
)


CACHE, HOUR = re.compile(rb"cache"), re.compile(rb'1h"')  # twice as fast as what bytes have for it


def asks(word: re.Pattern[bytes], doc: dict[str, Any], body: bytes, seen: Seen) -> bool:
    """Whether ``word`` may be in what asks for a cache; the body is looked through only where something may ask."""
    if not seen.walked and doc.keys() <= SIMPLE:
        return False
    return word.search(body) is not None or has(body, b"\\u00")


def without(doc: dict[str, Any], body: bytes, seen: Seen) -> frozenset[str]:
    """Kinds of input that the request cannot have."""
    hour = asks(HOUR, doc, body, seen)
    if seen.pictures or seen.hidden:
        return _NONE if hour else _HOUR
    return _PLAIN if hour else _PLAIN_HOUR


#: Service tiers that are the standard one.
STANDARD: Final = frozenset(("default", "standard", "standard_only", "on_demand"))


def tiers(told: object, unsaid: tuple[str, ...] | None = ANY) -> tuple[str, ...] | None:
    """The tiers beside the standard one that a request for the tier ``told`` may be given; ``unsaid``: by none at all."""
    if told is None or told == "" or told == "auto":
        return unsaid
    if not isinstance(told, str):
        return ANY
    tier = told.lower()
    return () if tier in STANDARD else (tier,)
