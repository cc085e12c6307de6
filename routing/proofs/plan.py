"""What an installation of a proof is to hold: levels with their limits and budgets, one priced model. No Django here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

MODEL = "proof"
RATES = {"input_tokens": 123_456_789, "output_tokens": 9_876_543_211}
"""Nano-dollars for a million: no token costs a whole number of them."""
WINDOW = 200_000
UNSEEN = 2_048
"""Input tokens that are reserved for what an upstream may add."""
SLACK = 16
"""Output tokens that are reserved beyond a cap."""
LONGEST_BODY = 700


@dataclass(frozen=True, slots=True)
class Node:
    """A tenant, tenant/project or tenant/project/key; a key of no project is tenant/-/key. ``limits`` are fields of its
    row, ``budget`` is in nano-dollars, 0 for none."""

    path: str
    budget: int = 0
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return self.path.count("/")


@dataclass(frozen=True, slots=True)
class Plan:
    """``cap`` is what the gateway puts in where a request has none."""

    nodes: tuple[Node, ...]
    cap: int
    rates: dict[str, int] = field(default_factory=lambda: dict(RATES))

    @property
    def keys(self) -> list[str]:
        return [node.path for node in self.nodes if node.depth == 2]

    @property
    def budgets(self) -> Iterator[Node]:
        return (node for node in self.nodes if node.budget)

    @property
    def largest(self) -> int:
        """The largest reservation of one request, in nano-dollars, rounded up."""
        tokens = (UNSEEN + LONGEST_BODY) * self.rates["input_tokens"] + (self.cap + SLACK) * self.rates["output_tokens"]
        return -(-tokens // 1_000_000)

    def document(self) -> dict[str, Any]:
        return asdict(self)
