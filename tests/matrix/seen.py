"""What a request that reached an upstream asks, dialect by dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.matrix.meaning import Asked
from tests.matrix.seen_openai import chat, cohere, ollama, responses
from tests.matrix.seen_vendors import converse, generate, messages

#: Each reads a body and the path that it was sent to.
READ: dict[str, Callable[[Any, str], Asked]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "generate": generate,
    "ollama": ollama,
    "converse": converse,
    "cohere": cohere,
}
