"""An OpenAI Responses request, read.

Its input is a list of items. Those of one assistant turn (reasoning, then a message, then calls) become one message of
the vocabulary; an item that only this API knows is kept whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.chat import (
    Audio,
    BadRequest,
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
    ResponseFormat,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from providers.dialects.openai_parts import read_annotation, read_cache, read_count, read_source
from providers.dialects.signatures import untag
from providers.fields import Fields, guarded

DIALECT = "openai_responses"
ROLES = ("user", "assistant", "system", "developer")
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty")
LOGPROBS = "message.output_text.logprobs"
#: Where the input may come from, if not from the request.
ELSEWHERE = ("previous_response_id", "conversation", "prompt")
#: Prefixes of hosted tools' types -> their kinds
HOSTED = {"web_search": "web_search", "code_interpreter": "code_execution"}


@guarded
def read_request(doc: Any, path_info: str = "") -> Chat:
    """Raises BadRequest where ``doc`` is no Responses request."""
    fields = Fields(doc)
    chat = Chat(DIALECT, fields.need_text("model"), _Turns().read(fields))
    instructions = fields.any("instructions")
    chat.system = [Text(instructions)] if isinstance(instructions, str) else []
    chat.tools = [read_tool(raw, f"tools[{at}]") for at, raw in enumerate(fields.items("tools"))]
    chat.tool_choice = _tool_choice(fields.any("tool_choice"))
    chat.parallel_tool_calls = fields.flag("parallel_tool_calls")
    for name in SAMPLING:
        setattr(chat.sampling, name, fields.number(name))
    chat.sampling.seed = fields.integer("seed")
    chat.max_tokens = read_count(fields, "max_output_tokens")
    chat.top_logprobs = fields.integer("top_logprobs")
    include = fields.texts("include")
    chat.logprobs = True if LOGPROBS in include else None
    if rest := [name for name in include if name != LOGPROBS]:
        fields.left["include"] = rest
    _text_options(fields, chat)
    _rest(fields, chat)
    return chat


def _text_options(fields: Fields, chat: Chat) -> None:
    text = fields.inner("text")
    if text is not None:
        chat.verbosity = text.text("verbosity")
        form = text.inner("format")
        if form is not None:
            chat.response_format = ResponseFormat(
                form.text("type"),
                form.text("name"),
                form.object("schema"),
                strict=form.flag("strict"),
                description=form.optional_text("description"),
                extra=form.left,
            )
        if text.left:
            fields.left["text"] = text.left
    reasoning = fields.inner("reasoning")
    if reasoning is not None:
        effort, summary = reasoning.text("effort"), reasoning.text("summary")
        chat.reasoning = Reasoning(effort, summary=summary, form="reasoning", extra=reasoning.left)


def _rest(fields: Fields, chat: Chat) -> None:
    chat.metadata = fields.object("metadata") or {}
    chat.user = fields.text("user")
    chat.service_tier = fields.text("service_tier")
    chat.store = fields.flag("store")
    chat.cache_key = fields.text("prompt_cache_key")
    chat.previous_id = fields.text("previous_response_id")
    chat.stream = fields.flag("stream")
    chat.stream_usage = True
    chat.extra = fields.left


# ---------------------------------------------------------------- items


class _Turns:
    """Gathers items into messages."""

    def __init__(self) -> None:
        self.found: list[Message] = []
        self.open: Message | None = None  # the assistant's turn that later items join

    def read(self, fields: Fields) -> list[Message]:
        given = fields.any("input")
        if isinstance(given, str):
            return [Message("user", [Text(given)])]
        if given is not None and not isinstance(given, list):
            raise BadRequest("input", "must be a string or a list of items")
        if not given and not any(name in fields.left for name in ELSEWHERE):
            raise BadRequest("input", "is required")
        for at, raw in enumerate(given or []):
            item = Fields(raw, f"input[{at}]")
            kind = item.text("type") or ("message" if "role" in item.left else "item_reference")
            ITEMS.get(kind, _Turns.opaque)(self, item, kind, raw)
        return self.found

    def _turn(self, *alone: type) -> Message:
        """The open turn, or a new one where it has parts of the kinds ``alone``."""
        if self.open is None or any(isinstance(part, alone) for part in self.open.parts):
            self.open = Message("assistant", [])
            self.found.append(self.open)
        return self.open

    def message(self, item: Fields, kind: str, raw: Json) -> None:
        role = item.need_text("role")
        if role not in ROLES:
            raise BadRequest(item.at("role"), f"must be one of {', '.join(ROLES)}")
        parts = read_content(item.any("content"), item.at("content"), role)
        if role == "assistant":
            turn = self._turn(Text, Refusal, ToolCall, Opaque)
            if turn.extra:
                self.open = None
                turn = self._turn()
            turn.parts += parts
            turn.extra = item.left
        else:
            self.open = None
            self.found.append(Message(role, parts, item.left))

    def reasoning(self, item: Fields, kind: str, raw: Json) -> None:
        turn = self._turn(Text, Refusal, ToolCall, Opaque)
        if turn.extra:
            self.open = None
            turn = self._turn()
        signature, signed_by, form = untag(item.text("encrypted_content"), DIALECT)
        texts = [Fields(piece, item.at("content")).text("text") for piece in item.items("content")]
        summaries = [Fields(piece, item.at("summary")).text("text") for piece in item.items("summary")]
        turn.parts.append(Thinking(texts, summaries, signature, signed_by, form=form, extra=item.left))

    def call(self, item: Fields, kind: str, raw: Json) -> None:
        custom = kind == "custom_tool_call"
        call = ToolCall(item.need_text("call_id"), item.need_text("name"), "", "custom" if custom else "function")
        call.arguments = item.text("input" if custom else "arguments")
        call.namespace, call.extra = item.text("namespace"), item.left
        self._turn().parts.append(call)

    def result(self, item: Fields, kind: str, raw: Json) -> None:
        call_id, output = item.need_text("call_id"), item.any("output")
        parts = read_content(output, item.at("output"), "user")
        word = "custom" if kind == "custom_tool_call_output" else "function"
        self.open = None
        self.found.append(
            Message("tool", [ToolResult(call_id, parts, kind=word, extra=item.left, path=item.at("call_id"))])
        )

    def opaque(self, item: Fields, kind: str, raw: Json) -> None:
        part = Opaque(DIALECT, kind, raw)
        if kind.endswith(("_output", "_response", "_tools", "_reference", "_trigger")):
            self.open = None
            self.found.append(Message("user", [part]))
        else:
            self._turn().parts.append(part)


ITEMS: dict[str, Callable[[_Turns, Fields, str, Json], None]] = {
    "message": _Turns.message,
    "reasoning": _Turns.reasoning,
    "function_call": _Turns.call,
    "custom_tool_call": _Turns.call,
    "function_call_output": _Turns.result,
    "custom_tool_call_output": _Turns.result,
}


# ---------------------------------------------------------------- parts


def read_content(content: Any, path: str, role: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if content is not None and not isinstance(content, list):
        raise BadRequest(path, "must be a string or a list of parts")
    return [_part(raw, f"{path}[{at}]", role) for at, raw in enumerate(content or [])]


def _part(raw: Any, path: str, role: str) -> Part:
    fields = Fields(raw, path)
    kind = fields.text("type")
    reader = PARTS.get(kind)
    if reader is None:
        return Opaque(DIALECT, kind, raw)
    part = reader(fields)
    if kind in ("input_text", "output_text", "text") and kind != text_type(role):
        part.extra = part.extra | {"type": kind}  # type: ignore[union-attr]
    return part


def text_type(role: str) -> str:
    return "output_text" if role == "assistant" else "input_text"


def _text(fields: Fields) -> Part:
    cache = read_cache(fields)
    citations = [
        read_annotation(Fields(raw, fields.at("annotations")).left, DIALECT) for raw in fields.items("annotations")
    ]
    return Text(fields.text("text"), cache, citations=citations, extra=fields.left)


def _image(fields: Fields) -> Part:
    cache, detail, file_id = read_cache(fields), fields.text("detail"), fields.text("file_id")
    source = Source("file", file_id) if file_id else read_source(fields.text("image_url"))
    return Image(source, detail, cache, fields.left)


def _file(fields: Fields) -> Part:
    cache, name, file_id = read_cache(fields), fields.text("filename"), fields.text("file_id")
    if file_id:
        source = Source("file", file_id)
    elif "file_url" in fields.left:
        source = Source("url", fields.text("file_url"))
    else:
        source = read_source(fields.text("file_data"))
        if source.kind == "url":
            source = Source("data", source.value)
    return File(source, name, cache, extra=fields.left)


def _audio(fields: Fields) -> Part:
    audio = fields.inner("input_audio") or Fields({}, fields.at("input_audio"))
    form = audio.text("format")
    return Audio(Source("data", audio.need_text("data"), f"audio/{form}"), extra=fields.left)


PARTS: dict[str, Callable[[Fields], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": lambda fields: Refusal(fields.text("refusal"), fields.left),
}


# ---------------------------------------------------------------- tools


def read_tool(raw: Any, path: str) -> Tool:
    fields = Fields(raw, path)
    kind = fields.text("type")
    if kind == "function":
        name, description = fields.need_text("name"), fields.optional_text("description")
        schema, strict = fields.object("parameters"), fields.flag("strict")
        return FunctionTool(name, description, schema, strict, extra=fields.left)
    if kind == "custom":
        name, description = fields.need_text("name"), fields.optional_text("description")
        return CustomTool(name, description, fields.object("format"), fields.left)
    if kind == "namespace":
        name, description = fields.need_text("name"), fields.optional_text("description")
        inner = [read_tool(tool, fields.at("tools")) for tool in fields.items("tools")]
        return NamespaceTool(name, description, inner, fields.left)
    plain = next((word for prefix, word in HOSTED.items() if kind.startswith(prefix)), kind)
    tool = HostedTool(plain, DIALECT, raw)
    if plain == "web_search":
        place = raw.get("user_location") or {}
        filters = raw.get("filters") or {}
        tool.domains = filters.get("allowed_domains") or []
        tool.blocked_domains = filters.get("blocked_domains") or []
        tool.location = {name: value for name, value in place.items() if name != "type" and value} or None
    return tool


def _tool_choice(raw: Any) -> ToolChoice | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        if raw not in ("auto", "none", "required"):
            raise BadRequest("tool_choice", "must be auto, none, required or an object")
        return ToolChoice(raw)
    choice = Fields(raw, "tool_choice")
    kind = choice.text("type")
    if kind == "allowed_tools":
        tools = [Fields(tool, "tool_choice.tools").left for tool in choice.items("tools")]
        names = [(str(tool.get("type", "")), str(tool.get("name", ""))) for tool in tools]
        found = ToolChoice("allowed", names, choice.text("mode") or "auto", choice.left)
        if any(tool.keys() - {"type", "name"} for tool in tools):
            found.extra["tools"] = tools
        return found
    if kind in ("function", "custom"):
        return ToolChoice("tool", [(kind, choice.need_text("name"))], extra=choice.left)
    return ToolChoice("tool", [(kind, "")], extra=raw)
