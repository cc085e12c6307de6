"""What an installation's database says in the end. ``python -m routing.proofs.books``, in its environment, tells it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from routing.proofs.installation import Installation


class Row(NamedTuple):
    """Of the usage."""

    id: str
    kind: str
    corrects: str
    request_id: str
    status: int
    error_kind: str
    attempts: int
    input: int
    output: int
    cost: int
    interrupted: bool
    estimated: bool
    bound_exceeded: bool

    @property
    def of(self) -> str:
        """The request that it is about."""
        return self.corrects or self.id


class WindowRow(NamedTuple):
    counter: str
    cap: int
    granted: int
    spent: int


class Held(NamedTuple):
    owner: str
    counter: str
    granted: int
    settled: int


class Books(NamedTuple):
    usage: list[Row]
    windows: dict[str, WindowRow]
    held: list[Held]


def open_books(at: Installation) -> Books:
    told = at.ask("routing.proofs.books")
    windows = [WindowRow(*each) for each in told["windows"]]
    usage = [Row(*each) for each in told["usage"]]
    return Books(usage, {each.counter: each for each in windows}, [Held(*each) for each in told["held"]])


def _tell() -> dict[str, Any]:
    from tenants.models import HeldLease, LeaseWindow, Usage

    names = "pk kind corrects request_id status error_kind attempts input_tokens output_tokens cost".split()
    names += ["interrupted", "estimated", "bound_exceeded"]
    counters = dict(LeaseWindow.objects.values_list("pk", "counter"))
    return {
        "usage": [
            (str(key), kind, str(corrects or ""), *rest[:6], rest[6] or 0, *rest[7:])
            for key, kind, corrects, *rest in Usage.objects.values_list(*names).order_by("pk")
        ],
        "windows": list(LeaseWindow.objects.values_list("counter", "cap", "granted", "spent")),
        "held": [
            (owner, counters.get(window, ""), granted, settled)
            for owner, window, granted, settled in HeldLease.objects.values_list(
                "owner", "window_id", "granted", "settled"
            )
        ],
    }


if __name__ == "__main__":
    import django

    django.setup()
    json.dump(_tell(), sys.stdout)
