"""The vocabulary that every dialect reads into and writes from: a request (``providers.events`` has the reply).

It is richer than any dialect, so that what one knows and another does not is kept until a writer says that it is lost.
``extra`` on a chat, message, part or tool holds the members that only ``Chat.dialect`` knows; a writer of another
dialect names them as dropped. Nothing here knows a wire format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class BadRequest(ValueError):
    """A client's request that does not have its dialect's form: ``field`` is a path, ``message`` says what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Unsupported(ValueError):
    """A request that the upstream's ``dialect`` cannot express without changing its meaning."""

    def __init__(self, field: str, dialect: str) -> None:
        super().__init__(f"{field} cannot be expressed in the {dialect} API")
        self.field = field
        self.dialect = dialect


# ---------------------------------------------------------------- parts of a message


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
    """``form`` says how a dialect wrapped it (Gemini: the member of ``response``, or ``json`` for a free object)."""

    call_id: str
    parts: list[Part]
    name: str = ""
    is_error: bool | None = None
    kind: str = "function"
    form: str = ""
    namespace: str = ""
    cache: Cache | None = None
    extra: Json = field(default_factory=dict)


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


# ---------------------------------------------------------------- tools


@dataclass(slots=True)
class FunctionTool:
    """``native`` is the schema as ``Chat.dialect`` wrote it, where that is no JSON schema; ``form`` the member's name."""

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    cache: Cache | None = None
    native: Json | None = None
    form: str = ""
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class CustomTool:
    """A freeform tool: its input is text, by ``format`` perhaps of a grammar (``{type, syntax, definition}``)."""

    name: str
    description: str | None = None
    format: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class NamespaceTool:
    """Tools under one name."""

    name: str
    description: str | None
    tools: list[Tool]
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class HostedTool:
    """A tool that the upstream runs. ``kind`` is web_search, web_fetch, code_execution, file_search, mcp or the
    vendor's own type; ``domains``, ``blocked_domains``, ``location`` and ``max_uses`` are those of a web search."""

    kind: str
    dialect: str
    raw: Json
    domains: list[str] = field(default_factory=list)
    blocked_domains: list[str] = field(default_factory=list)
    location: Json | None = None
    max_uses: int | None = None
    cache: Cache | None = None


Tool = FunctionTool | CustomTool | NamespaceTool | HostedTool


@dataclass(slots=True)
class ToolChoice:
    """``mode`` is auto, none, required, tool (``names`` has one) or allowed (one of ``names``, under ``allowed_mode``
    auto or required). ``names`` are (kind, name)."""

    mode: str
    names: list[tuple[str, str]] = field(default_factory=list)
    allowed_mode: str = "required"
    extra: Json = field(default_factory=dict)


# ---------------------------------------------------------------- the request


@dataclass(slots=True)
class Sampling:
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logit_bias: Json | None = None


@dataclass(slots=True)
class ResponseFormat:
    """``kind`` is text, json_object or json_schema. ``native`` as in FunctionTool."""

    kind: str
    name: str = ""
    schema: Json | None = None
    native: Json | None = None
    strict: bool | None = None
    description: str | None = None
    form: str = ""
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Reasoning:
    """How much to think. ``effort`` is none, minimal, low, medium, high, xhigh or max; ``budget`` counts tokens
    (-1: the model decides); ``summary`` is auto, concise, detailed or omitted; ``include`` says whether to show it."""

    effort: str = ""
    budget: int | None = None
    enabled: bool | None = None
    mode: str = ""
    summary: str = ""
    include: bool | None = None
    form: str = ""
    extra: Json = field(default_factory=dict)


@dataclass(slots=True)
class Chat:
    """One request. ``system`` is what stands apart from the messages; system messages among them stay there."""

    dialect: str
    model: str
    messages: list[Message]
    system: list[Part] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    max_tokens_form: str = ""
    stop: list[str] = field(default_factory=list)
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    verbosity: str = ""
    modalities: list[str] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)
    user: str = ""
    service_tier: str = ""
    store: bool | None = None
    cache: Cache | None = None
    cache_key: str = ""
    previous_id: str = ""
    stream: bool | None = None
    stream_usage: bool | None = None
    extra: Json = field(default_factory=dict)


def function_tools(tools: list[Tool], namespace: str = "") -> Iterator[tuple[str, FunctionTool | CustomTool]]:
    """Every callable tool with the namespace that it stands in."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            yield from function_tools(tool.tools, tool.name)
        elif isinstance(tool, FunctionTool | CustomTool):
            yield namespace, tool


def joined(parts: list[Part], separator: str = "") -> str:
    """The text of ``parts``, those without any left out."""
    return separator.join(part.text for part in parts if isinstance(part, Text | Refusal))
