"""Cohere chat v2, the upstream side."""

from __future__ import annotations

from providers.chat import Chat, File
from providers.dialects.cohere_read_reply import StreamReader, read_error, read_response
from providers.dialects.cohere_write_request import DIALECT, write_request
from providers.sse import Parser

NAME = DIALECT
API = "cohere"
FRAMES = Parser
#: A document's address must be fetched first: this API takes its words alone.
NEEDS_DATA: frozenset[type] = frozenset({File})


def url(chat: Chat) -> str:
    """The path below an upstream's base address."""
    return "/v2/chat"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "headers", "read_error", "read_response", "url",
    "write_request",
]  # fmt: skip
