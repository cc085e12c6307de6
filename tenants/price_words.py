"""Rates as people write and read them: lines of text in the admin, dollars by unit in the API and in files. No Django here.

A line of text is ``input 2.50, output 10``: dollars for a million tokens, or for what ``price_figures.PER`` says. Long
input is ``above 200000: input 5, output 15``, a service tier ``batch: input 1.25, output 5``, and a tier's long input
``batch above 200000: ...``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tenants.price_figures import BadAmount, amounts, rate, rates
from tenants.units import NAMES

TIER = re.compile(r"[A-Za-z0-9_.=&-]{1,30}")
_PIECE = re.compile(r"([a-z0-9_ ]+?)[\s:=]+\$?([-+.\d]\S*)")
_LINE = re.compile(r"(?:([^\s:]+?)\s*)?(?:(?<!\S)above\s+(\d[\d_,]*))?\s*:\s*(.+)")
Tree = dict[str, Any]


# ---------------------------------------------------------------- text


def read_rates(text: str) -> dict[str, int]:
    """Raises BadAmount."""
    found: dict[str, int] = {}
    for piece in filter(None, (each.strip() for each in re.split(r"[;,\n]", text))):
        match = _PIECE.fullmatch(piece.lower())
        if match is None:
            raise BadAmount(f"{piece!r}: write a unit and dollars, such as input 2.50.")
        unit = unit_of(match[1])
        if unit in found:
            raise BadAmount(f"{unit}: stands here twice.")
        found[unit] = rate(unit, match[2])
    return found


def write_rates(told: Mapping[str, int]) -> str:
    return ", ".join(f"{unit.removesuffix('_tokens')} {dollars}" for unit, dollars in amounts(told).items())


def unit_of(word: str) -> str:
    """``input`` is input_tokens. Raises BadAmount."""
    name = word.strip().replace(" ", "_")
    for unit in (name, f"{name}_tokens"):
        if unit in NAMES:
            return unit
    raise BadAmount(f"{word!r}: there is no such unit.")


def read_long(text: str) -> list[Any]:
    """Raises BadAmount."""
    return _long(_lines(text), "")


def write_long(long: list[Any]) -> str:
    return "\n".join(_written("", long))


def read_tiers(text: str) -> Tree:
    """Raises BadAmount."""
    found: Tree = {}
    lines = list(_lines(text))
    for tier in dict.fromkeys(tier for tier, _, _ in lines):
        if not TIER.fullmatch(tier):
            raise BadAmount(f"{tier!r}: each line begins with the tier's name, such as batch: input 1.25.")
        plain = [told for name, start, told in lines if name == tier and start is None]
        if len(plain) != 1:
            raise BadAmount(f"{tier}: one line has its rates, without above.")
        long = _long((line for line in lines if line[1] is not None), tier)
        found[tier] = {"rates": plain[0], **({"long": long} if long else {})}
    return found


def write_tiers(tiers: Mapping[str, Tree]) -> str:
    lines = []
    for tier, told in tiers.items():
        lines += [f"{tier}: {write_rates(told['rates'])}", *_written(f"{tier} ", told.get("long", ()))]
    return "\n".join(lines)


def _lines(text: str) -> Iterator[tuple[str, int | None, dict[str, int]]]:
    """Of each line the tier, the number of input tokens that it is above, and the rates."""
    for line in filter(None, (each.strip() for each in text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadAmount(f"{line!r}: such a line is above 200000: input 5, output 15.")
        start = None if match[2] is None else int(re.sub("[_,]", "", match[2]))
        yield match[1] or "", start, read_rates(match[3])


def _long(lines: Any, wanted: str) -> list[Any]:
    found = []
    for tier, start, told in lines:
        if tier == wanted and start is not None:
            found.append([start, told])
        elif not wanted:
            raise BadAmount("Each line is above a number of input tokens: above 200000: input 5, output 15.")
    return sorted(found, key=lambda each: each[0])


def _written(name: str, long: Any) -> list[str]:
    return [f"{name}above {start}: {write_rates(told)}" for start, told in long]


# ---------------------------------------------------------------- trees


def long_of(tree: Any) -> list[Any]:
    """``[{"above": 200000, "rates": {"input_tokens": "5"}}]``. Raises BadAmount."""
    if not isinstance(tree, list) or not all(isinstance(each, dict) for each in tree):
        raise BadAmount('Give a list of {"above": tokens, "rates": {...}}.')
    _verify_names(tree, {"above", "rates"})
    return [[each.get("above"), rates_of(each.get("rates"))] for each in tree]


def tiers_of(tree: Any) -> Tree:
    """``{"batch": {"rates": {...}, "long": [...]}}``. Raises BadAmount."""
    if not isinstance(tree, dict) or not all(isinstance(each, dict) for each in tree.values()):
        raise BadAmount('Give {"batch": {"rates": {...}}}.')
    _verify_names(tree.values(), {"rates", "long"})
    if wrong := [name for name in tree if not isinstance(name, str) or not TIER.fullmatch(name)]:
        raise BadAmount(f"{wrong[0]!r} is no name of a service tier.")
    return {
        tier: {"rates": rates_of(each.get("rates")), **({"long": long_of(each["long"])} if each.get("long") else {})}
        for tier, each in tree.items()
    }


def rates_of(tree: Any) -> dict[str, int]:
    """``{"input_tokens": "2.50"}``. Raises BadAmount."""
    if not isinstance(tree, dict):
        raise BadAmount('Give dollars by unit, such as {"input_tokens": "2.50"}.')
    return rates({str(unit): each for unit, each in tree.items()})


def tree_of_long(long: list[Any]) -> list[Tree]:
    return [{"above": start, "rates": amounts(told)} for start, told in long]


def tree_of_tiers(tiers: Mapping[str, Tree]) -> Tree:
    return {
        tier: {"rates": amounts(told["rates"]), **({"long": tree_of_long(told["long"])} if told.get("long") else {})}
        for tier, told in tiers.items()
    }


def _verify_names(trees: Any, known: set[str]) -> None:
    for each in trees:
        if unknown := {str(name) for name in each} - known:
            raise BadAmount(f"{min(unknown)!r}: there is no such name here. Known: {', '.join(sorted(known))}.")
