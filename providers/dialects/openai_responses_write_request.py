"""An OpenAI Responses request, written from the vocabulary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from providers.chat import (
    Audio,
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
from providers.dialects.efforts import effort_of
from providers.dialects.hosted import mcp_of
from providers.dialects.loss import Loss
from providers.dialects.openai_chat_write_request import NEW_LIMIT
from providers.dialects.openai_parts import write_cache, write_source
from providers.dialects.openai_responses_read_request import DIALECT, LOGPROBS, text_type
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, names_for
from providers.fields import present
from providers.schemas import EMPTY, strict_ready

NAMING = Naming(longest=128)
LEAST_TOKENS = 16


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` and the names of what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    writer = _Items(loss, names_for(chat, DIALECT, NAMING))
    for message in turns.prepared_for(chat, loss):
        writer.add(message)
    loss.refuse_silence(writer.found)
    doc: Json = {"model": chat.model, "input": writer.found}
    if chat.system:
        doc["instructions"] = "\n\n".join(part.text for part in chat.system if isinstance(part, Text))
        for part in chat.system:
            loss.drop_cache(getattr(part, "cache", None))
    doc |= settings(chat, loss, writer.names)
    include = list(chat.extra.get("include", [])) if not loss.foreign else []
    if loss.foreign and (chat.reasoning or NEW_LIMIT.search(chat.model)):
        include.append("reasoning.encrypted_content")  # nothing is stored there, so the turn must carry it
    doc |= present(include=include + ([LOGPROBS] if chat.logprobs else []), stream=chat.stream, user=chat.user)
    extra = {name: value for name, value in chat.extra.items() if name not in ("include", "text")}
    return doc | _rest(chat, loss) | loss.own("", extra), loss.dropped


def settings(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    """The parameters, which a reply echoes."""
    limit = chat.max_tokens
    if limit is not None and limit < LEAST_TOKENS and loss.foreign:
        limit = LEAST_TOKENS
        loss.drop("max_tokens")
    doc = present(
        max_output_tokens=limit,
        top_logprobs=chat.top_logprobs,
        temperature=chat.sampling.temperature,
        top_p=chat.sampling.top_p,
        parallel_tool_calls=chat.parallel_tool_calls,
        metadata=chat.metadata,
        service_tier=request_tier(chat, loss),
        prompt_cache_key=chat.cache_key,
    )
    if tools := [wire for tool in chat.tools for wire in _tool(tool, loss, names)]:
        doc["tools"] = tools
    if chat.tool_choice is not None:
        doc["tool_choice"] = _choice(chat, loss, names)
    text = _format(chat, loss) | present(verbosity=chat.verbosity)
    text |= chat.extra.get("text", {}) if not loss.foreign else {}
    return doc | present(text=text) | _reasoning(chat, loss)


def _reasoning(chat: Chat, loss: Loss) -> Json:
    given = chat.reasoning
    if given is None:
        return {}
    extra = loss.own("reasoning", given.extra)
    summary = given.summary
    if loss.foreign and not summary and given.include is not False and effort_of(given) != "none":
        summary = "auto"  # the other dialects show reasoning unless told not to
    effort = effort_of(given) if loss.foreign else given.effort
    body = present(effort=effort, summary=summary) | extra
    return {"reasoning": body} if body or not loss.foreign else {}


def _format(chat: Chat, loss: Loss) -> Json:
    form = chat.response_format
    if form is None:
        return {}
    wire: Json = {"type": form.kind} | loss.own("response_format", form.extra)
    if form.kind == "json_schema":
        strict = form.strict
        if strict is None and loss.foreign:
            strict = strict_ready(form.schema)
        name = form.name or ("response" if loss.foreign else "")
        wire |= present(name=name, description=form.description, strict=strict)
        if form.schema is not None or loss.foreign:
            wire["schema"] = form.schema or EMPTY
    return {"format": wire}


def _rest(chat: Chat, loss: Loss) -> Json:
    given = chat.sampling
    penalties = present(frequency_penalty=given.frequency_penalty, presence_penalty=given.presence_penalty)
    if not loss.foreign:
        more = present(top_k=given.top_k, min_p=given.min_p, seed=given.seed)
        return penalties | more | present(store=chat.store, previous_response_id=chat.previous_id)
    loss.unless(
        [("top_k", given.top_k), ("min_p", given.min_p), ("repetition_penalty", given.repetition_penalty)]
        + [("seed", given.seed)]
        + [(name, value or None) for name, value in penalties.items()]
    )
    loss.refuse_asked(chat, "stop", "logit_bias", "n", "modalities")
    loss.drop_cache(chat.cache)
    return {"store": False}


# ---------------------------------------------------------------- items


class _Items:
    def __init__(self, loss: Loss, names: ToolNames) -> None:
        self.loss = loss
        self.names = names
        self.found: list[Json] = []

    def add(self, message: Message) -> None:
        results, others = turns.results_apart(message)
        for result in results:
            self._result(result)
        extra = self.loss.own("messages", message.extra)
        role = "user" if message.role == "tool" else message.role
        if role == "assistant":
            self._turn(others, extra)
            return
        items = [part for part in others if isinstance(part, Opaque) and _is_item(part)]
        self.found += [part.raw for part in items]
        content = self.content([part for part in others if part not in items], role)
        if content or not (results or items or self.loss.foreign):
            self.found.append({"type": "message", "role": role, "content": content} | extra)

    def _turn(self, parts: list[Part], extra: Json) -> None:
        """The items of one assistant's turn; its texts together are one message."""
        held: list[Part] = []
        wrote = False
        for part in parts:
            if isinstance(part, Thinking | ToolCall) or (isinstance(part, Opaque) and _is_item(part)):
                wrote = self._message(held, extra) or wrote
                held = []
                self._item(part)
            else:
                held.append(part)
        wrote = self._message(held, extra) or wrote
        if not wrote and extra and not self.loss.foreign:
            self.found.append({"type": "message", "role": "assistant", "content": []} | extra)

    def _message(self, parts: list[Part], extra: Json) -> bool:
        content: Any = self.content(parts, "assistant")
        if self.loss.foreign:
            # A list here has to be of a stored message, with ids; text alone needs none.
            content = "".join(turns.words(part) for part in parts)
            self.loss.unless(("messages.content", not turns.is_words(part) or None) for part in parts)
        if content:
            self.found.append({"type": "message", "role": "assistant", "content": content} | extra)
        return bool(content)

    def _item(self, part: Thinking | ToolCall | Opaque) -> None:
        if isinstance(part, Opaque):
            self.found.append(part.raw)
        elif isinstance(part, ToolCall):
            self._call(part)
        elif part.signed_by == DIALECT:
            self.found.append(reasoning_item(part, self.loss.foreign))
        else:
            self.loss.drop("messages.thinking")

    def _call(self, call: ToolCall) -> None:
        if call.signature:
            self.loss.drop("messages.thought_signature")
        custom = call.kind == "custom"
        wire = {"type": "custom_tool_call" if custom else "function_call", "call_id": call.id}
        wire["name"] = self.names.wire(call.name, call.namespace)
        wire["input" if custom else "arguments"] = call.arguments
        self.loss.drop_cache(call.cache)
        wire |= present(namespace=call.namespace)
        self.found.append(wire | self.loss.own("messages.tool_calls", call.extra))

    def _result(self, result: ToolResult) -> None:
        kind = "custom_tool_call_output" if result.kind == "custom" else "function_call_output"
        parts = result.parts
        if result.is_error and self.loss.foreign:
            parts = [Text("Error:"), *parts]
        content = self.content(parts, "user")
        plain = len(content) == 1 and content[0].keys() == {"type", "text"}
        output = content[0]["text"] if plain else content or ""
        self.loss.drop_cache(result.cache)
        wire = {"type": kind, "call_id": result.call_id, "output": output}
        self.found.append(wire | self.loss.own("messages.content", result.extra))

    def content(self, parts: list[Part], role: str) -> list[Json]:
        return [wire for part in parts if (wire := self._part(part, role)) is not None]

    def _part(self, part: Part, role: str) -> Json | None:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT:
                return part.raw
            self.loss.drop(f"messages.content.{part.type}")
            return None
        wire = PARTS[type(part)](self, part, role)
        cache = getattr(part, "cache", None)
        if cache is not None and self.loss.foreign and cache.form == "cache_control":
            self.loss.drop_cache(cache)
        elif wire is not None:
            wire |= write_cache(cache)
        return wire

    def _text(self, part: Text, role: str) -> Json | None:
        if not part.text and self.loss.foreign:
            return None
        self.loss.unless([("messages.thought_signature", part.signature)])
        own = [citation.raw for citation in part.citations if citation.dialect == DIALECT]
        extra = self.loss.own("messages.content", part.extra)
        return {"type": text_type(role), "text": part.text} | present(annotations=own) | extra

    def _refusal(self, part: Refusal, role: str) -> Json | None:
        if not part.text and self.loss.foreign:
            return None
        return {"type": "refusal", "refusal": part.text} | self.loss.own("messages.content", part.extra)

    def _image(self, part: Image, role: str) -> Json:
        wire = {"type": "input_image"} | present(detail=part.detail)
        if self.loss.foreign:
            wire.setdefault("detail", "auto")
        place = (
            {"file_id": part.source.value} if part.source.kind == "file" else {"image_url": write_source(part.source)}
        )
        self._no_store(part.source)
        return wire | place | self.loss.own("messages.content", part.extra)

    def _file(self, part: File, role: str) -> Json:
        source, wire = part.source, {"type": "input_file"} | present(filename=part.name)
        self._no_store(source)
        if source.kind == "text":
            return {"type": "input_text", "text": source.value}
        if source.kind == "file":
            wire["file_id"] = source.value
        elif source.kind == "url":
            wire["file_url"] = source.value
        else:
            if self.loss.foreign:
                wire.setdefault("filename", "document.pdf")
            wire |= present(file_data=write_source(source) if source.media_type else source.value)
        return wire | self.loss.own("messages.content", part.extra)

    def _audio(self, part: Audio, role: str) -> Json:
        if part.source.kind != "data" or self.loss.foreign:
            self.loss.refuse("messages.content.audio")
        inner = {"data": part.source.value, "format": part.source.media_type.removeprefix("audio/")}
        return {"type": "input_audio", "input_audio": inner} | part.extra

    def _unknown(self, part: Part, role: str) -> None:
        self.loss.refuse(f"messages.content.{type(part).__name__.lower()}")

    def _no_store(self, source: Source) -> None:
        if source.kind == "file" and self.loss.foreign and source.value:
            self.loss.refuse("messages.content.file_id")


