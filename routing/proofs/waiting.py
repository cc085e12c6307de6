"""Waiting for conditions, never for longer than is good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 240.0
PAUSE = 0.05


class Late(Exception):
    """A condition was not met in time."""


def until(condition: Callable[[], T], what: str, limit: float = LIMIT) -> T:
    """The first true value of ``condition``. Raises Late."""
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise Late(f"not within {limit:.0f} s: {what}")
        time.sleep(PAUSE)
    return value
