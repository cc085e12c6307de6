"""Patterns of the operator's own, in a language small enough that a match is short and is known from its beginning.

A pattern is a row of characters, each a letter, ``.``, ``\\d``, ``\\w``, ``\\s``, ``[…]`` or an escaped sign, and each with
``?``, ``{n}`` or ``{m,n}`` behind it if it is not there once. ``\\b`` may begin and end it. Instead of alternatives there are
several patterns; ``*`` and ``+`` have no end, so ``{0,20}`` and ``{1,20}`` are to be written.
"""

from __future__ import annotations

import re
from math import prod

from routing.shipped.finders import Pattern

#: How long a match may be, and in how many ways its characters may be counted: what keeps a search short.
WIDEST, MOST_WAYS = 256, 10_000
_ATOM = re.compile(r"\\[dwsDWS]|\\[^A-Za-z0-9]|\[\^?(?:\\.|[^\]\\])+\]|[^\\*+?{}()|^$\[]", re.DOTALL)
_TIMES = re.compile(r"\{(\d{1,3})(?:,(\d{1,3}))?\}|\?")


class PatternError(ValueError):
    """What is wrong with a pattern, in words for its author."""


def custom(name: str, pattern: str) -> Pattern:
    """What finds ``pattern``. Raises PatternError."""
    begins, ends = pattern.startswith(r"\b"), pattern.endswith(r"\b") and len(pattern) > 2
    atoms = _atoms(pattern[2 * begins : len(pattern) - 2 * ends])
    width = sum(most for _, _, most in atoms)
    if not sum(least for _, least, _ in atoms):
        raise PatternError("it would match nothing at all")
    if width > WIDEST:
        raise PatternError(f"it can match more than {WIDEST} characters")
    if prod(most - least + 1 for _, least, most in atoms) > MOST_WAYS:
        raise PatternError("too many of its characters are of no fixed number")
    edge = r"\b" if begins else ""
    written = [f"{atom}{{{least},{most}}}" for atom, least, most in atoms]
    # Each beginning of it: so many characters in full, and at least one of the next.
    begun = "|".join("".join(written[:n]) + f"{atom}{{1,{most}}}" for n, (atom, _, most) in enumerate(atoms) if most)
    try:
        whole = re.compile(edge + "".join(written) + (r"\b" if ends else ""), re.DOTALL)
        return Pattern(name.upper(), whole, re.compile(rf"{edge}(?:{begun})\Z", re.DOTALL), width + 1)
    except re.error as error:
        raise PatternError(f"it cannot be read: {error}") from None


def _atoms(pattern: str) -> list[tuple[str, int, int]]:
    found, at = [], 0
    while at < len(pattern):
        atom = _ATOM.match(pattern, at)
        if atom is None:
            raise PatternError(
                f"{pattern[at]!r} at character {at + 1} has no place in it; number what repeats: {{1,20}}"
            )
        at = atom.end()
        least = most = 1
        if times := _TIMES.match(pattern, at):
            at = times.end()
            least, most = (0, 1) if times[1] is None else (int(times[1]), int(times[2] or times[1]))
        if most < max(least, 1):
            raise PatternError(f"{times[0] if times else ''} counts down")
        found.append((atom[0], least, most))
    return found