PARTS: dict[type, Callable[[_Items, Any, str], Json | None]] = {
    Text: _Items._text,
    Refusal: _Items._refusal,
    Image: _Items._image,
    File: _Items._file,
    Audio: _Items._audio,
    Video: _Items._unknown,
    ToolCall: _Items._unknown,  # outside an assistant's turn
    ToolResult: _Items._unknown,
    Thinking: _Items._unknown,
}
PART_TYPES = ("input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text", "input_video")


def _is_item(part: Opaque) -> bool:
    """Whether it is an item of the input, not a part of a message."""
    return part.dialect == DIALECT and part.type not in PART_TYPES and not part.type.startswith("input_")


def reasoning_item(part: Thinking, foreign: bool = False) -> Json:
    """A reasoning item. Through a client of another dialect its id came back as the signature's ``form``."""
    item: Json = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in part.summaries]}
    if part.texts:
        item["content"] = [{"type": "reasoning_text", "text": text} for text in part.texts]
    if foreign:
        digest = hashlib.sha256(part.signature.encode()).hexdigest()[:32]
        told = str(part.extra.get("id") or part.form)
        item["id"] = told if told.startswith("rs_") else f"rs_{digest}"
        item["summary"] += item.pop("content", [])  # clients of other dialects do not tell one from the other
        for piece in item["summary"]:
            piece["type"] = "summary_text"
    return item | present(encrypted_content=part.signature) | ({} if foreign else part.extra)


