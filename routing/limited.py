"""Work that must not keep anybody beyond its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from routing.hook_words import Misuse


async def limited(work: Awaitable[Any], seconds: float) -> Any:
    """What ``work`` gives. It cannot keep us beyond its time, even if it refuses to be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not task.done():
        raise TimeoutError
    if task.cancelled():
        raise Misuse("it has cancelled itself")
    return task.result()


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
