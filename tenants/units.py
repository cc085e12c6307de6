"""What a request can use that has a price: tokens by kind, and things that are counted. No Django here.

As in usage rows, a part is within its whole: cache reads and writes in ``input_tokens``, reasoning in ``output_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Final

#: A part -> the whole that it is within.
PART_OF: Final = {
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",  # kept for five minutes, save those of an hour
    "cache_write_1h_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_tokens",
    "input_image_tokens": "input_tokens",
    "input_video_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "citation_tokens": "output_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
    "output_video_tokens": "output_tokens",
    "annotated_pages": "pages",
}
#: Tokens that are within two parts at once.
JOINT: Final = {
    "cache_read_audio_tokens": ("cache_read_tokens", "input_audio_tokens"),
    "cache_read_image_tokens": ("cache_read_tokens", "input_image_tokens"),
    "cache_read_video_tokens": ("cache_read_tokens", "input_video_tokens"),
}
#: What is no token -> how many of it make one unit that has a price. Sound is priced by the hour: four cents an hour
#: are no whole number of nano-dollars for a million seconds.
COUNTED: Final = {
    "requests": 1,
    "images": 1,
    "characters": 1,
    "messages": 1,
    "pages": 1,
    "annotated_pages": 1,
    "web_searches": 1,
    "social_searches": 1,
    "storage_searches": 1,
    "rerank_searches": 1,
    "code_executions": 1,
    "audio_ms": 3_600_000,
}
#: Greater than the sum of some counts that JSON numbers hold exactly.
MOST_UNITS: Final = 2**56


class BadUnits(ValueError):
    """Counts that cannot be meant: no whole numbers, below zero, or more than money can be counted for."""


@dataclass(slots=True)
class Units:
    """What one request used. ``counted`` is by names of COUNTED."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    citation_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    input_video_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    output_video_tokens: int = 0
    cache_read_audio_tokens: int = 0
    cache_read_image_tokens: int = 0
    cache_read_video_tokens: int = 0
    counted: Mapping[str, int] = field(default_factory=dict)

    def count(self, name: str) -> int:
        """How much of ``name`` was used. What is used is one request, unless ``counted`` says otherwise."""
        if name not in COUNTED:
            return int(getattr(self, name))
        if name == "pages":
            return max(self.counted.get("pages", 0), self.counted.get("annotated_pages", 0))
        return self.counted.get(name, 1 if name == "requests" else 0)


TOKENS: Final = tuple(each.name for each in fields(Units) if each.name != "counted")
OUTPUT: Final = frozenset(("output_tokens", *(part for part in PART_OF if PART_OF[part] == "output_tokens")))
INPUT: Final = frozenset(TOKENS) - OUTPUT
NAMES: Final = frozenset((*TOKENS, *COUNTED))

_MODAL_INPUT: Final = ("input_audio_tokens", "input_image_tokens", "input_video_tokens")
_MODAL_OUTPUT: Final = ("output_audio_tokens", "output_image_tokens", "output_video_tokens")
_tokens = attrgetter(*TOKENS)
_INTEGERS: Final = {int}


def checked(units: Units) -> Units:
    """``units``, made consistent where they are not. Raises BadUnits for what is no count."""
    for name, count in units.counted.items():
        if name not in COUNTED or type(count) is not int or not 0 <= count <= MOST_UNITS:
            raise BadUnits(f"{name}: {count!r} is no count.")
    given, read, written = units.input_tokens, units.cache_read_tokens, units.cache_write_tokens
    made, thought = units.output_tokens, units.reasoning_tokens
    if consistent(given, made, read, written, thought) and _is_plain(units):  # as nearly all are
        return units
    return _checked(units)


def consistent(given: int, made: int, read: int, written: int, thought: int) -> bool:
    """Whether these are counts of tokens, and the parts within their wholes: of input what a cache gave and took, of output
    reasoning."""
    if not given.__class__ is made.__class__ is read.__class__ is written.__class__ is thought.__class__ is int:
        return False
    fits = read >= 0 and written >= 0 and read + written <= given <= MOST_UNITS
    return fits and 0 <= thought <= made <= MOST_UNITS


def _is_plain(units: Units) -> bool:
    """Whether nothing but the five most usual kinds of tokens was used."""
    return (
        units.cache_write_1h_tokens == 0
        and units.citation_tokens == 0
        and units.input_audio_tokens == 0
        and units.input_image_tokens == 0
        and units.input_video_tokens == 0
        and units.output_audio_tokens == 0
        and units.output_image_tokens == 0
        and units.output_video_tokens == 0
        and units.cache_read_audio_tokens == 0
        and units.cache_read_image_tokens == 0
        and units.cache_read_video_tokens == 0
    )


def _checked(units: Units) -> Units:
    tokens = _tokens(units)
    if set(map(type, tokens)) != _INTEGERS or min(tokens) < 0 or max(tokens) > MOST_UNITS:
        raise BadUnits(f"These are no counts of tokens: {units}")
    given, made, read, written, hour, thought, cited, *modal, read_audio, read_image, read_video = tokens
    heard, seen, watched, *shown = modal
    both = read_audio + read_image + read_video
    if (
        read + written + heard + seen + watched - both <= given
        and thought + cited + sum(shown) <= made
        and hour <= written
        and both <= read
        and read_audio <= heard
        and read_image <= seen
        and read_video <= watched
    ):
        return units
    return _consistent(units)


def _consistent(units: Units) -> Units:
    """Units whose parts are within their wholes: a part above its whole raises the whole. Where the parts are more than
    the whole together, some of them must be within two: cached sound, pictures and films. What has no such name, as
    reasoning that is sound, counts as one of its parts alone.
    """
    found = replace(units)
    found.cache_write_tokens = max(found.cache_write_tokens, found.cache_write_1h_tokens)
    cached = found.cache_read_tokens + found.cache_write_tokens
    modal = sum(getattr(found, name) for name in _MODAL_INPUT)
    found.input_tokens = max(found.input_tokens, cached, modal)
    left = found.cache_read_tokens
    for joint, (_, part) in JOINT.items():
        setattr(found, joint, min(getattr(found, joint), getattr(found, part), left))
        left -= getattr(found, joint)
    twice = max(0, modal + found.cache_write_tokens + left - found.input_tokens)
    for joint, (_, part) in JOINT.items():
        more = min(twice, left, getattr(found, part) - getattr(found, joint))
        setattr(found, joint, getattr(found, joint) + more)
        twice, left = twice - more, left - more
    _drop(found, twice, _MODAL_INPUT)
    thought = found.reasoning_tokens + found.citation_tokens
    modal = sum(getattr(found, name) for name in _MODAL_OUTPUT)
    found.output_tokens = max(found.output_tokens, thought, modal)
    _drop(found, thought + modal - found.output_tokens, ("citation_tokens", "reasoning_tokens"))
    return found


def _drop(units: Units, twice: int, names: tuple[str, ...]) -> None:
    """Take ``twice`` tokens, told within two parts, out of the parts ``names``."""
    for name in names:
        joint = sum(getattr(units, each) for each, parts in JOINT.items() if name in parts)
        less = max(0, min(twice, getattr(units, name) - joint))
        setattr(units, name, getattr(units, name) - less)
        twice -= less