# ---------------------------------------------------------------- tools


def _tool(tool: Tool, loss: Loss, names: ToolNames, namespace: str = "") -> list[Json]:
    if isinstance(tool, NamespaceTool):
        inner = [wire for each in tool.tools for wire in _tool(each, loss, names, tool.name)]
        body = {"type": "namespace", "name": tool.name} | present(description=tool.description)
        return [body | {"tools": inner} | loss.own("tools", tool.extra)]
    if isinstance(tool, HostedTool):
        return _hosted(tool, loss)
    wire: Json = {"type": "custom" if isinstance(tool, CustomTool) else "function"}
    wire["name"] = names.wire(tool.name, namespace)
    if tool.description is not None:
        wire["description"] = tool.description
    if isinstance(tool, CustomTool):
        return [wire | present(format=_grammar(tool.format, loss)) | loss.own("tools", tool.extra)]
    return [wire | _function(tool, loss) | loss.own("tools", tool.extra)]


def _function(tool: FunctionTool, loss: Loss) -> Json:
    wire: Json = {}
    if tool.parameters is not None or loss.foreign:
        wire["parameters"] = tool.parameters or (EMPTY if loss.foreign else {})
    loss.drop_cache(tool.cache)
    if loss.foreign:
        wire["strict"] = bool(tool.strict)  # absent means true here, and false elsewhere
    elif tool.strict is not None:
        wire["strict"] = tool.strict
    return wire


