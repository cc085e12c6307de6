"""The tools of the vocabulary, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from providers.parts import Cache, Json


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


def function_tools(tools: list[Tool], namespace: str = "") -> Iterator[tuple[str, FunctionTool | CustomTool]]:
    """Every callable tool with the namespace that it stands in."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            yield from function_tools(tool.tools, tool.name)
        elif isinstance(tool, FunctionTool | CustomTool):
            yield namespace, tool
