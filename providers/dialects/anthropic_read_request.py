"""An Anthropic messages request, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from providers.chat import (
    BadRequest,
    Chat,
    Citation,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from providers.dialects.openai_parts import read_cache, read_count
from providers.dialects.signatures import untag
from providers.fields import Fields, guarded

DIALECT = "anthropic"
ROLES = ("user", "assistant", "system")
#: What a hosted tool's dated type begins with -> its kind
HOSTED = {"web_search_": "web_search", "web_fetch_": "web_fetch", "code_execution_": "code_execution"}


@guarded
def read_request(doc: Any, path_info: str = "") -> Chat:
    """Raises BadRequest where ``doc`` is no messages request."""
    fields = Fields(doc)
    chat = Chat(DIALECT, fields.need_text("model"), _messages(fields))
    system = fields.any("system")
    chat.system = read_content(system, "system") if system is not None else []
    chat.tools = [_tool(raw, f"tools[{at}]") for at, raw in enumerate(fields.items("tools"))]
    for at, raw in enumerate(fields.items("mcp_servers")):
        chat.tools.append(HostedTool("mcp", DIALECT, {"mcp_server": Fields(raw, f"mcp_servers[{at}]").left}))
    _tool_choice(fields, chat)
    chat.sampling = Sampling(fields.number("temperature"), fields.number("top_p"), fields.number("top_k"))
    chat.max_tokens = read_count(fields, "max_tokens")
    chat.stop = fields.texts("stop_sequences")
    _output(fields, chat)
    metadata = fields.object("metadata") or {}
    user = metadata.get("user_id")
    chat.user = user if isinstance(user, str) else ""
    chat.metadata = {name: value for name, value in metadata.items() if name != "user_id"}
    chat.service_tier = fields.text("service_tier")
    chat.cache = read_cache(fields)
    chat.stream = fields.flag("stream")
    chat.extra = fields.left
    return chat


def _messages(fields: Fields) -> list[Message]:
    if not fields.left.get("messages"):
        raise BadRequest("messages", "is required")
    return [_message(raw, f"messages[{at}]") for at, raw in enumerate(fields.items("messages"))]


def _message(raw: Any, path: str) -> Message:
    fields = Fields(raw, path)
    role = fields.need_text("role")
    if role not in ROLES:
        raise BadRequest(fields.at("role"), f"must be one of {', '.join(ROLES)}")
    return Message(role, read_content(fields.any("content"), fields.at("content")), fields.left)


def read_content(content: Any, path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if content is not None and not isinstance(content, list):
        raise BadRequest(path, "must be a string or a list of blocks")
    return [read_block(raw, f"{path}[{at}]") for at, raw in enumerate(content or [])]


def read_block(raw: Any, path: str) -> Part:
    fields = Fields(raw, path)
    kind = fields.text("type")
    reader = BLOCKS.get(kind)
    found = reader(fields) if reader else None
    return found or Opaque(DIALECT, kind, raw)


def read_citation(raw: Any) -> Citation:
    url = raw.get("url") or ""
    title = raw.get("title") or raw.get("document_title") or ""
    quote = raw.get("cited_text") or ""
    return Citation("url" if url else "document", url, title, quote, dialect=DIALECT, raw=raw)


def _text(fields: Fields) -> Part:
    cache = read_cache(fields)
    citations = [read_citation(Fields(raw, fields.at("citations")).left) for raw in fields.items("citations")]
    return Text(fields.need_text("text"), cache, citations=citations, extra=fields.left)


def _source(fields: Fields) -> Source | None:
    """None of a source that the vocabulary has no kind for."""
    source = fields.inner("source")
    if source is None:
        raise BadRequest(fields.at("source"), "is required")
    kind = source.text("type")
    if kind in ("base64", "text"):
        return Source("data" if kind == "base64" else "text", source.text("data"), source.text("media_type"))
    if kind == "url":
        return Source("url", source.text("url"))
    return Source("file", source.text("file_id")) if kind == "file" else None


def _image(fields: Fields) -> Part | None:
    cache, source = read_cache(fields), _source(fields)
    return Image(source, cache=cache, extra=fields.left) if source else None


def _document(fields: Fields) -> Part | None:
    cache, source = read_cache(fields), _source(fields)
    if source is None:
        return None
    cited = fields.inner("citations")
    citations = cited.flag("enabled") if cited else None
    return File(source, fields.text("title"), cache, citations, fields.left)


def _thinking(fields: Fields) -> Part:
    signature, signed_by, form = untag(fields.text("signature"), DIALECT)
    text = fields.text("thinking")
    return Thinking([text] if text else [], signature=signature, signed_by=signed_by, form=form, extra=fields.left)


def _redacted(fields: Fields) -> Part:
    signature, signed_by, form = untag(fields.text("data"), DIALECT)
    return Thinking(signature=signature, signed_by=signed_by, redacted=True, form=form, extra=fields.left)


def _tool_use(fields: Fields) -> Part:
    cache = read_cache(fields)
    given = fields.object("input")
    arguments = orjson.dumps({} if given is None else given).decode()
    return ToolCall(fields.need_text("id"), fields.need_text("name"), arguments, cache=cache, extra=fields.left)


def _tool_result(fields: Fields) -> Part:
    cache = read_cache(fields)
    call_id, is_error = fields.need_text("tool_use_id"), fields.flag("is_error")
    parts = read_content(fields.any("content"), fields.at("content"))
    path = fields.at("tool_use_id")
    return ToolResult(call_id, parts, is_error=is_error, cache=cache, extra=fields.left, path=path)


BLOCKS: dict[str, Callable[[Fields], Part | None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}


# ---------------------------------------------------------------- tools and output


def _tool(raw: Any, path: str) -> Tool:
    fields = Fields(raw, path)
    kind = fields.text("type")
    if kind not in ("", "custom"):
        return _hosted(kind, raw)
    cache = read_cache(fields)
    return FunctionTool(
        fields.need_text("name"),
        fields.optional_text("description"),
        fields.object("input_schema"),
        fields.flag("strict"),
        cache,
        extra=fields.left,
    )


def _hosted(kind: str, raw: Json) -> HostedTool:
    plain = next((word for prefix, word in HOSTED.items() if kind.startswith(prefix)), kind)
    tool = HostedTool(plain, DIALECT, raw)
    if plain == "web_search":
        place = raw.get("user_location") or {}
        tool.domains, tool.blocked_domains = raw.get("allowed_domains") or [], raw.get("blocked_domains") or []
        tool.location = {name: value for name, value in place.items() if name != "type" and value} or None
        tool.max_uses = raw.get("max_uses")
    return tool


def _tool_choice(fields: Fields, chat: Chat) -> None:
    choice = fields.inner("tool_choice")
    if choice is None:
        return
    kind = choice.text("type")
    modes = {"auto": "auto", "any": "required", "none": "none", "tool": "tool"}
    if kind not in modes:
        raise BadRequest("tool_choice.type", f"must be one of {', '.join(modes)}")
    disabled = choice.flag("disable_parallel_tool_use")
    chat.parallel_tool_calls = None if disabled is None else not disabled
    names = [("function", choice.need_text("name"))] if kind == "tool" else []
    chat.tool_choice = ToolChoice(modes[kind], names, extra=choice.left)


def _output(fields: Fields, chat: Chat) -> None:
    thinking, output = fields.inner("thinking"), fields.inner("output_config") or Fields({})
    effort = output.text("effort")
    if thinking is not None:
        mode, display = thinking.text("type"), thinking.text("display")
        chat.reasoning = Reasoning(
            effort,
            thinking.integer("budget_tokens"),
            mode != "disabled",
            mode,
            include={"omitted": False, "summarized": True}.get(display),
            form="thinking",
            extra=thinking.left,
        )
    elif effort:
        chat.reasoning = Reasoning(effort, form="output_config")
    # ``output_format`` was the name of ``output_config.format`` in its beta.
    form = output.inner("format") or fields.inner("output_format")
    if form is not None:
        kind = form.text("type")
        chat.response_format = ResponseFormat(kind, schema=form.object("schema"), form=form.path, extra=form.left)
    if output.left:
        fields.left["output_config"] = output.left