def _grammar(form: Json | None, loss: Loss) -> Json | None:
    """Chat completions nest a grammar one level deeper."""
    grammar = form.get("grammar") if form else None
    if loss.foreign and isinstance(grammar, dict):
        return {"type": "grammar"} | grammar
    return form


def _hosted(tool: HostedTool, loss: Loss) -> list[Json]:
    if tool.dialect == DIALECT:
        return [tool.raw]
    if tool.kind == "web_search":
        if tool.blocked_domains:
            loss.refuse("tools.web_search.blocked_domains")
        loss.unless([("tools.web_search.max_uses", tool.max_uses)])
        place = {"type": "approximate"} | tool.location if tool.location else None
        filters = present(allowed_domains=tool.domains)
        return [{"type": "web_search"} | present(user_location=place, filters=filters)]
    if tool.kind == "code_execution":
        return [{"type": "code_interpreter", "container": {"type": "auto"}}]
    if tool.kind == "mcp" and (server := mcp_of(tool)) is not None:
        told = {"type": "mcp", "server_label": server.label, "server_url": server.url, "require_approval": "never"}
        return [told | present(authorization=server.authorization, allowed_tools=server.allowed)]
    if tool.kind != "mcp_toolset":  # that one only points at its server
        loss.refuse(f"tools.{tool.kind}")
    return []


def _choice(chat: Chat, loss: Loss, names: ToolNames) -> Any:
    choice = chat.tool_choice
    assert choice is not None
    extra = dict(loss.own("tool_choice", choice.extra))
    if choice.mode in ("auto", "none", "required"):
        return choice.mode
    tools = [{"type": kind, "name": names.chosen(name)} if name else {"type": kind} for kind, name in choice.names]
    if choice.mode == "allowed":
        return {"type": "allowed_tools", "mode": choice.allowed_mode, "tools": extra.pop("tools", tools)} | extra
    kind = choice.names[0][0]
    if kind not in ("function", "custom"):
        if loss.foreign:
            loss.refuse(f"tool_choice.{kind}")
        return extra
    return tools[0] | extra
