"""Gemini generateContent, both sides."""

from __future__ import annotations

from urllib.parse import quote

from providers.chat import Chat
from providers.dialects.gemini_read_reply import StreamReader, read_error, read_response
from providers.dialects.gemini_read_request import DIALECT, read_request
from providers.dialects.gemini_write_reply import StreamWriter, write_error, write_response
from providers.dialects.gemini_write_request import write_request
from providers.sse import Parser

NAME = DIALECT
API = "generate"
FRAMES = Parser
NEEDS_DATA: frozenset[type] = frozenset()


def url(chat: Chat) -> str:
    """The path below an upstream's base address, with the model in it."""
    model = quote(chat.model, safe="")
    return (
        f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
        if chat.stream
        else f"/v1beta/models/{model}:generateContent"
    )


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "StreamWriter", "headers", "read_error", "read_request",
    "read_response", "url", "write_error", "write_request", "write_response",
]  # fmt: skip
