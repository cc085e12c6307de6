"""The table of client endpoints as rows of Channels' router, and the WebSockets beside it."""

from __future__ import annotations

from typing import Any

from django.urls import re_path

from routing import consumers, views
from routing.paths import CHAT, DATA_PLANE, HOT, RESPONSES, ROWS, TABLE, suggest

__all__ = ("CHAT", "DATA_PLANE", "HOT", "RESPONSES", "TABLE", "row", "suggest", "urlpatterns", "websocket_urlpatterns")


def row(pattern: str, view: Any, values: dict[str, str] | None = None) -> Any:
    """A row for Channels' router, which calls ASGI applications where Django's calls views."""
    return re_path(pattern, view, values or {})


urlpatterns = [*(row(*each) for each in ROWS), row(r"^", views.unknown(suggest))]
websocket_urlpatterns = [row(r"^(?:openai/)?v1/responses$", consumers.ResponsesConsumer.as_asgi(endpoint=RESPONSES))]
