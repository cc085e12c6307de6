"""A Converse request, written from the vocabulary. What each family of models takes differs; see ``bedrock_families``."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

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
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)
from providers.dialects import turns
from providers.dialects.anthropic_write_request import WITHOUT_SAMPLING
from providers.dialects.bedrock_families import FIELDS, SINCE_4_5, family, fields_of
from providers.dialects.bedrock_media import medium
from providers.dialects.loss import Loss
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, as_function, as_object, names_for, wrapped
from providers.fields import present
from providers.schemas import EMPTY, for_anthropic_output

DIALECT = "bedrock"
NAMING = Naming(longest=64, custom=False, namespaces=False)
#: Families whose cache takes marks in messages and in the system prompt; on tools only Claude's does.
CACHING = ("claude", "nova", "unknown")
TELLING_STATUS = ("claude", "nova", "nova-2", "unknown")
#: The text that stands where the API wants one and the client has none to say.
FILLER = "."
#: Members of this API that a client of another may name as they are.
CARRIED = ("guardrailConfig", "performanceConfig")


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` (its model goes into the URL) and what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    kin = family(chat.model)
    writer = _Messages(loss, names_for(chat, DIALECT, NAMING), kin)
    system, messages = turns.system_apart(chat, loss)
    for message in messages:
        writer.add(message)
    loss.refuse_silence(writer.turns)
    writer.mark_last(chat.cache)
    doc: Json = {"messages": writer.messages()}
    doc |= present(
        system=writer.system(system),
        inferenceConfig=_inference(chat, loss),
        toolConfig=_tools(chat, loss, writer.names, kin),
        outputConfig=_output(chat, loss),
        serviceTier=present(type=request_tier(chat, loss)),
        requestMetadata=_metadata(chat, loss),
    )
    doc |= present(**{FIELDS: fields_of(chat, doc, loss, kin)})
    if kin == "claude" and chat.stop:
        doc["additionalModelResponseFieldPaths"] = ["/stop_sequence", "/delta/stop_sequence"]
    _unsayable(chat, loss)
    own = {name: chat.extra[name] for name in CARRIED if isinstance(chat.extra.get(name), dict)}
    rest = {name: value for name, value in chat.extra.items() if name not in (*CARRIED, FIELDS)}
    return doc | own | loss.own("", rest), loss.dropped


def _unsayable(chat: Chat, loss: Loss) -> None:
    loss.drop_asked(
        chat, "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "top_logprobs"
    )
    loss.drop_asked(chat, "prompt_cache_key", "verbosity", "user")
    loss.refuse_asked(chat, "logit_bias", "n", "logprobs", "previous_response_id", "modalities")


def _inference(chat: Chat, loss: Loss) -> Json:
    temperature = chat.sampling.temperature
    if temperature is not None and temperature > 1:
        temperature = 1.0  # OpenAI's and Gemini's scale ends at 2
        loss.drop("temperature")
    stops = [stop for stop in chat.stop if stop]
    if WITHOUT_SAMPLING.search(chat.model):
        loss.unless([("temperature", temperature), ("top_p", chat.sampling.top_p)])
        return present(maxTokens=chat.max_tokens, stopSequences=stops)
    return present(maxTokens=chat.max_tokens, temperature=temperature, topP=chat.sampling.top_p, stopSequences=stops)


def _output(chat: Chat, loss: Loss) -> Json:
    form = chat.response_format
    if form is None or form.kind == "text":
        return {}
    if form.kind != "json_schema":
        # There is no word for JSON of any shape; where the words ask for it, the model is still told to.
        (loss.drop if turns.asks_for_json(chat) else loss.refuse)("response_format")
        return {}
    loss.own("response_format", form.extra)
    schema = orjson.dumps(for_anthropic_output(form.schema or EMPTY)).decode()
    told = present(name=form.name, description=form.description) | {"schema": schema}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}


def _metadata(chat: Chat, loss: Loss) -> Json:
    legal = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}", re.ASCII)
    found: Json = {}
    for name, value in chat.metadata.items():
        if isinstance(value, str) and name and legal.fullmatch(name) and legal.fullmatch(value) and len(found) < 16:
            found[name] = value
        else:
            loss.drop("metadata")
    return found


# ---------------------------------------------------------------- messages


class _Turn(NamedTuple):
    role: str
    results: list[Json]
    others: list[Json]


class _Messages:
    def __init__(self, loss: Loss, names: ToolNames, kin: str) -> None:
        self.loss = loss
        self.names = names
        self.kin = kin
        self.turns: list[_Turn] = []
        self.titles: set[str] = set()

    def add(self, message: Message) -> None:
        role = "assistant" if message.role == "assistant" else "user"
        if message.role in turns.SYSTEM:
            self.loss.drop("messages.role")
        self.loss.own("messages", message.extra)
        results, others = turns.results_apart(message)
        turn = _Turn(role, self.blocks(list(results), role), self.blocks(others, role))
        if not turn.results and not turn.others:
            return
        if self.turns and self.turns[-1].role == role:
            self.turns[-1].results.extend(turn.results)
            self.turns[-1].others.extend(turn.others)
        else:
            self.turns.append(turn)

    def messages(self) -> list[Json]:
        """The turns, of which a user's is the first; in each, results stand first, as they must right after the calls."""
        found = []
        for role, results, others in self.turns:
            spoken = any(block.get("text", "").strip() for block in others)
            if not spoken and any("document" in block for block in others):
                others.append({"text": FILLER})
            found.append({"role": role, "content": [*results, *others]})
        if not found or found[0]["role"] != "user":
            found.insert(0, {"role": "user", "content": [{"text": FILLER}]})
        return found

    def system(self, parts: list[Part]) -> list[Json]:
        found = self.blocks(parts, "system")
        wrong = [next(iter(block)) for block in found if not block.keys() & {"text", "cachePoint"}]
        if wrong:
            self.loss.refuse(f"system.{wrong[0]}")
        return [block for block in found if next(iter(block)) not in wrong]

    def mark_last(self, cache: Cache | None) -> None:
        if cache is not None and self.turns:
            turn = self.turns[-1]
            blocks = turn.others or turn.results
            blocks.extend(self.mark(cache, blocks[-1]))

    def mark(self, cache: Cache, after: Json) -> list[Json]:
        """The cache point for ``cache``; Claude refuses one right behind a document of plain text."""
        if "cachePoint" in after:
            return []
        if self.kin not in CACHING:
            self.loss.drop_cache(cache)
            return []
        plain = self.kin != "nova" and "document" in after and after["document"]["format"] != "pdf"
        return [*([{"text": "\n"}] if plain else []), _point(cache if self.kin != "nova" else Cache())]

    def blocks(self, parts: list[Part], role: str) -> list[Json]:
        found: list[Json] = []
        for part in parts:
            block = self.block(part, role)
            if block is not None:
                found.append(block)
            if (cache := _cache_of(part)) is not None and found:
                found += self.mark(cache, found[-1])
        return found

    def block(self, part: Part, role: str) -> Json | None:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT:
                return part.raw
            self.loss.drop(f"messages.content.{part.type}")
            return None
        if role == "assistant" and isinstance(part, Image | Audio | Video | File):
            self.loss.refuse(f"messages.content.{type(part).__name__.lower()}")
            return None
        return BLOCKS[type(part)](self, part)

    def _text(self, part: Text) -> Json | None:
        self.loss.unless([("messages.thought_signature", part.signature), ("messages.citations", part.citations)])
        self.loss.own("messages.content", part.extra)
        return {"text": part.text} if part.text.strip() else None  # refused as empty

    def _refusal(self, part: Refusal) -> Json | None:
        return {"text": part.text} if part.text.strip() else None

    def _thinking(self, part: Thinking) -> Json | None:
        makers = {"claude": ("anthropic", DIALECT)}.get(self.kin, (DIALECT,))
        if not part.signature or part.signed_by not in makers:
            self.loss.drop("messages.thinking")
            return None
        if part.redacted:
            own = part.signed_by == DIALECT
            data = part.signature if own else base64.b64encode(part.signature.encode()).decode()
            return {"reasoningContent": {"redactedContent": data}}
        text = "\n\n".join(part.texts or part.summaries)
        return {"reasoningContent": {"reasoningText": {"text": text, "signature": part.signature}}}

    def _medium(self, part: Image | Audio | Video | File) -> Json | None:
        self.loss.own("messages.content", part.extra)
        if isinstance(part, Image) and part.detail not in ("", "auto"):
            self.loss.drop("messages.content.detail")
        wrong, block = medium(part, self.titles)
        if wrong:
            self.loss.refuse(f"messages.content.{wrong}")
        return block

    def _tool_use(self, call: ToolCall) -> Json:
        self.loss.unless([("messages.thought_signature", call.signature)])
        self.loss.own("messages.tool_calls", call.extra)
        arguments = wrapped(call.arguments) if call.kind == "custom" else call.arguments
        name = self.names.wire(call.name, call.namespace)
        return {"toolUse": {"toolUseId": legal_id(call.id, self.kin), "name": name, "input": as_object(arguments)}}

    def _tool_result(self, result: ToolResult) -> Json:
        self.loss.own("messages.content", result.extra)
        wire: Json = {"toolUseId": legal_id(result.call_id, self.kin), "content": self._result_content(result)}
        if result.is_error is not None and self.kin in TELLING_STATUS:
            wire["status"] = "error" if result.is_error else "success"
        elif result.is_error:
            self.loss.drop("messages.content.is_error")
        return {"toolResult": wire}

    def _result_content(self, result: ToolResult) -> list[Json]:
        texts = [part for part in result.parts if turns.is_words(part)]
        free = _object(turns.words(texts[0])) if result.form.endswith("json") and len(texts) == 1 else None
        found: list[Json] = [{"json": free}] if free is not None else []
        for part in result.parts:
            if turns.is_words(part):
                text = turns.words(part)
                found += [{"text": text}] if text.strip() and free is None else []
            elif isinstance(part, Audio):
                self.loss.refuse("messages.content.audio")
            elif (block := self.block(part, "user")) is not None:
                found.append(block)
        return found or [{"json": {}}]  # an empty list or text is refused


