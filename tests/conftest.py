"""What the whole suite shares: which parts need an outside server, and that CI may not skip them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.serving import installation, made

__all__ = ["installation", "made"]  # fixtures

SERVERS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
REQUIRED = os.environ.get("GATEWAY_REQUIRE_ALL") == "1"

# How fast this machine is says nothing about the code. In CI the examples are the same each time: one that nobody has seen
# yet is for who runs the tests to find, not for who submits something else.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=REQUIRED)
settings.load_profile("patient")


def missing(marker: str) -> str:
    """Why tests with ``marker`` cannot run; empty if they can."""
    name = SERVERS[marker]
    return "" if os.environ.get(name, "").startswith(marker) else f"{name} names no {marker} server"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in SERVERS:
        if item.get_closest_marker(marker) and (reason := missing(marker)):
            (pytest.fail if REQUIRED else pytest.skip)(reason)


NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def no_catalogue(settings: Any) -> None:
    """Each test without the catalogue of prices, whatever others have compiled: those that want it say so."""
    settings.GATEWAY_PRICES_FILE = Path(settings.GATEWAY_DATA_DIR, f"prices-of-test-{next(NUMBERS)}.json")
