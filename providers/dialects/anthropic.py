"""Anthropic messages, both sides."""

from __future__ import annotations

from providers.chat import Chat
from providers.dialects.anthropic_read_reply import StreamReader, read_error, read_response
from providers.dialects.anthropic_read_request import DIALECT, read_request
from providers.dialects.anthropic_write_reply import StreamWriter, write_error, write_response
from providers.dialects.anthropic_write_request import write_request
from providers.sse import Parser

NAME = DIALECT
API = "messages"
FRAMES = Parser
NEEDS_DATA: frozenset[type] = frozenset()
#: Kinds of hosted tools -> the beta that older models ask for.
BETAS = {
    "mcp": "mcp-client-2025-11-20",
    "web_fetch": "web-fetch-2025-09-10",
    "code_execution": "code-execution-2025-08-25",
}


def url(chat: Chat) -> str:
    """The path below an upstream's base address."""
    return "/v1/messages"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """The API's version, and the betas of tools that another dialect's client asked for."""
    found = [("anthropic-version", "2023-06-01")]
    kinds = {getattr(tool, "kind", "") for tool in chat.tools} if chat.dialect != DIALECT else set()
    if betas := [beta for kind, beta in BETAS.items() if kind in kinds]:
        found.append(("anthropic-beta", ",".join(betas)))
    return found


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "StreamWriter", "headers", "read_error", "read_request",
    "read_response", "url", "write_error", "write_request", "write_response",
]  # fmt: skip
