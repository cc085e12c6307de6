"""The most that a request can use, known before it is dispatched: what a hard budget reserves.

``demand`` reads the body once; ``bound`` makes of it, for each target in turn, what that target can bill. Where no bound
holds, ``unbounded`` names the fields: under a hard budget such a request is refused. What a field may do that is not
known to be harmless counts as without bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from providers import jsonbytes
from routing import bound_generate, bound_media
from routing.bound_demand import ANY, MODAL_INPUT, Demand
from routing.bound_fields import SINGLE, TURNS, may_repeat_turns
from routing.bound_plain import plain
from routing.call import UNMETERED, Call
from tenants.pricing import Price
from tenants.units import MOST_UNITS, Units
from tenants.worst_case import worst_case

FLOOR: Final = 256  # no cap below this is put into a request: its answer would be worth nothing
#: What an upstream adds to a request unasked: its template, words for its tools, a system prompt of its own.
HIDDEN_TOKENS: Final = {"messages": 1_024, "responses": 1_024, "generate": 1_024, "embeddings": 256}
MORE_HIDDEN_TOKENS: Final = 2_048  # of any other API, which all sorts of vendors serve
#: What one picture is worth at most.
PICTURE_TOKENS: Final = {"messages": 5_000, "generate": 20_000}
MORE_PICTURE_TOKENS: Final = 50_000
STEPS: Final = 4
CAP_SLACK: Final = 16  # by so much a cap is overstepped: one token was served as sixteen
LONGEST_OUTPUT: Final = 65_536  # some models write more than they read
#: How often an upstream lets a model go on after its own tools, by the API's documents.
MOST_ROUNDS: Final = {"messages": 11}
LEAST_BYTES = 4  # what is longer than a context window by this measure is refused, or the window is not the right one
#: Provider kinds whose reasoning a cap may leave out, as recorded.
REASONS_BEYOND: Final = frozenset(("openrouter", "openai-compatible", "perplexity"))
#: Models that search, or call their vendor's tools, unasked and as often as they like.
SEARCHING: Final = re.compile(r"deep-research|search-(preview|api)|:online|(^|/)compound")
_ANY_API: Final = MODAL_INPUT | {"cache_write_1h_tokens"}
_WRITES: Final = frozenset(("cache_write_tokens",))
_WRITING: Final = frozenset(("messages", "converse"))  # where a cache is written to only if something asks for it


class Bounds(NamedTuple):
    """What ``tenants.worst_case`` takes; ``unbounded`` names fields of the request, or is empty."""

    units: Units
    tiers: tuple[str, ...] | None
    without: frozenset[str]
    unbounded: tuple[str, ...] = ()


_NONE: Final = Demand("", 0, counted={"requests": 0})


def demand(endpoint: str, doc: dict[str, Any], body: bytes, content_type: str = "") -> Demand:
    """What the request asks for at most. Never raises; ``endpoint`` is the name of a row in ``routing.paths``."""
    found = _demand(endpoint, doc, body, content_type)
    return found._replace(text=len(body)) if found.plain else found


def _demand(endpoint: str, doc: dict[str, Any], body: bytes, content_type: str) -> Demand:
    """As ``demand``; a plain one is shared by all that ask alike, and does not tell its ``text``."""
    if (found := plain(endpoint, doc, body)) is not None:
        return found
    if (read := bound_generate.READERS.get(endpoint)) is not None:
        return _single(read(endpoint, doc, body), doc, body)
    if (other := bound_media.READERS.get(endpoint)) is not None:
        return other(endpoint, doc, body, content_type)
    return _NONE if endpoint in UNMETERED else _NONE._replace(unbounded=("endpoint",))


def demand_of(call: Call) -> Demand:
    """As ``demand``, of a call."""
    found, text = demand_and_text(call)
    return found._replace(text=text) if found.plain else found


def demand_and_text(call: Call) -> tuple[Demand, int]:
    """The demand of a call, found once for each body that it has, and its ``text``, which a plain one does not tell."""
    body = call.body
    if call.demanded is None or call.demanded[0] is not body:
        call.demanded = (body, _demand(call.endpoint.name, call.doc, body, call.header(b"content-type")))
    found = call.demanded[1]
    return found, len(body) if found.plain else found.text


def _single(found: Demand, doc: dict[str, Any], body: bytes) -> Demand:
    """Without bound, where another reader may find another value."""
    names = SINGLE.get(found.endpoint, ())
    if may_repeat_turns(found.endpoint, body):
        names = (*names, TURNS[found.endpoint])
    if doc.keys().isdisjoint(names):
        return found
    try:
        jsonbytes.check_unique(body, doc, names)
    except jsonbytes.JSONBodyError as error:
        return found._replace(unbounded=(*found.unbounded, error.field or "body"))
    return found


def bound(
    asked: Demand,
    api: str,
    window: int,
    *,
    model: str = "",
    kind: str = "",
    lacks: frozenset[str] = frozenset(),
    most_output: int = 0,
    cap: int | None = None,
    uses: int | None = None,
) -> Bounds:
    """What a target can bill. ``api`` is the upstream's, ``window`` the tokens that its model takes and ``most_output``
    those that it writes at most, both 0 if unknown; ``model`` is its name, ``kind`` and ``lacks`` are the upstream's.

    ``cap`` and ``uses`` are what ``bound_splice.changes`` is to write where the request says nothing.
    """
    same = asked.endpoint.partition(".")[0] == api or (asked.endpoint == "unified" and api == "chat")
    rounds, counted, unbounded = _served(asked, api, uses, same)
    read = _input(asked, api, window, rounds > 1)
    told = _told(asked, same, lacks, cap)
    made = _output(told, kind if asked.cap_at else "", window, most_output)
    if read is None:
        unbounded = (*unbounded, asked.hidden or "tools")
    if made is None:
        unbounded = (*unbounded, asked.cap_at[-1] if asked.cap_at else "model")
    if _searches(model):
        unbounded = (*unbounded, "model")
    output = (made or 0) * asked.choices * (rounds if api in MOST_ROUNDS else 1) + asked.beyond
    units = Units(min((read or 0) * rounds, MOST_UNITS), min(output, MOST_UNITS), counted=counted)
    without = asked.without if same else asked.without & _ANY_API
    if api not in _WRITING and "cache_write_tokens" in without:
        without -= _WRITES
    return Bounds(units, asked.tiers if same else ANY, without, unbounded)


@lru_cache(4096)
def _searches(model: str) -> bool:
    return SEARCHING.search(model) is not None


def _told(asked: Demand, same: bool, lacks: frozenset[str], cap: int | None) -> int | None:
    """What each choice is capped at by the client, as far as the upstream understands it, or else by us."""
    told = asked.cap
    if not asked.cap_at or told is None:
        return cap if told is None and asked.cap_at else told
    if (not told and not same) or (same and asked.cap_at[-1] in lacks):
        return cap if cap is None else min(cap, told or cap)
    return told


def _served(asked: Demand, api: str, uses: int | None, same: bool) -> tuple[int, Mapping[str, int], tuple[str, ...]]:
    """How often the model reads its input, what is counted, and whether the upstream's own tools have no bound."""
    if not asked.served:
        return 1, asked.counted, asked.unbounded
    if not same:  # nobody knows what an upstream's tool of another name does
        return 1, asked.counted, (*asked.unbounded, "tools")
    each = asked.most_uses if asked.most_uses is not None and asked.endpoint != "messages" else uses
    counted: dict[str, int] = dict(asked.counted)
    total = 0
    for tool in asked.served:
        most = tool.most if tool.most is not None else each
        if most is None:
            return 1, counted, (*asked.unbounded, "tools")
        total += most
        if tool.unit:
            counted[tool.unit] = counted.get(tool.unit, 0) + most
    return MOST_ROUNDS.get(api, total + 2), counted, asked.unbounded


