"""An Anthropic messages request, written from the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from providers.chat import (
    Audio,
    Cache,
    Chat,
    CustomTool,
    File,
    FunctionTool,
    HostedTool,
    Image,
    Json,
    Message,
    NamespaceTool,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)
from providers.dialects import turns
from providers.dialects.anthropic_read_request import DIALECT
from providers.dialects.efforts import BUDGETS, budget_of, effort_of
from providers.dialects.hosted import mcp_of
from providers.dialects.loss import Loss
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, as_function, as_object, names_for, wrapped
from providers.fields import present
from providers.schemas import EMPTY, for_anthropic_output

NAMING = Naming(longest=128, custom=False, namespaces=False)
LEAST_BUDGET = 1024
#: Models that think by budget only; later ones by effort (``thinking: adaptive``).
BY_BUDGET = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5](\D|$)|-20|@|$)|sonnet-4-5|haiku-4-5)")
#: Models that take a system message amid the others.
MID_SYSTEM = re.compile(r"claude-[a-z]+-(4-([89]|\d\d)(\D|$)|[5-9])")
#: Models that answer any sampling value with a 400.
WITHOUT_SAMPLING = re.compile(r"claude-(opus-4-([789]|\d\d)(\D|$)|[a-z]+-[5-9])")
#: ``max_tokens`` is required; what a model may at most give, where less than the rest.
LIMITS = ((re.compile(r"claude-3-(opus|sonnet|haiku)"), 4096), (re.compile(r"claude-3-5"), 8192))
DEFAULT_LIMIT = 32000
#: The images it takes as bytes, and what they are called by mistake.
IMAGES = {"image/jpg": "image/jpeg"} | {f"image/{kind}": f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp")}
PDF, PDF_HEAD = "application/pdf", "JVBERi0"


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` and the names of what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    writer = _Messages(loss, names_for(chat, DIALECT, NAMING), bool(MID_SYSTEM.search(chat.model)))
    system, messages = turns.system_apart(chat, loss)
    for message in messages:
        writer.add(message)
    loss.refuse_silence(writer.found)
    doc: Json = {"model": chat.model, "messages": writer.found}
    if blocks := writer.blocks(system):
        doc["system"] = blocks
    limit = chat.max_tokens
    if limit is None and loss.foreign:
        limit = default_limit(chat.model)
    doc |= present(max_tokens=limit, stop_sequences=chat.stop, stream=chat.stream)
    doc |= _tools(chat, loss, writer.names) | _sampling(chat, loss) | _output(chat, loss)
    _reasoning(chat, doc, loss)
    doc |= _rest(chat, loss)
    extra = {name: value for name, value in chat.extra.items() if name != "output_config"}
    return doc | loss.own("", extra), loss.dropped


def default_limit(model: str) -> int:
    return next((limit for models, limit in LIMITS if models.search(model)), DEFAULT_LIMIT)


def _sampling(chat: Chat, loss: Loss) -> Json:
    given = chat.sampling
    temperature = given.temperature
    if temperature is not None and temperature > 1 and loss.foreign:
        temperature = 1.0  # OpenAI's and Gemini's scale ends at 2
        loss.drop("temperature")
    loss.drop_asked(
        chat, "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "top_logprobs"
    )
    loss.refuse_asked(chat, "logit_bias", "n", "logprobs", "previous_response_id", "modalities")
    found = present(temperature=temperature, top_p=given.top_p, top_k=given.top_k)
    if loss.foreign and found and WITHOUT_SAMPLING.search(chat.model):
        loss.unless(found.items())
        return {}
    return found


def _output(chat: Chat, loss: Loss) -> Json:
    config = dict(chat.extra.get("output_config") or {}) if not loss.foreign else {}
    form = chat.response_format
    if form is not None and form.kind == "json_schema":
        schema = form.schema if not loss.foreign else for_anthropic_output(form.schema or EMPTY)
        told = {"type": "json_schema"} | present(schema=schema) | loss.own("response_format", form.extra)
        if form.form == "output_format":
            return present(output_config=config) | {"output_format": told}
        config["format"] = told
    elif form is not None and form.kind == "json_object":
        # An object of any shape is no schema here. Where the words ask for JSON the model is still told to; where only
        # this field did, it is not.
        (loss.drop if turns.asks_for_json(chat) else loss.refuse)("response_format")
    elif form is not None and not loss.foreign:
        config["format"] = {"type": form.kind} | form.extra
    return present(output_config=config)


def _reasoning(chat: Chat, doc: Json, loss: Loss) -> None:
    given = chat.reasoning
    if given is None:
        return
    if not loss.foreign:
        if given.form == "thinking":
            display = {False: "omitted", True: "summarized"}.get(given.include)  # type: ignore[arg-type]
            body = present(type=given.mode, budget_tokens=given.budget, display=display)
            doc["thinking"] = body | given.extra
        if given.effort:
            doc.setdefault("output_config", {})["effort"] = given.effort
        return
    loss.own("reasoning", given.extra)
    if doc.get("tool_choice", {}).get("type") in ("any", "tool") and budget_of(given) != 0:
        loss.drop("reasoning")  # forced tools and thinking exclude each other
    elif BY_BUDGET.search(chat.model) and unthought(doc["messages"]) and budget_of(given) != 0:
        loss.drop("reasoning")
    elif BY_BUDGET.search(chat.model):
        _by_budget(given, doc, loss)
    else:
        _by_effort(given, doc, loss)


def _by_budget(given: Reasoning, doc: Json, loss: Loss) -> None:
    if budget := thinking_budget(given, doc["max_tokens"], loss):
        doc["thinking"] = {"type": "enabled", "budget_tokens": budget}
        _unsampled(doc, loss)


def unthought(messages: list[Json]) -> bool:
    """Whether the turn whose calls are answered last began without thinking: a model by budget then must not think."""
    begun: list[Json] = []
    for message in reversed(messages):
        blocks = message["content"]
        if message["role"] == "assistant":
            begun = blocks
        elif not any(block.get("type") == "tool_result" or "toolResult" in block for block in blocks):
            break
    return bool(begun) and not ("thinking" in begun[0].get("type", "") or "reasoningContent" in begun[0])


def thinking_budget(given: Reasoning, limit: int | None, loss: Loss) -> int:
    """Tokens for a model that thinks by budget and inside ``limit``; 0: it is not to, or that is too small."""
    budget = budget_of(given)
    if not budget:
        return 0
    budget = BUDGETS["medium"] if budget < 0 else max(budget, LEAST_BUDGET)
    if limit is not None and budget >= limit:
        budget = limit * 4 // 5
    if budget < LEAST_BUDGET:
        loss.drop("reasoning")
        return 0
    return budget


def _by_effort(given: Reasoning, doc: Json, loss: Loss) -> None:
    effort = effort_of(given)
    if effort == "none":
        doc["thinking"] = {"type": "disabled"}
        return
    doc["thinking"] = {"type": "adaptive"} | ({"display": "summarized"} if given.include or given.summary else {})
    effort = "low" if effort == "minimal" else effort
    if effort:
        doc.setdefault("output_config", {})["effort"] = effort
    _unsampled(doc, loss)


def _unsampled(doc: Json, loss: Loss) -> None:
    """Thinking takes neither temperature nor top_k."""
    for name in ("temperature", "top_k"):
        if doc.pop(name, None) not in (None, 1):
            loss.drop(name)


def _rest(chat: Chat, loss: Loss) -> Json:
    metadata: Json = present(user_id=chat.user)
    if not loss.foreign:
        metadata |= chat.metadata
    else:
        loss.drop_asked(chat, "metadata", "prompt_cache_key", "verbosity")
    return present(metadata=metadata, service_tier=request_tier(chat, loss)) | mark(chat.cache)


def mark(cache: Cache | None) -> Json:
    if cache is None:
        return {}
    ttl = cache.ttl if cache.form == "cache_control" or cache.ttl in ("5m", "1h") else ""
    extra = cache.extra if cache.form == "cache_control" else {}
    return {"cache_control": {"type": "ephemeral"} | present(ttl=ttl) | extra}


# ---------------------------------------------------------------- messages


def legal_id(call_id: str) -> str:
    """Ids may have only these characters; calls and results change alike."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


