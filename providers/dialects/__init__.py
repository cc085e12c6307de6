"""The dialects: each reads its wire into the vocabulary and writes the vocabulary to its wire.

A dialect is a module with the names of ``Dialect``. ``UPSTREAMS`` has every one that an upstream may speak,
``CLIENTS`` those that a client may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from providers.chat import Chat, Json
from providers.dialects.reader import SseEvent
from providers.events import Event, Failed
from providers.variants import Frames


class Reads(Protocol):
    """Reads one streamed reply. ``over``: nothing more comes of it."""

    over: bool

    def feed(self, event: SseEvent, /) -> list[Event]: ...

    def flush(self) -> list[Event]: ...


class Writes(Protocol):
    """Writes one streamed reply."""

    def feed(self, event: Event, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Upstream(Protocol):
    """What the gateway asks of the dialect that an upstream speaks."""

    NAME: str
    API: str
    NEEDS_DATA: frozenset[type]

    def FRAMES(self) -> Frames: ...  # noqa: N802

    def url(self, chat: Chat) -> str: ...

    def headers(self, chat: Chat) -> list[tuple[str, str]]: ...

    def write_request(self, chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]: ...

    def StreamReader(self, chat: Chat | None = None) -> Reads: ...  # noqa: N802

    def read_response(self, doc: Any, chat: Chat | None = None) -> list[Event]: ...

    def read_error(self, status: int, doc: Any) -> Failed: ...


class Client(Protocol):
    """What the gateway asks of the dialect that a client speaks."""

    NAME: str

    def read_request(self, doc: Any, path_info: str = "") -> Chat: ...

    def StreamWriter(self, chat: Chat) -> Writes: ...  # noqa: N802

    def write_response(self, events: Iterable[Event], chat: Chat) -> Json: ...

    def write_error(self, error: Failed) -> tuple[int, Json]: ...


class Dialect(Upstream, Client, Protocol):
    """Both sides."""


from providers.dialects import (  # noqa: E402
    anthropic,
    bedrock,
    cohere,
    gemini,
    ollama,
    openai_chat,
    openai_responses,
    unified,
)

CLIENTS: dict[str, Client] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "unified": unified,
}
UPSTREAMS: dict[str, Upstream] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "ollama": ollama,
    "bedrock": bedrock,
    "cohere": cohere,
}
