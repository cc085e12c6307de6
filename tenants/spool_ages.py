"""For how long a dead owner has admitted nothing, by a clock that never jumps: what it admitted before that has left
trailing windows, and nobody has to wait for it anew after each start.

Each admitted request is written into a segment at once, so the age of the last one tells, if the wall clock, which files
go by, has not been set since. The owner has written down what both clocks said at its birth.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from tenants.spool_segment import path_of, segments

BORN = "born"
TOLERANCE = 1.0
"""Seconds by which two clocks may differ that nobody has set."""


def boot() -> str:
    """Names the time since this machine was started, in which its steady clock can be compared; "" if unknown."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def be_born(directory: Path) -> None:
    with suppress(OSError):  # then its successors wait
        (directory / BORN).write_text(json.dumps([boot(), time.time(), time.monotonic()]))


def quiet(directory: Path) -> float:
    """Seconds since the last segment of a dead owner was written; 0 if nobody can tell."""
    try:
        born_in, wall, steady = json.loads((directory / BORN).read_text())
        written: float = max(
            (path_of(directory, number).stat().st_mtime for number in segments(directory)), default=wall
        )
        now, lived = time.time(), time.monotonic() - float(steady)
        if not born_in or born_in != boot() or abs((now - float(wall)) - lived) > TOLERANCE:
            return 0.0
        return max(0.0, min(lived, now - written))
    except (OSError, ValueError, TypeError):
        return 0.0
