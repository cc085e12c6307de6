"""What a request will cost about at each of its targets, before it is sent: to compare them, not to charge by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from routing.facts import Facts
from routing.table import Table, Target
from tenants.pricing import cost
from tenants.units import BadUnits, Units

TYPICAL_OUTPUT = 500
"""Tokens of a reply where nothing is said of its length."""
#: Where the dialects say how long a reply may be.
CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_tokens_to_sample")
INNER = ("generationConfig", "generation_config", "options", "inferenceConfig")
INNER_CAPS = ("maxOutputTokens", "max_output_tokens", "num_predict", "maxTokens")
MOST = 10**9


def estimates(facts: Facts, table: Table, targets: Iterable[Target], model: str) -> dict[int, int | None]:
    """Nano-dollars by the targets' ids; None where nobody knows a price. ``model`` is the name for targets without one."""
    given, asked = min(facts.input_tokens, MOST), cap(facts.doc)
    found: dict[int, int | None] = {}
    for target in targets:
        price = table.price(target.upstream, target.model or model, facts.now)
        made = min(asked or TYPICAL_OUTPUT, target.max_tokens or MOST)
        try:
            found[target.id] = cost(price, Units(given, made), facts.now) if price is not None else None
        except BadUnits:
            found[target.id] = None
    return found


def cap(doc: Mapping[str, Any]) -> int:
    """The most tokens that the request lets the reply have, as far as it says so; 0 where it does not."""
    told = [doc.get(name) for name in CAPS]
    for outer in INNER:
        if isinstance(inner := doc.get(outer), dict):
            told += [inner.get(name) for name in INNER_CAPS]
    return next((each for each in told if type(each) is int and 0 < each <= MOST), 0)
