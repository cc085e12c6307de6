"""What the whole suite shares: which parts need an outside server, and that CI may not skip them."""

from __future__ import annotations

import os

import pytest

from tests.serving import installation, made

__all__ = ["installation", "made"]  # fixtures

SERVERS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
REQUIRED = os.environ.get("GATEWAY_REQUIRE_ALL") == "1"


def missing(marker: str) -> str:
    """Why tests with ``marker`` cannot run; empty if they can."""
    name = SERVERS[marker]
    return "" if os.environ.get(name, "").startswith(marker) else f"{name} names no {marker} server"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in SERVERS:
        if item.get_closest_marker(marker) and (reason := missing(marker)):
            (pytest.fail if REQUIRED else pytest.skip)(reason)