class _Messages:
    def __init__(self, loss: Loss, names: ToolNames, mid_system: bool) -> None:
        self.loss = loss
        self.names = names
        self.mid_system = mid_system
        self.found: list[Json] = []

    def add(self, message: Message) -> None:
        role = "user" if message.role == "tool" else message.role
        if role in turns.SYSTEM and self.loss.foreign:
            role = "system" if self.mid_system else "user"
            if role == "user":
                self.loss.drop("messages.role")
        results, others = turns.results_apart(message)
        # Results stand first: the API refuses anything between calls and their results.
        blocks = self.blocks([*results, *others] if self.loss.foreign else message.parts)
        extra = self.loss.own("messages", message.extra)
        if self.loss.foreign and self.found and self.found[-1]["role"] == role:
            self.found[-1]["content"] += blocks
        elif blocks or not self.loss.foreign:
            self.found.append({"role": role, "content": blocks} | extra)

    def blocks(self, parts: list[Part]) -> list[Json]:
        return [block for part in parts if (block := self.block(part)) is not None]

    def block(self, part: Part) -> Json | None:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT:
                return part.raw
            self.loss.drop(f"messages.content.{part.type}")
            return None
        block = BLOCKS[type(part)](self, part)
        if block is not None and (cache := getattr(part, "cache", None)) is not None:
            block |= mark(cache)
        return block

    def _text(self, part: Text) -> Json | None:
        if not part.text.strip() and self.loss.foreign:
            return None  # refused as empty
        own = [citation.raw for citation in part.citations if citation.dialect == DIALECT]
        self.loss.unless([("messages.thought_signature", part.signature)])
        block = {"type": "text", "text": part.text} | present(citations=own)
        return block | self.loss.own("messages.content", part.extra)

    def _refusal(self, part: Refusal) -> Json | None:
        return {"type": "text", "text": part.text} if part.text else None

    def _source(self, source: Source) -> Json:
        if source.kind == "data":
            return {"type": "base64", "media_type": source.media_type, "data": source.value}
        if source.kind == "text":
            return {"type": "text", "media_type": source.media_type or "text/plain", "data": source.value}
        if source.kind == "file":
            if self.loss.foreign:
                self.loss.refuse("messages.content.file_id")
            return {"type": "file", "file_id": source.value}
        return {"type": "url", "url": source.value}

    def _image(self, part: Image) -> Json | None:
        self.loss.unless([("messages.content.detail", part.detail if part.detail != "auto" else "")])
        source = part.source
        if source.kind == "data" and self.loss.foreign:
            if source.media_type not in IMAGES:
                self.loss.refuse("messages.content.image.media_type")
                return None
            source = Source("data", source.value, IMAGES[source.media_type])
        return {"type": "image", "source": self._source(source)} | self.loss.own("messages.content", part.extra)

    def _file(self, part: File) -> Json | None:
        source = part.source
        if source.kind == "data" and self.loss.foreign:
            source = _typed(turns.plain(source))
            if source.kind == "data" and source.media_type != PDF:
                self.loss.refuse("messages.content.file.media_type")
                return None
        cited = {} if part.citations is None else {"citations": {"enabled": part.citations}}
        block = {"type": "document", "source": self._source(source)} | present(title=part.name) | cited
        return block | self.loss.own("messages.content", part.extra)

    def _unknown(self, part: Audio | Video) -> Json | None:
        self.loss.refuse(f"messages.content.{type(part).__name__.lower()}")
        return None

    def _thinking(self, part: Thinking) -> Json | None:
        if part.signed_by != DIALECT:
            self.loss.drop("messages.thinking")
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature} | self.loss.own(
                "messages.thinking", part.extra
            )
        text = "\n\n".join(part.texts or part.summaries)
        return {"type": "thinking", "thinking": text, "signature": part.signature} | self.loss.own(
            "messages.thinking", part.extra
        )

    def _tool_use(self, call: ToolCall) -> Json:
        if call.signature:
            self.loss.drop("messages.thought_signature")
        arguments = wrapped(call.arguments) if call.kind == "custom" else call.arguments
        name = self.names.wire(call.name, call.namespace)
        block = {"type": "tool_use", "id": self._id(call.id), "name": name, "input": as_object(arguments)}
        return block | self.loss.own("messages.tool_calls", call.extra)

    def _tool_result(self, result: ToolResult) -> Json:
        block: Json = {"type": "tool_result", "tool_use_id": self._id(result.call_id)}
        if blocks := self.blocks(result.parts):
            block["content"] = blocks
        if result.is_error is not None:
            block["is_error"] = result.is_error
        return block | self.loss.own("messages.content", result.extra)

    def _id(self, call_id: str) -> str:
        return legal_id(call_id) if self.loss.foreign else call_id


