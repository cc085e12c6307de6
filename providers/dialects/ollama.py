"""Ollama's own chat API, the upstream side: one JSON object for each line of a stream."""

from __future__ import annotations

from providers.chat import Chat, Image
from providers.dialects.ollama_read_reply import StreamReader, read_error, read_response
from providers.dialects.ollama_write_request import DIALECT, write_request
from providers.ndjson import Parser

NAME = DIALECT
API = "ollama"
FRAMES = Parser
#: Images travel as base64 alone; no other media has a place.
NEEDS_DATA: frozenset[type] = frozenset({Image})


def url(chat: Chat) -> str:
    """The path below an upstream's base address."""
    return "/api/chat"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "headers", "read_error", "read_response", "url",
    "write_request",
]  # fmt: skip