def _input(asked: Demand, api: str, window: int, rereads: bool) -> int | None:
    """The tokens that are read at once; None where nothing bounds them."""
    if asked.hidden or rereads:
        return max(window, asked.text // LEAST_BYTES) if window else None
    if not asked.text and not asked.pictures:
        return 0
    extra = HIDDEN_TOKENS.get(api, MORE_HIDDEN_TOKENS)
    if asked.pictures:
        extra += asked.pictures * PICTURE_TOKENS.get(api, MORE_PICTURE_TOKENS)
    return given(asked.text, extra, window)


def given(text: int, extra: int, window: int) -> int:
    """The tokens of a text of so many bytes with ``extra`` beside it: no more than the model takes, if it can be so few."""
    seen = text + extra
    return max(window, text // LEAST_BYTES) if window and seen > window else seen


def _output(told: int | None, kind: str, window: int, most: int) -> int | None:
    """The tokens of one choice; None where nothing bounds them."""
    longest = most or (max(window, LONGEST_OUTPUT) if window else 0)
    if told is None:
        return longest or None
    if told and kind in REASONS_BEYOND:
        return told + longest if longest else None
    told = told + CAP_SLACK if told else 0
    return min(told, most) if most else told


def fitting(price: Price, money: int, bounded: Callable[[int], Bounds], most: int, floor: int = FLOOR) -> int:
    """A cap from ``floor`` to ``most`` whose worst case costs no more than ``money`` nano-dollars, and hardly less if it is
    not ``most``; 0 where there is none. ``bounded`` is ``bound`` for one target, by the cap."""

    def costs(cap: int) -> int:
        found = bounded(cap)
        return money + 1 if found.unbounded else worst_case(price, found.units, found.tiers, found.without)

    if most < floor or (low_cost := costs(floor)) > money:
        return 0
    if (high_cost := costs(most)) <= money:
        return most
    low, high = floor, most
    for _ in range(STEPS):  # costs are nearly straight: one step is as good as enough
        cap = low + (money - low_cost) * (high - low) // (high_cost - low_cost)
        if cap <= low:
            break
        if (cap_cost := costs(cap)) <= money:
            low, low_cost = cap, cap_cost
        else:
            high, high_cost = cap, cap_cost
    return low
