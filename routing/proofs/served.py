"""What is true: what the upstream has written down, and what that costs, computed here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

MILLION = 1_000_000


class Served(NamedTuple):
    """One attempt that the upstream bills. ``admitted`` is when the gateway took it in, by its own word, 0 if it said
    nothing; ``answered`` is 0 where no answer was sent whole."""

    id: str
    attempt: int
    label: str
    input: int
    output: int
    admitted: float
    arrived: float
    answered: float

    @property
    def tokens(self) -> int:
        return self.input + self.output

    def under(self, level: str) -> bool:
        """Whether it counts in what is limited for ``level``: tenant, tenant/project or tenant/project/key."""
        return self.label == level or self.label.startswith(f"{level}/")


def read(log: Path) -> list[Served]:
    """All of it, in the order of arrival."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    answered = {(line["id"]): line["answered"] for line in lines if "answered" in line}
    last: dict[str, int] = {}
    for line in lines:
        if "attempt" in line:
            last[line["id"]] = max(last.get(line["id"], 0), line["attempt"])
    return [
        Served(
            line["id"],
            line["attempt"],
            line["label"],
            line["input"],
            line["output"],
            line["admitted"] or 0.0,
            line["arrived"],
            answered.get(line["id"], 0.0) if line["attempt"] == last[line["id"]] else 0.0,
        )
        for line in lines
        if "attempt" in line
    ]


def cost(rates: Mapping[str, int], input: int, output: int) -> int:
    """Nano-dollars, rounded half-even, by rates for a million tokens."""
    return round(Fraction(input * rates["input_tokens"] + output * rates["output_tokens"], MILLION))


def truth(served: Iterable[Served], rates: Mapping[str, int], level: str) -> int:
    """What the upstream bills for all that counts in ``level``."""
    return sum(cost(rates, each.input, each.output) for each in served if each.under(level))
