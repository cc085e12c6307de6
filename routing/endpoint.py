"""What one client endpoint is: its dialect, the provider API that serves it, and the path that the upstream has for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``name`` is the word in usage rows; ``path`` the upstream path, where ``{id}`` and ``{model}:{action}`` stand for
    what the client's path holds. ``body`` is json, multipart or none."""

    name: str
    dialect: str  # openai | anthropic | gemini
    api: str  # the provider API: chat, responses, messages, generate …
    path: str
    body: str = "json"


#: What a legacy completion is whose body has messages.
UNIFIED: Final = Endpoint("unified", "openai", "unified", "v1/completions")
