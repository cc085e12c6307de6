"""Amazon Bedrock's Converse API, as an upstream."""

from __future__ import annotations

from urllib.parse import quote

from providers import eventstream
from providers.chat import Audio, Chat, File, Image, Video
from providers.dialects.bedrock_read_reply import StreamReader, read_error, read_response
from providers.dialects.bedrock_write_request import DIALECT, write_request

NAME = DIALECT
API = "converse"
#: Media travel as bytes, or as an ``s3://`` address.
NEEDS_DATA: frozenset[type] = frozenset({Audio, File, Image, Video})
#: Splits a streamed reply, which is of ``STREAM_TYPE``.
FRAMES = eventstream.Parser
STREAM_TYPE = eventstream.CONTENT_TYPE


def url(chat: Chat) -> str:
    """The path below an upstream's base address. In a model's id, perhaps an ARN, colons and slashes are quoted too."""
    action = "converse-stream" if chat.stream else "converse"
    return f"/model/{quote(chat.model, safe='')}/{action}"


def headers(chat: Chat) -> list[tuple[str, str]]:
    """What this API wants beside authorization."""
    return []


__all__ = [
    "API", "FRAMES", "NAME", "NEEDS_DATA", "STREAM_TYPE", "StreamReader", "headers", "read_error", "read_response",
    "url", "write_request",
]  # fmt: skip
