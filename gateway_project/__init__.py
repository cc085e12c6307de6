"""Wiring: settings, ASGI, URLs. Imported before all else, so it decides whether the hot path is a compiled one."""

from gateway_project import compiled

__version__ = "0.1.0"

compiled.use()
