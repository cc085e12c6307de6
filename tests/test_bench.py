"""What measures the gateway still runs: its figures are nobody's promise here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from routing.gateway import Gateway
from tests.bench import decisions, path


@pytest.mark.parametrize("strategy", ["priority", "cheapest"])
def test_decisions_are_measured(strategy: str) -> None:
    assert decisions.decision_us(strategy, tries=1) > 0


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("make", [path.gateway, path.programmed, path.funded])
async def test_the_path_is_measured(make: Callable[[Path], Gateway], stream: bool, tmp_path: Path) -> None:
    """Every request is answered with a 200, or it raises."""
    assert await path.window_us(make(tmp_path), stream) > 0
