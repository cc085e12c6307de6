"""Wiring: settings, ASGI, URLs. Whoever imports this first gets the hot path compiled, where that was done."""

from gateway_project import compiled

__version__ = "0.1.0"

compiled.use()
