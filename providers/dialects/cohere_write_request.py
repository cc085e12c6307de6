"""A Cohere chat request (API v2), written from the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
    function_tools,
)
from providers.dialects import turns
from providers.dialects.efforts import budget_of
from providers.dialects.loss import Loss
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import Naming, ToolNames, as_function, names_for, object_text, wrapped
from providers.fields import present
from providers.schemas import EMPTY, walked

DIALECT = "cohere"
#: Names are identifiers: no first digit.
NAMING = Naming(allowed=r"(?:[A-Za-z_]|(?<=.)[0-9])", custom=False, namespaces=False)
#: Models that cannot think; the others do unless they are told not to.
THOUGHTLESS = re.compile(r"command-(r|light|nightly|a-(\d|vision|translate))|command$|aya-")
STOPS = 5
#: Member -> (least, most) of what the API takes; others' scales are wider.
RANGES: dict[str, tuple[float, float]] = {
    "p": (0.01, 0.99),
    "k": (0, 500),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
    "seed": (0, 2**64 - 1),
}
#: Limits that its structured output refuses.
REFUSED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "uniqueItems",
)  # fmt: skip
DETAILS = ("auto", "low", "high")


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` and the names of what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    names = names_for(chat, DIALECT, NAMING)
    writer = _Messages(loss, names, not THOUGHTLESS.search(chat.model))
    for message in [Message("system", chat.system), *turns.prepared_for(chat, loss)]:
        writer.add(message)
    loss.refuse_silence(writer.found)
    doc: Json = {"model": chat.model, "messages": writer.found} | present(
        stream=chat.stream, max_tokens=chat.max_tokens, stop_sequences=chat.stop
    )
    if len(chat.stop) > STOPS:
        loss.refuse("stop")
    doc |= _sampling(chat, loss) | _tools(chat, loss, names) | _format(chat, loss) | _thinking(chat, loss)
    _unsayable(chat, loss)
    return doc | loss.own("", chat.extra), loss.dropped


def _sampling(chat: Chat, loss: Loss) -> Json:
    given = chat.sampling
    loss.drop_asked(chat, "min_p", "repetition_penalty", "top_logprobs")
    top_k = None if given.top_k is None else int(given.top_k)
    asked = (
        ("p", "top_p", given.top_p),
        ("k", "top_k", top_k),
        ("frequency_penalty", "frequency_penalty", given.frequency_penalty),
        ("presence_penalty", "presence_penalty", given.presence_penalty),
        ("seed", "seed", given.seed),
    )
    doc = present(temperature=given.temperature, logprobs=chat.logprobs or None)
    for name, field, value in asked:
        if value is None:
            continue
        least, most = RANGES[name]
        doc[name] = min(max(value, least), most)
        if doc[name] != value:
            loss.drop(field)
    return doc


def _format(chat: Chat, loss: Loss) -> Json:
    form = chat.response_format
    if form is None or form.kind == "text":
        return {}
    schema = _schema(form.schema, loss) if form.kind == "json_schema" and form.schema else None
    loss.own("response_format", form.extra)
    return {"response_format": {"type": "json_object"} | present(json_schema=schema)}


def _schema(schema: Json, loss: Loss) -> Any:
    def visit(found: Json) -> Json:
        kept = {name: value for name, value in found.items() if name not in REFUSED}
        if len(kept) < len(found):
            loss.drop("response_format.limits")
        return kept

    return walked(schema, visit) if loss.foreign else schema


def _thinking(chat: Chat, loss: Loss) -> Json:
    given = chat.reasoning
    if given is None:
        return {}
    loss.own("reasoning", given.extra)
    budget = budget_of(given)
    if budget is None:
        return {}
    if THOUGHTLESS.search(chat.model):
        if budget:
            loss.drop("reasoning")
        return {}
    if not budget:
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"} | ({"token_budget": budget} if budget > 0 else {})}


def _unsayable(chat: Chat, loss: Loss) -> None:
    loss.refuse_asked(chat, "logit_bias", "n", "previous_response_id", "modalities")
    loss.drop_asked(chat, "metadata", "user", "prompt_cache_key", "verbosity")
    request_tier(chat, loss)
    loss.drop_cache(chat.cache)


# ---------------------------------------------------------------- messages


class _Messages:
    def __init__(self, loss: Loss, names: ToolNames, thinks: bool) -> None:
        self.loss = loss
        self.names = names
        self.thinks = thinks
        self.found: list[Json] = []

    def add(self, message: Message) -> None:
        self.loss.own("messages", message.extra)
        results, others = turns.results_apart(message)
        shown = [part for result in results for part in self._result(result)]
        if message.role == "assistant":
            self._assistant(others)
            return
        role = "system" if message.role in turns.SYSTEM else "user"
        if blocks := self._blocks([*shown, *others]):
            self.found.append({"role": role, "content": _content(blocks)})

    def _result(self, result: ToolResult) -> list[Part]:
        """Adds the tool message; gives the parts that only a user message may have."""
        told = [part for part in result.parts if turns.is_words(part) or isinstance(part, Opaque)]
        if result.is_error:
            told = [Text("Error:"), *told]
        self.loss.own("messages.content", result.extra)
        self.loss.drop_cache(result.cache)
        content = _content(self._blocks(told))
        self.found.append({"role": "tool", "tool_call_id": result.call_id, "content": content})
        return [part for part in result.parts if part not in told]

    def _assistant(self, parts: list[Part]) -> None:
        calls = [part for part in parts if isinstance(part, ToolCall)]
        plans = [part for part in parts if calls and _is_plan(part)]
        blocks = self._blocks([part for part in parts if part not in calls and part not in plans])
        doc = present(
            tool_plan="".join(text for plan in plans if isinstance(plan, Thinking) for text in plan.texts),
            tool_calls=[self._call(call) for call in calls],
        )
        if blocks:
            doc["content"] = _content(blocks)
        if doc:
            self.found.append({"role": "assistant"} | doc)

    def _call(self, call: ToolCall) -> Json:
        if call.signature:
            self.loss.drop("messages.thought_signature")
        self.loss.own("messages.tool_calls", call.extra)
        self.loss.drop_cache(call.cache)
        arguments = wrapped(call.arguments) if call.kind == "custom" else object_text(call.arguments)
        function = {"name": self.names.wire(call.name, call.namespace), "arguments": arguments}
        return {"id": call.id, "type": "function", "function": function}

    def _blocks(self, parts: list[Part]) -> list[Json]:
        return [block for part in parts if (block := self._block(part)) is not None]

    def _block(self, part: Part) -> Json | None:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT:
                return part.raw
            self.loss.drop(f"messages.content.{part.type}")
            return None
        self.loss.drop_cache(getattr(part, "cache", None))
        self.loss.own("messages.content", getattr(part, "extra", {}))
        return BLOCKS[type(part)](self, part)

    def _text(self, part: Text) -> Json | None:
        self.loss.unless([("messages.thought_signature", part.signature), ("messages.citations", part.citations)])
        return {"type": "text", "text": part.text} if part.text else None

    def _refusal(self, part: Refusal) -> Json | None:
        return {"type": "text", "text": part.text} if part.text else None

    def _image(self, part: Image) -> Json | None:
        if part.source.kind == "file":
            self.loss.refuse("messages.content.file_id")
            return None
        address = part.source.data_url if part.source.kind == "data" else part.source.value
        told = part.detail if part.detail in DETAILS else ""
        if told != part.detail:
            self.loss.drop("messages.content.detail")
        return {"type": "image_url", "image_url": {"url": address} | present(detail=told)}

    def _file(self, part: File) -> Json | None:
        """Documents have no place in a message; those of plain text are told as text."""
        source = turns.plain(part.source)
        if source.kind != "text":
            self.loss.refuse("messages.content.file")
            return None
        self.loss.unless([("messages.content.citations", part.citations or None)])
        return {"type": "text", "text": source.value} if source.value else None

    def _unknown(self, part: Part) -> Json | None:
        self.loss.refuse(f"messages.content.{type(part).__name__.lower()}")
        return None

    def _thought(self, part: Thinking) -> Json | None:
        """Thinking bears no proof here, so that what another model left unsigned may be told too."""
        text = "\n\n".join([*part.texts, *part.summaries])
        foreign = part.signed_by != DIALECT and bool(part.signature)
        if part.redacted or foreign or not self.thinks:
            self.loss.drop("messages.thinking")
            return None
        return {"type": "thinking", "thinking": text} if text else None


BLOCKS: dict[type, Callable[[_Messages, Any], Json | None]] = {
    Text: _Messages._text,
    Image: _Messages._image,
    File: _Messages._file,
    Audio: _Messages._unknown,
    Video: _Messages._unknown,
    Refusal: _Messages._refusal,
    Thinking: _Messages._thought,
    ToolCall: _Messages._unknown,
    ToolResult: _Messages._unknown,
}


def _is_plan(part: Part) -> bool:
    return isinstance(part, Thinking) and part.signed_by == DIALECT and part.form == "tool_plan"


def _content(blocks: list[Json]) -> str | list[Json]:
    """One text, or none, as a string."""
    if not blocks:
        return ""
    return str(blocks[0]["text"]) if len(blocks) == 1 and blocks[0].get("type") == "text" else blocks


# ---------------------------------------------------------------- tools


def _tools(chat: Chat, loss: Loss, names: ToolNames) -> Json:
    choice = chat.tool_choice
    chosen = {name for _, name in choice.names} if choice and choice.mode in ("tool", "allowed") else None
    for hosted in (tool for tool in chat.tools if isinstance(tool, HostedTool)):
        loss.refuse(f"tools.{hosted.kind}")
    functions = list(_functions(chat, chosen, loss))
    strict = [tool.strict for _, tool in functions]
    doc = present(tools=[_function(tool, names.wire(tool.name, space)) for space, tool in functions])
    if functions and all(strict):
        doc["strict_tools"] = True
    elif any(strict):
        loss.drop("tools.strict")
    if chat.parallel_tool_calls is False and functions:
        loss.drop("parallel_tool_calls")
    if choice is None:
        return doc
    loss.own("tool_choice", choice.extra)
    mode = {"tool": "required", "allowed": choice.allowed_mode}.get(choice.mode, choice.mode)
    if chosen and not functions:
        loss.refuse("tool_choice")
    return doc | ({"tool_choice": mode.upper()} if functions and mode != "auto" else {})


def _functions(chat: Chat, chosen: set[str] | None, loss: Loss) -> Iterator[tuple[str, FunctionTool]]:
    """The functions to offer, with their namespace. A choice among them is made by offering no others."""
    for space, tool in function_tools(chat.tools):
        if chosen is not None and tool.name not in chosen:
            continue
        loss.own("tools", tool.extra)
        if isinstance(tool, CustomTool):
            yield space, FunctionTool(tool.name, as_function(tool).description, as_function(tool).parameters)
        else:
            loss.drop_cache(tool.cache)
            yield space, tool


def _function(tool: FunctionTool, name: str) -> Json:
    schema = tool.parameters or {}
    told = {"name": name} | present(description=tool.description)
    return {"type": "function", "function": told | {"parameters": schema if "type" in schema else EMPTY | schema}}
