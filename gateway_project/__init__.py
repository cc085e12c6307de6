"""Wiring: settings, ASGI, URLs."""

__version__ = "0.1.0"
