"""Hooks that tests choose by name, as an operator would in GATEWAY_HOOKS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from routing.hooks import HookCall, Means, option


class Counting:
    """Counts what it sees, so that a test can tell one instance from another."""

    on_failure = "open"
    seconds = 2.0

    @dataclass(frozen=True)
    class Options:
        url: str = option("", "Where it counts.")
        token: str = option("", "What it says there.", secret=True)
        words: tuple[str, ...] = option((), "More of these.", secret=True)
        most: int = option(9, "How far.", minimum=1, maximum=99)

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options
        self.means = means
        self.seen = 0

    def before_request(self, call: HookCall) -> None:
        self.seen += 1


class Knows:
    """Only says whose a request is."""

    def __init__(self, options: Any, means: Means) -> None: ...

    def authenticate(self, headers: Any) -> None: ...


class NoHook:
    """Has no phase."""
