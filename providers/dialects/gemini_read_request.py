"""A Gemini generateContent request, read.

The wire is protobuf's JSON: names may be in camelCase or snake_case, a list of one may be an object, a default (false,
empty) may be absent. The model and whether to stream stand in the URL.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson

from providers.chat import (
    Audio,
    BadRequest,
    Chat,
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
    Video,
)
from providers.dialects.openai_parts import read_count
from providers.dialects.signatures import PREFIX, untag
from providers.fields import Fields, guarded
from providers.schemas import from_gemini

DIALECT = "gemini"
PATH = re.compile(r"models/([^?]+?):(\w+)(?:\?|$)")
ROLES = {"user": "user", "model": "assistant", "function": "tool", "": "user", "system": "system"}
HOSTED = {"googleSearch": "web_search", "urlContext": "web_fetch", "codeExecution": "code_execution"}
#: Members of ``response`` that hold a function's result as it is.
RESULTS = ("result", "output", "error")
#: What may stand beside a part's one content.
BESIDE = ("thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh")


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest) if head else name


class Camel(Fields):
    """Fields by their camelCase names, and one object for a list of one."""

    def __init__(self, doc: Any, path: str = "") -> None:
        super().__init__(doc, path)
        self.left = {camel(name): value for name, value in self.left.items()}

    def items(self, name: str) -> list[Any]:
        if isinstance(self.left.get(name), dict):
            return [self.left.pop(name)]
        return super().items(name)

    def part(self, name: str) -> Camel | None:
        value = self.left.pop(name, None)
        return None if value is None else Camel(value, self.at(name))


STANDARD = str.maketrans("-_", "+/")


@guarded
def read_request(doc: Any, path_info: str = "") -> Chat:
    """``path_info`` is the URL's path with the model and the action. Raises BadRequest."""
    fields = Camel(doc)
    found = PATH.search(path_info)
    model = unquote(found.group(1)) if found else fields.text("model")
    chat = Chat(DIALECT, model.removeprefix("models/"), _contents(fields))
    asked = fields.flag("stream")
    chat.stream = found.group(2) == "streamGenerateContent" or bool(asked) if found else asked
    chat.stream_usage = True
    if (system := fields.any("systemInstruction")) is not None:
        chat.system = [Text(system)] if isinstance(system, str) else _parts(Camel(system, "systemInstruction"))
    for at, raw in enumerate(fields.items("tools")):
        chat.tools += _tool(Camel(raw, f"tools[{at}]"))
    _tool_config(fields, chat)
    _config(fields, chat)
    chat.service_tier = fields.text("serviceTier")
    chat.extra = chat.extra | fields.left
    return chat


# ---------------------------------------------------------------- contents


def _contents(fields: Camel) -> list[Message]:
    if not fields.left.get("contents"):
        raise BadRequest("contents", "is required")
    if isinstance(fields.left["contents"], str):
        return [Message("user", [Text(fields.text("contents"))])]
    return [_content(raw, f"contents[{at}]") for at, raw in enumerate(fields.items("contents"))]


def _content(raw: Any, path: str) -> Message:
    fields = Camel(raw, path)
    role = fields.text("role")
    if role not in ROLES:
        raise BadRequest(fields.at("role"), "must be user or model")
    return Message(ROLES[role], _parts(fields), fields.left)


def _parts(fields: Camel) -> list[Part]:
    parts = fields.items("parts")
    fields.left.pop("role", None)
    return [read_part(raw, f"{fields.at('parts')}[{at}]") for at, raw in enumerate(parts)]


def read_part(raw: Any, path: str) -> Part:
    fields = Camel(raw, path)
    thought = fields.flag("thought")
    signature = fields.text("thoughtSignature")
    for name, read in PARTS.items():
        if name in fields.left:
            return read(fields, bool(thought), signature)
    names = [name for name in fields.left if name not in BESIDE]
    if signature and not names:
        return _text(fields, bool(thought), signature)
    return Opaque(DIALECT, names[0] if names else "", raw)