BLOCKS: dict[type, Callable[[_Messages, Any], Json | None]] = {
    Text: _Messages._text,
    Refusal: _Messages._refusal,
    Thinking: _Messages._thinking,
    Image: _Messages._medium,
    Audio: _Messages._medium,
    Video: _Messages._medium,
    File: _Messages._medium,
    ToolCall: _Messages._tool_use,
    ToolResult: _Messages._tool_result,
}


def legal_id(call_id: str, kin: str) -> str:
    """At most 64 of the characters that are allowed, fewer by Claude; calls and results change alike."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]" if kin == "claude" else r"[^A-Za-z0-9_.:-]", "_", call_id)
    if len(cleaned) <= 64:
        return cleaned or "_"
    return f"{cleaned[:47]}_{hashlib.sha256(call_id.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _object(text: str) -> Json | None:
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    if found is None:
        return {}
    return found if isinstance(found, dict) else None


def _cache_of(part: Part) -> Cache | None:
    """The mark of ``part`` or, since a result takes none inside, of one of its parts."""
    own: Cache | None = getattr(part, "cache", None)
    inner = (getattr(each, "cache", None) for each in part.parts) if isinstance(part, ToolResult) else iter(())
    return own or next((cache for cache in inner if cache is not None), None)


# ---------------------------------------------------------------- tools


def _tools(chat: Chat, loss: Loss, names: ToolNames, kin: str) -> Json:
    """``toolConfig``. Without it the API refuses a history of calls, and it knows no choice of none."""
    choice = chat.tool_choice
    past = _called(chat, names)
    mode = "" if choice is None else choice.allowed_mode if choice.mode == "allowed" else choice.mode
    if mode == "none":
        if not past:
            return {}
        loss.refuse("tool_choice")
    writer = _Tools(loss, names, kin, bool(SINCE_4_5.search(chat.model)))
    writer.allowed = {name for _, name in choice.names} if choice and choice.mode == "allowed" else None
    for tool in chat.tools:
        writer.add(tool)
    if not writer.found:
        return present(tools=[_spec(name, "No longer available.", EMPTY) for name in past])
    if choice is None:
        return {"tools": writer.found}
    loss.own("tool_choice", choice.extra)
    told: Json = {"any": {}} if mode == "required" else {}
    if mode == "tool":
        told = {"tool": {"name": names.chosen(choice.names[0][1])}}
    return {"tools": writer.found} | present(toolChoice=told)  # auto is the default, and some models refuse the word


def _called(chat: Chat, names: ToolNames) -> list[str]:
    parts = [part for message in chat.messages for part in message.parts]
    found = [names.wire(part.name, part.namespace) for part in parts if isinstance(part, ToolCall | ToolResult)]
    return list(dict.fromkeys(filter(None, found))) or ["tool"] * bool(found)


class _Tools:
    """``strict``: whether the model holds itself to a schema."""

    def __init__(self, loss: Loss, names: ToolNames, kin: str, strict: bool) -> None:
        self.loss = loss
        self.names = names
        self.kin = kin
        self.strict = strict
        self.allowed: set[str] | None = None
        self.found: list[Json] = []

    def add(self, tool: Tool, space: str = "") -> None:
        if isinstance(tool, NamespaceTool):
            for inner in tool.tools:
                self.add(inner, tool.name)
        elif isinstance(tool, HostedTool):
            self._hosted(tool)
        elif self.allowed is None or tool.name in self.allowed:
            self.loss.own("tools", tool.extra)
            function = as_function(tool) if isinstance(tool, CustomTool) else tool
            self._function(function, self.names.wire(tool.name, space))

    def _function(self, tool: FunctionTool, name: str) -> None:
        schema = tool.parameters or EMPTY
        wire = _spec(name, tool.description or "", schema if "type" in schema else EMPTY | schema)
        if tool.strict and self.strict:
            wire["toolSpec"]["strict"] = True
        elif tool.strict:
            self.loss.drop("tools.strict")
        self.found.append(wire)
        if tool.cache is not None and self.kin in ("claude", "unknown"):
            self.found.append(_point(tool.cache))
        else:
            self.loss.drop_cache(tool.cache)

    def _hosted(self, tool: HostedTool) -> None:
        name = NATIVE.get(tool.kind) if self.kin == "nova-2" else None
        if name is None:
            self.loss.refuse(f"tools.{tool.kind}")
            return
        if tool.domains or tool.blocked_domains:
            self.loss.refuse("tools.web_search.domains")
        place, uses = ("tools.web_search.location", tool.location), ("tools.web_search.max_uses", tool.max_uses)
        self.loss.unless([place, uses])
        self.found.append({"systemTool": {"name": name}})


def _spec(name: str, description: str, schema: Json) -> Json:
    return {"toolSpec": {"name": name} | present(description=description) | {"inputSchema": {"json": schema}}}


def _point(cache: Cache) -> Json:
    return {"cachePoint": {"type": "default"} | present(ttl=cache.ttl if cache.ttl == "1h" else "")}


#: Tools that Nova 2 runs itself.
NATIVE = {"web_search": "nova_grounding", "code_execution": "nova_code_interpreter"}
