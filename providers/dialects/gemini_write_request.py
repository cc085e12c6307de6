"""A Gemini generateContent request, written from the vocabulary."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Callable
from typing import Any

import orjson

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
from providers.dialects.efforts import budget_of, effort_of
from providers.dialects.gemini_read_request import DIALECT
from providers.dialects.loss import Loss
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, as_function, as_object, names_for, wrapped
from providers.fields import present
from providers.schemas import for_gemini_json, from_gemini

NAMING = Naming(allowed=r"[A-Za-z0-9_.:-]", longest=64, custom=False, namespaces=False)
BY_LEVEL = re.compile(r"gemini-([3-9]|\d\d)")
#: Gemini 3 refuses calls without a signature; this word is documented for calls that it did not make itself.
UNSIGNED = "skip_thought_signature_validator"
ROLES = {"assistant": "model", "user": "user", "tool": "user", "system": "system"}
STOPS = 5


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` (its model goes into the URL) and what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    writer = _Contents(loss, names_for(chat, DIALECT, NAMING), bool(BY_LEVEL.search(chat.model)))
    system, messages = turns.system_apart(chat, loss)
    for message in messages:
        writer.add(message)
    loss.refuse_silence(writer.found)
    doc: Json = {"contents": writer.found}
    if parts := writer.parts(system):
        doc["systemInstruction"] = {"parts": parts}
    doc |= _tools(chat, loss, writer.names) | present(generationConfig=_config(chat, loss))
    extra = {k: v for k, v in chat.extra.items() if k not in ("generationConfig", "toolConfig")}
    _unsayable(chat, loss)
    doc |= present(serviceTier=request_tier(chat, loss))
    return doc | loss.own("", extra), loss.dropped


def _unsayable(chat: Chat, loss: Loss) -> None:
    given = chat.sampling
    loss.unless([("min_p", given.min_p), ("repetition_penalty", given.repetition_penalty)])
    loss.refuse_asked(chat, "logit_bias", "previous_response_id")
    if len(chat.stop) > STOPS and loss.foreign:
        loss.refuse("stop")
    if not loss.foreign:
        return
    loss.drop_asked(chat, "metadata", "user", "prompt_cache_key", "verbosity")
    loss.drop_cache(chat.cache)
    if chat.parallel_tool_calls is False and chat.tools:
        loss.drop("parallel_tool_calls")


def _config(chat: Chat, loss: Loss) -> Json:
    given = chat.sampling
    config = present(
        temperature=given.temperature,
        topP=given.top_p,
        topK=given.top_k,
        frequencyPenalty=given.frequency_penalty,
        presencePenalty=given.presence_penalty,
        seed=given.seed,
        maxOutputTokens=chat.max_tokens,
        stopSequences=chat.stop,
        candidateCount=chat.n if not loss.foreign or (chat.n or 1) > 1 else None,
        responseLogprobs=chat.logprobs if not loss.foreign else chat.logprobs or None,
        logprobs=chat.top_logprobs if not loss.foreign else chat.top_logprobs or None,
        responseModalities=[word.upper() for word in chat.modalities] if loss.foreign else chat.modalities,
    )
    config |= _format(chat, loss)
    if chat.reasoning is not None and (thinking := _thinking(chat, loss)):
        config["thinkingConfig"] = thinking
    return config if loss.foreign else config | chat.extra.get("generationConfig", {})


def _format(chat: Chat, loss: Loss) -> Json:
    form = chat.response_format
    if form is None:
        return {}
    if not loss.foreign:
        mime = present(responseMimeType=form.extra.get("mime"))
        if form.schema is None:
            return mime
        own = form.native if form.native is not None and from_gemini(form.native) == form.schema else form.schema
        return mime | {form.form: own}
    if form.kind == "text":
        return {}
    schema = present(responseJsonSchema=for_gemini_json(form.schema) if form.schema else None)
    return {"responseMimeType": "application/json"} | schema


def _thinking(chat: Chat, loss: Loss) -> Json:
    given = chat.reasoning
    assert given is not None
    if not loss.foreign:
        told = present(thinkingBudget=given.budget, thinkingLevel=given.effort, includeThoughts=given.include)
        return told | given.extra
    loss.own("reasoning", given.extra)
    shown = {} if given.include is False else {"includeThoughts": True}
    budget, effort = budget_of(given), effort_of(given)
    if BY_LEVEL.search(chat.model):
        level = {"none": "minimal", "xhigh": "high", "max": "high"}.get(effort, effort)
        if effort == "none" and "pro" in chat.model:
            level = "low"
            loss.drop("reasoning")
        return present(thinkingLevel=level) | ({} if effort == "none" else shown)
    if budget == 0 and "pro" in chat.model:
        loss.drop("reasoning")  # it cannot be told not to think
        return {"thinkingBudget": 128}
    return present(thinkingBudget=budget) | (shown if budget != 0 else {})


# ---------------------------------------------------------------- contents


class _Contents:
    def __init__(self, loss: Loss, names: ToolNames, signs: bool) -> None:
        self.loss = loss
        self.names = names
        self.signs = signs
        self.found: list[Json] = []
        self.pending = ""  # the signature of the call to come

    def add(self, message: Message) -> None:
        role = ROLES.get(message.role, message.role)
        if message.role in turns.SYSTEM and self.loss.foreign:
            role = "user"
            self.loss.drop("messages.role")
        results, others = turns.results_apart(message)
        parts = self.parts([*results, *others] if self.loss.foreign else message.parts)
        extra = self.loss.own("messages", message.extra)
        if self.loss.foreign and self.found and self.found[-1]["role"] == role:
            self.found[-1]["parts"] += parts
        elif parts or not self.loss.foreign:
            self.found.append({"role": role, "parts": parts} | extra)
        if self.signs and self.loss.foreign and role == "model" and parts:
            _sign_first(parts)

    def parts(self, parts: list[Part]) -> list[Json]:
        return [wire for part in parts for wire in self.part(part)]

    def part(self, part: Part) -> list[Json]:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT:
                return [part.raw]
            self.loss.drop(f"messages.content.{part.type}")
            return []
        if self.loss.foreign:
            self.loss.drop_cache(getattr(part, "cache", None))
        return PARTS[type(part)](self, part)

    def _text(self, part: Text) -> list[Json]:
        if not part.text and self.loss.foreign:
            return []
        wire = {"text": part.text} | present(thoughtSignature=part.signature)
        self.loss.unless([("messages.citations", part.citations)])
        return [wire | self.loss.own("messages.content", part.extra)]

    def _refusal(self, part: Refusal) -> list[Json]:
        return [{"text": part.text}] if part.text else []

    def _thinking(self, part: Thinking) -> list[Json]:
        if part.signed_by != DIALECT:
            self.loss.drop("messages.thinking")
            return []
        if part.form == "tool":
            self.pending = part.signature
            return []
        if part.form == "text" or (part.redacted and self.loss.foreign):
            return [{"text": "", "thoughtSignature": part.signature}]
        text = "\n\n".join([*part.texts, *part.summaries])
        if not text and self.loss.foreign and not part.signature:
            return []
        return [
            {"text": text, "thought": True}
            | present(thoughtSignature=part.signature)
            | self.loss.own("contents.parts", part.extra)
        ]

    def _function_call(self, call: ToolCall) -> list[Json]:
        arguments = wrapped(call.arguments) if call.kind == "custom" else call.arguments
        name = self.names.wire(call.name, call.namespace)
        extra = dict(self.loss.own("messages.tool_calls", call.extra))
        inner = present(id=call.id) | {"name": name, "args": as_object(arguments)} | extra.pop("functionCall", {})
        signature = call.signature if call.signed_by == DIALECT else self.pending
        self.pending = ""
        return [{"functionCall": inner} | present(thoughtSignature=signature) | extra]

    def _function_response(self, result: ToolResult) -> list[Json]:
        texts = [turns.words(part) for part in result.parts]
        media = [part for part in result.parts if not turns.is_words(part)]
        extra = dict(self.loss.own("messages.content", result.extra))
        name = self.names.wire(result.name, result.namespace)
        if not name and self.loss.foreign:
            self.loss.refuse("messages.tool_call_id")  # an orphan: its function's name is not known
        inner = present(id=result.call_id, name=name) | {"response": _response(result, "".join(texts))}
        inner |= extra.pop("functionResponse", {})
        shown = self.parts(media)
        beside = [] if not self.loss.foreign or self.signs else shown
        if shown and not beside:
            inner["parts"] = shown
        return [{"functionResponse": inner} | extra, *beside]

    def _media(self, part: Image | Audio | Video | File) -> list[Json]:
        source = part.source
        name = part.name if isinstance(part, File) else ""
        if source.kind == "file" and self.loss.foreign:
            self.loss.refuse("messages.content.file_id")
        if source.kind == "text":
            encoded = base64.b64encode(source.value.encode()).decode()
            source = Source("data", encoded, source.media_type or "text/plain")
        if source.kind == "data":
            wire = {"inlineData": present(mimeType=source.media_type, displayName=name) | {"data": source.value}}
        else:
            mime = source.media_type or (_guessed(part) if self.loss.foreign else "")
            wire = {"fileData": present(mimeType=mime, displayName=name) | {"fileUri": source.value}}
        return [wire | self.loss.own("messages.content", part.extra)]


PARTS: dict[type, Callable[[_Contents, Any], list[Json]]] = {
    Text: _Contents._text,
    Refusal: _Contents._refusal,
    Thinking: _Contents._thinking,
    ToolCall: _Contents._function_call,
    ToolResult: _Contents._function_response,
    Image: _Contents._media,
    Audio: _Contents._media,
    Video: _Contents._media,
    File: _Contents._media,
}


def _sign_first(parts: list[Json]) -> None:
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = UNSIGNED


def _guessed(part: Image | Audio | Video | File) -> str:
    """A media type from the address; the API wants one."""
    usual = {Image: "image/jpeg", Audio: "audio/wav", Video: "video/mp4", File: "application/pdf"}
    return mimetypes.guess_type(part.source.value.partition("?")[0])[0] or usual[type(part)]


def _response(result: ToolResult, text: str) -> Json:
    name, _, json = result.form.partition(":")
    if result.form in ("", "result", "output", "error"):
        return {result.form or ("error" if result.is_error else "output"): text}
    try:
        value = orjson.loads(text)
    except ValueError:
        return {"output": text}
    if json:
        return {name: value}
    return value if isinstance(value, dict) else {"output": value}


# ---------------------------------------------------------------- tools


def _tools(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    functions: list[Json] = []
    hosted: list[Json] = []
    for tool in chat.tools:
        _tool(tool, "", functions, hosted, loss, names)
    doc = present(tools=([{"functionDeclarations": functions}] if functions else []) + hosted)
    config: Json = dict(chat.extra.get("toolConfig", {})) if not loss.foreign else {}
    choice = chat.tool_choice
    if choice is not None and (functions or not loss.foreign):
        extra = dict(loss.own("tool_choice", choice.extra))
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}.get(choice.mode)
        if choice.mode == "allowed":
            # Only these two modes take a list of names.
            own = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.allowed_mode]
            mode = own if not loss.foreign or own == "ANY" else "VALIDATED"
        told = {"mode": extra.pop("mode", mode)} | present(
            allowedFunctionNames=[names.chosen(name) for _, name in choice.names]
        )
        config["functionCallingConfig"] = told | extra
    return doc | present(toolConfig=config)


def _tool(tool: Tool, space: str, functions: list[Json], hosted: list[Json], loss: Loss, names: ToolNames) -> None:
    if isinstance(tool, NamespaceTool):
        for inner in tool.tools:
            _tool(inner, tool.name, functions, hosted, loss, names)
    elif isinstance(tool, HostedTool):
        hosted += _hosted(tool, loss)
    else:
        wire = names.wire(tool.name, space)
        if isinstance(tool, CustomTool):
            loss.own("tools", tool.extra)
            tool = as_function(tool)
        functions.append(_function(tool, wire, loss))


def _function(tool: FunctionTool, name: str, loss: Loss) -> Json:
    wire: Json = {"name": name}
    if tool.description is not None:
        wire["description"] = tool.description
    if not loss.foreign:
        own = (
            tool.native if tool.native is not None and from_gemini(tool.native) == tool.parameters else tool.parameters
        )
        return wire | ({} if own is None else {tool.form: own}) | tool.extra
    loss.drop_cache(tool.cache)
    loss.unless([("tools.strict", tool.strict)])
    if tool.parameters and tool.parameters.get("properties"):
        wire["parametersJsonSchema"] = for_gemini_json(tool.parameters)
    loss.own("tools", tool.extra)
    return wire


def _hosted(tool: HostedTool, loss: Loss) -> list[Json]:
    if tool.dialect == DIALECT:
        return [tool.raw]
    if tool.kind not in NATIVE:
        loss.refuse(f"tools.{tool.kind}")
        return []
    if tool.domains or tool.blocked_domains:
        loss.refuse("tools.web_search.domains")
    loss.unless([("tools.web_search.location", tool.location), ("tools.web_search.max_uses", tool.max_uses)])
    return [{NATIVE[tool.kind]: {}}]


NATIVE = {"web_search": "googleSearch", "web_fetch": "urlContext", "code_execution": "codeExecution"}