def _signed(signature: str) -> tuple[str, str, str]:
    """A signature is bytes in base64, so that a tag of ours hides in it."""
    try:
        plain = base64.b64decode(signature, validate=True).decode()
    except ValueError:
        return signature, DIALECT, ""
    return untag(plain, DIALECT) if plain.startswith(PREFIX) else (signature, DIALECT, "")


def _text(fields: Camel, thought: bool, signature: str) -> Part:
    text = fields.text("text")
    value, signed_by, form = _signed(signature)
    if thought or signed_by != DIALECT:
        texts = [text] if text else []
        return Thinking(texts, signature=value, signed_by=signed_by, form=form, extra=fields.left)
    return Text(text, signature=signature, extra=fields.left)


def _function_call(fields: Camel, thought: bool, signature: str) -> Part:
    call = fields.part("functionCall") or Camel({})
    arguments = orjson.dumps(call.object("args") or {}).decode()
    extra = fields.left | ({"functionCall": call.left} if call.left else {})
    name, call_id = call.text("name"), call.text("id")
    for known in ("name", "id"):
        call.left.pop(known, None)
    value, signed_by, _ = _signed(signature)
    found = ToolCall(call_id, name, arguments, signature=value, signed_by=signed_by if value else "")
    found.extra = fields.left | ({"functionCall": call.left} if call.left else {}) if extra else {}
    return found


def _function_response(fields: Camel, thought: bool, signature: str) -> Part:
    inner = fields.part("functionResponse") or Camel({})
    name, call_id = inner.text("name"), inner.text("id")
    response = inner.object("response") or {}
    form, text = _response(response)
    parts: list[Part] = [Text(text)]
    parts += [read_part(raw, inner.at("parts")) for raw in inner.items("parts")]
    is_error = True if form.startswith("error") else None
    extra = fields.left | ({"functionResponse": inner.left} if inner.left else {})
    return ToolResult(call_id, parts, name, is_error, form=form, extra=extra, path=inner.path)


def _response(response: Json) -> tuple[str, str]:
    """(form, text) of a result: one member that is the result, or an object of the function's own."""
    if len(response) == 1:
        (name, value), *_ = response.items()
        if name in RESULTS and isinstance(value, str):
            return name, value
        if name in RESULTS:
            return f"{name}:json", orjson.dumps(value).decode()
    return "json", orjson.dumps(response).decode()


def _media(source: Source, fields: Camel, name: str) -> Part:
    kind = source.media_type.partition("/")[0]
    part = {"image": Image, "audio": Audio, "video": Video}.get(kind)
    if part is not None:
        return part(source, extra=fields.left)  # type: ignore[no-any-return]
    return File(source, name, extra=fields.left)


def standard(data: str) -> str:
    """Base64 in the alphabet that every other API reads: Gemini's SDKs send bytes in the one for URLs."""
    if "-" not in data and "_" not in data:
        return data
    found = data.translate(STANDARD)
    return found + "=" * (-len(found) % 4)


def _inline(fields: Camel, thought: bool, signature: str) -> Part:
    blob = fields.part("inlineData") or Camel({})
    source = Source("data", standard(blob.text("data")), blob.text("mimeType"))
    return _media(source, _kept(fields, thought, signature), blob.text("displayName"))


def _file(fields: Camel, thought: bool, signature: str) -> Part:
    data = fields.part("fileData") or Camel({})
    source = Source("url", data.text("fileUri"), data.text("mimeType"))
    return _media(source, _kept(fields, thought, signature), data.text("displayName"))


def _kept(fields: Camel, thought: bool, signature: str) -> Camel:
    if thought:
        fields.left["thought"] = True
    if signature:
        fields.left["thoughtSignature"] = signature
    return fields


PARTS: dict[str, Callable[[Camel, bool, str], Part]] = {
    "text": _text,
    "functionCall": _function_call,
    "functionResponse": _function_response,
    "inlineData": _inline,
    "fileData": _file,
}


