"""The gateway of this process, for those who show its state: None where there is none, as in management commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routing.gateway import Gateway

_running: Gateway | None = None


def gateway() -> Gateway | None:
    return _running


def set_gateway(found: Gateway | None) -> None:
    global _running
    _running = found
