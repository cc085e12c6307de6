"""What a request asks and what a reply tells, apart from any dialect: the words in which the matrix compares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.recorded_usage import Tokens

Json = Any
#: (role, kind, …): ("user", "text", words), ("user", "image" or "pdf", base64), ("assistant", "call", name, arguments),
#: ("tool", "result", name of the tool, arguments of the call, words).
Item = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. Arguments are JSON with sorted names."""

    items: tuple[Item, ...]
    system: str = ""
    tools: tuple[Function, ...] = ()
    stop: tuple[str, ...] = ()
    schema: Json = None
    max_tokens: int | None = 4096
    thinks: bool = False
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A reply. ``finish`` is stop, stop_sequence, length, tool_calls, refused (the model said no in so many words),
    refusal (its vendor did) or content_filter; ``native`` is the word that the wire has for it."""

    text: str
    calls: tuple[tuple[str, Json], ...]
    finish: str
    native: str
    tokens: Tokens | None
    thinking: str = ""
    refusal: str = ""


def sorted_json(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def squeezed(text: str) -> str:
    """Thinking that comes in several parts is joined with more or less white space."""
    return "".join(text.split())
