"""The vocabulary that every dialect reads into and writes from: a request (``providers.events`` has the reply).

It is richer than any dialect, so that what one knows and another does not is kept until a writer says that it is lost.
``extra`` on a chat, message, part or tool holds the members that only ``Chat.dialect`` knows; a writer of another
dialect names them as dropped. Nothing here knows a wire format. ``providers.parts`` has what a message consists of,
``providers.tools`` the tools; both are taken from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from providers.parts import (
    Audio,
    Cache,
    Citation,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
    joined,
)
from providers.tools import (
    CustomTool,
    FunctionTool,
    HostedTool,
    NamespaceTool,
    Tool,
    ToolChoice,
    function_tools,
)


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
    """One request. ``system`` is what stands apart from the messages; system messages among them stay there.

    ``lacks`` is what the chosen upstream does not have, in the words of ``providers.dialects.lacks``.
    """

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
    lacks: frozenset[str] = frozenset()


__all__ = [
    "Audio", "BadRequest", "Cache", "Chat", "Citation", "CustomTool", "File", "FunctionTool", "HostedTool", "Image",
    "Json", "Message", "NamespaceTool", "Opaque", "Part", "Reasoning", "Refusal", "ResponseFormat", "Sampling",
    "Source", "Text", "Thinking", "Tool", "ToolCall", "ToolChoice", "ToolResult", "Unsupported", "Video",
    "function_tools", "joined",
]  # fmt: skip
