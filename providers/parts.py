"""What a message of the vocabulary consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Cache:
    """A mark that what stands before and here may be cached. ``form`` is the member that said so."""

    ttl: str = ""
    form: str = "cache_control"
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Source:
    """Where bytes come from. ``kind`` is url, data (base64), text or file (an id in the vendor's own store)."""

    kind: str
    value: str
    media_type: str = ""

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.value}"


@dataclass(slots=True)
class Citation:
    """What a text rests on. ``kind`` is url, document or other; ``start`` and ``end`` count characters of the text
    (-1: unknown); ``raw`` is the citation as ``dialect`` tells it."""

    kind: str
    url: str = ""
    title: str = ""
    quote: str = ""
    start: int = -1
    end: int = -1
    dialect: str = ""
    raw: Json = field(default_factory=dict)


@dataclass(slots=True)
class Text:
    text: str
    cache: Cache | None = None
    signature: str = ""
    citations: list[Citation] = field(default_factory=list)
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Image:
    source: Source
    detail: str = ""
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Audio:
    source: Source
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Video:
    source: Source
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class File:
    """A document. ``citations`` asks the model to cite it."""

    source: Source
    name: str = ""
    cache: Cache | None = None
    citations: bool | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Thinking:
    """Reasoning that a model showed. ``signature`` is the vendor's proof or ciphertext, valid only with ``signed_by``
    (a dialect); ``redacted`` means that there is nothing else. ``form`` is the member that held it."""

    texts: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    signature: str = ""
    signed_by: str = ""
    redacted: bool = False
    form: str = ""
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class ToolCall:
    """``arguments`` is the JSON text as the model wrote it; of a ``custom`` tool, its plain input."""

    id: str
    name: str
    arguments: str
    kind: str = "function"
    namespace: str = ""
    signature: str = ""
    signed_by: str = ""
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class ToolResult:
    """``form`` says how a dialect wrapped it (Gemini: the member of ``response``, or ``json`` for a free object);
    ``path`` is where the client's request names the call, for an error to say."""

    call_id: str
    parts: list[Part]
    name: str = ""
    is_error: bool | None = None
    kind: str = "function"
    form: str = ""
    namespace: str = ""
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)
    path: str = ""


@dataclass(slots=True)
class Refusal:
    text: str
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Opaque:
    """A part, item or block that only ``dialect`` knows, as it was. ``type`` is its name there."""

    dialect: str
    type: str
    raw: Json


Part = Text | Image | Audio | Video | File | Thinking | ToolCall | ToolResult | Refusal | Opaque


@dataclass(slots=True)
class Message:
    """``role`` is system, developer, user, assistant or tool."""

    role: str
    parts: list[Part]
    extra: Json = field(default_factory=dict)


def joined(parts: list[Part], separator: str = "") -> str:
    """The text of ``parts``, those without any left out."""
    return separator.join(part.text for part in parts if isinstance(part, Text | Refusal))