# ---------------------------------------------------------------- tools and config


def _tool(fields: Camel) -> list[Tool]:
    """One tool object may hold function declarations and several hosted tools."""
    found: list[Tool] = [
        _function(Camel(raw, fields.at("functionDeclarations"))) for raw in fields.items("functionDeclarations")
    ]
    for name, value in fields.left.items():
        found.append(HostedTool(HOSTED.get(name, name), DIALECT, {name: value}))
    return found


def _function(fields: Camel) -> FunctionTool:
    tool = FunctionTool(fields.need_text("name"), fields.optional_text("description"))
    schema = fields.object("parametersJsonSchema")
    if schema is not None:
        tool.parameters, tool.form = schema, "parametersJsonSchema"
    elif (schema := fields.object("parameters")) is not None:
        tool.parameters, tool.form, tool.native = from_gemini(schema), "parameters", schema
    tool.extra = fields.left
    return tool


def _tool_config(fields: Camel, chat: Chat) -> None:
    config = fields.part("toolConfig")
    if config is None:
        return
    calling = config.part("functionCallingConfig")
    if calling is not None:
        mode = calling.text("mode").upper()
        names = [("function", name) for name in calling.texts("allowedFunctionNames")]
        chat.tool_choice = _choice(mode, names)
        chat.tool_choice.extra |= calling.left
    if config.left:
        chat.extra = {"toolConfig": config.left}


def _choice(mode: str, names: list[tuple[str, str]]) -> ToolChoice:
    if mode == "ANY":
        if len(names) == 1:
            return ToolChoice("tool", names)
        return ToolChoice("allowed", names) if names else ToolChoice("required")
    word = {"NONE": "none"}.get(mode, "auto")
    extra = {} if mode in ("AUTO", "NONE") else {"mode": mode}
    return ToolChoice("allowed", names, word, extra) if names else ToolChoice(word, extra=extra)


def _config(fields: Camel, chat: Chat) -> None:
    config = fields.part("generationConfig")
    if config is None:
        return
    chat.sampling = Sampling(
        config.number("temperature"),
        config.number("topP"),
        config.number("topK"),
        frequency_penalty=config.number("frequencyPenalty"),
        presence_penalty=config.number("presencePenalty"),
        seed=config.integer("seed"),
    )
    chat.max_tokens = read_count(config, "maxOutputTokens")
    chat.stop = config.texts("stopSequences")
    chat.n = config.integer("candidateCount")
    chat.logprobs, chat.top_logprobs = config.flag("responseLogprobs"), config.integer("logprobs")
    chat.modalities = config.texts("responseModalities")
    chat.response_format = _format(config)
    thinking = config.part("thinkingConfig")
    if thinking is not None:
        chat.reasoning = _thinking(thinking)
    if config.left:
        chat.extra = chat.extra | {"generationConfig": config.left}


def _thinking(fields: Camel) -> Reasoning:
    budget, level = fields.integer("thinkingBudget"), fields.text("thinkingLevel").lower()
    effort = level if level in EFFORTS else ""
    if level and not effort:
        fields.left["thinkingLevel"] = level
    enabled = False if budget == 0 else None
    include = fields.flag("includeThoughts")
    return Reasoning(effort, budget, enabled, include=include, form="thinkingConfig", extra=fields.left)


def _format(config: Camel) -> ResponseFormat | None:
    mime = config.text("responseMimeType")
    for form in ("responseJsonSchema", "_responseJsonSchema"):
        schema = config.object(form)
        if schema is not None:
            return ResponseFormat("json_schema", schema=schema, form=form, extra={"mime": mime})
    native = config.object("responseSchema")
    if native is not None:
        kind = "json_schema"
        return ResponseFormat(kind, "", from_gemini(native), native, form="responseSchema", extra={"mime": mime})
    if not mime:
        return None
    return ResponseFormat("json_object" if mime == "application/json" else "text", extra={"mime": mime})