BLOCKS: dict[type, Callable[[_Messages, Any], Json | None]] = {
    Text: _Messages._text,
    Image: _Messages._image,
    File: _Messages._file,
    Audio: _Messages._unknown,
    Video: _Messages._unknown,
    Refusal: _Messages._refusal,
    Thinking: _Messages._thinking,
    ToolCall: _Messages._tool_use,
    ToolResult: _Messages._tool_result,
}


def _typed(source: Source) -> Source:
    """A PDF that the client did not call one."""
    return Source("data", source.value, PDF) if source.kind == "data" and source.value.startswith(PDF_HEAD) else source


# ---------------------------------------------------------------- tools


def _tools(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    doc: Json = {}
    choice = chat.tool_choice
    allowed = {name for _, name in choice.names} if choice and choice.mode == "allowed" else None
    for tool in chat.tools:
        _tool(tool, "", allowed, doc, loss, names)
    told: Json = {}
    if choice is not None:
        told = _choice(chat, names)
        told |= loss.own("tool_choice", choice.extra)
    if chat.parallel_tool_calls is False or (chat.parallel_tool_calls and not loss.foreign):
        told = (told or {"type": "auto"}) | {"disable_parallel_tool_use": not chat.parallel_tool_calls}
    if told.get("type") == "none" and loss.foreign:
        told = {"type": "none"}
    if told and (doc.get("tools") or not loss.foreign):
        doc["tool_choice"] = told
    return doc


def _choice(chat: Chat, names: ToolNames) -> Json:
    choice = chat.tool_choice
    assert choice is not None
    words = {"auto": "auto", "required": "any", "none": "none"}
    if choice.mode == "tool":
        return {"type": "tool", "name": names.chosen(choice.names[0][1])}
    return {"type": words[choice.allowed_mode if choice.mode == "allowed" else choice.mode]}


def _tool(tool: Tool, space: str, allowed: set[str] | None, doc: Json, loss: Loss, names: ToolNames) -> None:
    if isinstance(tool, NamespaceTool):
        for inner in tool.tools:
            _tool(inner, tool.name, allowed, doc, loss, names)
        return
    if isinstance(tool, HostedTool):
        _hosted(tool, doc, loss)
        return
    if allowed is not None and tool.name not in allowed:
        return  # there is no list of allowed tools here, so the others are not offered
    if isinstance(tool, CustomTool):
        loss.own("tools", tool.extra)
        doc.setdefault("tools", []).append(_function(as_function(tool), names.wire(tool.name, space), loss))
    else:
        doc.setdefault("tools", []).append(_function(tool, names.wire(tool.name, space), loss))


def _function(tool: FunctionTool, name: str, loss: Loss) -> Json:
    wire: Json = {"name": name}
    if tool.description is not None:
        wire["description"] = tool.description
    schema = tool.parameters
    if schema is None or ("type" not in schema and loss.foreign):
        schema = EMPTY | (schema or {}) if loss.foreign else schema
    if schema is not None:
        wire["input_schema"] = schema
    if tool.strict is not None and (not loss.foreign or tool.strict):
        wire["strict"] = tool.strict
    return wire | loss.own("tools", tool.extra) | mark(tool.cache)


def _hosted(tool: HostedTool, doc: Json, loss: Loss) -> None:
    if tool.dialect == DIALECT:
        if "mcp_server" in tool.raw:
            doc.setdefault("mcp_servers", []).append(tool.raw["mcp_server"])
        else:
            doc.setdefault("tools", []).append(tool.raw)
    elif tool.kind == "mcp" and (server := mcp_of(tool)) is not None:
        body = {"type": "url", "name": server.label, "url": server.url}
        doc.setdefault("mcp_servers", []).append(body | present(authorization_token=server.authorization))
        told: Json = {"type": "mcp_toolset", "mcp_server_name": server.label}
        if server.allowed:
            told["default_config"] = {"enabled": False}
            told["configs"] = {name: {"enabled": True} for name in server.allowed}
        doc.setdefault("tools", []).append(told)
    elif tool.kind in NATIVE:
        doc.setdefault("tools", []).append(NATIVE[tool.kind](tool))
    else:
        loss.refuse(f"tools.{tool.kind}")


def _web_search(tool: HostedTool) -> Json:
    place = {"type": "approximate"} | tool.location if tool.location else None
    told = present(allowed_domains=tool.domains, blocked_domains=tool.blocked_domains, user_location=place)
    return {"type": "web_search_20250305", "name": "web_search"} | told | present(max_uses=tool.max_uses)


NATIVE: dict[str, Callable[[HostedTool], Json]] = {
    "web_search": _web_search,
    "web_fetch": lambda tool: {"type": "web_fetch_20250910", "name": "web_fetch"},
    "code_execution": lambda tool: {"type": "code_execution_20250825", "name": "code_execution"},
}
