"""Why a request went where it went: the targets that could have answered, in order or rejected, and what was tried.

Stored with every usage row as compact JSON, one array of arrays; ``read`` says it in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import orjson

from routing.table import Target

MOST_LISTED: Final = 50
LONGEST_REASON: Final = 200
#: Stored by their key alone: they are in every row of a route that has such a target.
STANDS_IN: Final = {
    "context_length": "stands in for requests that are too long for another target",
    "content_policy": "stands in for requests that were refused for their content",
    "both": "stands in for requests that were refused as too long or for their content",
}


class Decision:
    """``via`` says how the model's route was found and ``strategy`` how its targets were ordered. ``targets`` are to be
    tried, in this order; ``spare`` ones only after a refusal that they stand in for; ``rejected`` ones have reasons.
    ``attempts`` are (target's id, outcome, start and duration in microseconds, credential's id). ``costs`` are the estimates
    by which the strategy ``cheapest`` went, nano-dollars by the targets' ids."""

    __slots__ = ("attempts", "costs", "model", "rejected", "spare", "strategy", "targets", "via")

    def __init__(self, via: str, strategy: str, model: str) -> None:
        self.via = via
        self.strategy = strategy
        self.model = model
        self.targets: list[Target] = []
        self.spare: list[Target] = []
        self.rejected: list[tuple[Target, str]] = []
        self.attempts: list[tuple[int, str | int, int, int, int]] = []
        self.costs: dict[int, int | None] = {}

    def sift(self, targets: list[Target], reason: Callable[[Target], str]) -> list[Target]:
        """Those of ``targets`` for which ``reason`` has none; the others are rejected with it."""
        kept = []
        for target in targets:
            if why := reason(target):
                self.rejected.append((target, why))
            else:
                kept.append(target)
        return kept

    def standing_in(self, refusal: str) -> list[Target]:
        """The spare targets for ``refusal``, context_length or content_policy; they are spare no more."""
        found = [target for target in self.spare if target.fallback_for in (refusal, "both")]
        self.spare = [target for target in self.spare if target not in found]
        return found

    def text(self) -> str:
        """The decision as it is stored, in ASCII."""
        listed = [(target, "") for target in self.targets]
        listed += [(target, target.fallback_for) for target in self.spare]
        listed += [(target, reason[:LONGEST_REASON]) for target, reason in self.rejected]
        rows: list[tuple[Any, ...]] = [(t.id, t.upstream.name, t.model or self.model, reason) for t, reason in listed]
        if self.costs:
            rows = [(*row, self.costs[row[0]]) if row[0] in self.costs else row for row in rows]
        doc = (self.via, self.strategy, rows[:MOST_LISTED], self.attempts[:MOST_LISTED], len(rows))
        text = orjson.dumps(doc).decode()
        return text if text.isascii() else json.dumps(doc)


def read(text: str) -> dict[str, Any]:
    """A stored decision in words; times are milliseconds, ``after_ms`` since the request's head. {} where none is stored."""
    if not text:
        return {}
    via, strategy, rows, attempts, count = orjson.loads(text)
    names = {row[0]: row for row in rows}
    candidates: list[dict[str, Any]] = []
    for order, (target, provider, model, reason, *costs) in enumerate(rows, 1):
        found = {"target": target, "provider": provider, "model": model}
        if costs:
            found["estimated_cost"] = costs[0]
        candidates.append({**found, "rejected": STANDS_IN.get(reason, reason)} if reason else {**found, "order": order})
    tried = [_attempt(names.get(attempt[0]), attempt) for attempt in attempts]
    told: dict[str, Any] = {"via": via, "strategy": strategy, "candidates": candidates, "attempts": tried}
    return told if count == len(rows) else {**told, "more_candidates": count - len(rows)}


def _attempt(row: list[Any] | None, attempt: list[Any]) -> dict[str, Any]:
    target, outcome, after, took, credential = attempt
    where = {"provider": row[1], "model": row[2]} if row is not None else {}
    return {
        "target": target,
        **where,
        "credential": credential,
        "outcome": outcome,
        "after_ms": after / 1000,
        "ms": took / 1000,
    }
