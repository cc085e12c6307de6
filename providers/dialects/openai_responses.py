"""OpenAI Responses (and OpenResponses), both sides."""

from __future__ import annotations

from providers.chat import Audio, Chat
from providers.dialects.openai_responses_items import write_error
from providers.dialects.openai_responses_read_reply import StreamReader, read_error, read_response
from providers.dialects.openai_responses_read_request import DIALECT, read_request
from providers.dialects.openai_responses_write_reply import StreamWriter, write_response
from providers.dialects.openai_responses_write_request import write_request
from providers.sse import Parser

NAME = DIALECT
API = "responses"
FRAMES = Parser
NEEDS_DATA: frozenset[type] = frozenset({Audio})


def url(chat: Chat) -> str:
    """The path below an upstream's base address."""
    return "/v1/responses"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "StreamWriter", "headers", "read_error", "read_request",
    "read_response", "url", "write_error", "write_request", "write_response",
]  # fmt: skip
