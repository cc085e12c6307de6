"""When Python's collector looks for cycles, in the processes that serve and store."""

from __future__ import annotations

import gc


def settle() -> None:
    """All is loaded: the collector need not look at that again and again. Requests and rows leave no cycles behind, and
    looking for them after every 700 objects costs a tenth of all time, a quarter of the drain's."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
