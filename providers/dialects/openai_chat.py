"""OpenAI chat completions, both sides: the dialect that most compatible servers speak."""

from __future__ import annotations

from providers.chat import Audio, Chat, File
from providers.dialects.openai_chat_read_reply import StreamReader, read_error, read_response
from providers.dialects.openai_chat_read_request import DIALECT, read_request
from providers.dialects.openai_chat_write_reply import StreamWriter, write_error, write_response
from providers.dialects.openai_chat_write_request import write_request
from providers.sse import Parser

NAME = DIALECT
API = "chat"
FRAMES = Parser
#: Parts whose address must be fetched first, because this API takes only their bytes.
NEEDS_DATA = frozenset({Audio, File})


def url(chat: Chat) -> str:
    """The path below an upstream's base address."""
    return "/v1/chat/completions"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "StreamReader", "StreamWriter", "headers", "read_error", "read_request",
    "read_response", "url", "write_error", "write_request", "write_response",
]  # fmt: skip
