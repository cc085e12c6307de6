"""A chat completions request, read and written.

Beside OpenAI's own fields this knows what compatible servers add: ``reasoning`` (OpenRouter), ``reasoning_content``
(DeepSeek), ``thinking`` (Z.ai, DeepSeek), content of kind ``thinking`` (Mistral), ``cache_control`` on parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as members_of
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
    Opaque,
    Part,
    Reasoning,
    Refusal,
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
from providers.dialects.openai_parts import read_cache, read_count, read_source
from providers.fields import Fields, guarded

DIALECT = "openai_chat"
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
#: reasoning_details[].format (OpenRouter) -> whose signature it is
FORMATS = {
    "anthropic-claude-v1": "anthropic",
    "google-gemini-v1": "gemini",
    "openai-responses-v1": "openai_responses",
}


@guarded
def read_request(doc: Any, path_info: str = "") -> Chat:
    """Raises BadRequest where ``doc`` is no chat completions request."""
    fields = Fields(doc)
    chat = Chat(DIALECT, fields.need_text("model"), _messages(fields))
    chat.tools = _tools(fields)
    chat.tool_choice = _tool_choice(fields)
    chat.parallel_tool_calls = fields.flag("parallel_tool_calls")
    chat.sampling = Sampling(
        **{name: fields.number(name) for name in SAMPLING},
        seed=fields.integer("seed"),
        logit_bias=fields.object("logit_bias"),
    )
    chat.max_tokens = read_count(fields, "max_completion_tokens")
    if chat.max_tokens is None:
        chat.max_tokens = read_count(fields, "max_tokens")
        if chat.max_tokens is not None:
            chat.max_tokens_form = "max_tokens"
    stop = fields.any("stop")
    chat.stop = [stop] if isinstance(stop, str) else Fields({"stop": stop}).texts("stop")
    chat.n = fields.integer("n")
    chat.logprobs = fields.flag("logprobs")
    chat.top_logprobs = fields.integer("top_logprobs")
    chat.response_format = _response_format(fields)
    chat.reasoning = _reasoning(fields)
    _read_rest(chat, fields)
    return chat


SAMPLING = tuple(m.name for m in members_of(Sampling) if m.name not in ("seed", "logit_bias"))


def _read_rest(chat: Chat, fields: Fields) -> None:
    chat.verbosity = fields.text("verbosity")
    chat.modalities = fields.texts("modalities")
    chat.metadata = fields.object("metadata") or {}
    chat.user = fields.text("user")
    chat.service_tier = fields.text("service_tier")
    chat.store = fields.flag("store")
    chat.cache_key = fields.text("prompt_cache_key")
    chat.stream = fields.flag("stream")
    options = fields.inner("stream_options")
    if options is not None:
        chat.stream_usage = options.flag("include_usage")
        if options.left:
            fields.left["stream_options"] = options.left
    chat.extra = fields.left


# ---------------------------------------------------------------- messages


def _messages(fields: Fields) -> list[Message]:
    if not fields.left.get("messages"):
        raise BadRequest("messages", "is required")
    return [_message(raw, f"messages[{at}]") for at, raw in enumerate(fields.items("messages"))]


def _message(raw: Any, path: str) -> Message:
    fields = Fields(raw, path)
    role = fields.need_text("role")
    if role not in ROLES:
        raise BadRequest(fields.at("role"), f"must be one of {', '.join(ROLES)}")
    if role in ("tool", "function"):
        return _tool_message(fields, role)
    thinking = _thinking(fields) if role == "assistant" else []
    parts: list[Part] = [*thinking, *_content(fields)]
    if role == "assistant":
        if (refusal := fields.optional_text("refusal")) is not None:
            parts.append(Refusal(refusal))
        parts += _tool_calls(fields)
    return Message(role, parts, fields.left)


def _content(fields: Fields) -> list[Part]:
    content = fields.left.pop("content", None)
    if isinstance(content, str):
        return [Text(content)]
    if content is not None and not isinstance(content, list):
        raise fields.wrong("content", "a string or a list of parts")
    return [read_part(raw, f"{fields.at('content')}[{at}]") for at, raw in enumerate(content or [])]


def _tool_message(fields: Fields, role: str) -> Message:
    kind = "legacy" if role == "function" else "function"
    name = fields.text("name")
    call_id = fields.text("tool_call_id") if role == "function" else fields.need_text("tool_call_id")
    cache, path = read_cache(fields), fields.at("name" if role == "function" else "tool_call_id")
    result = ToolResult(call_id, _content(fields), name, kind=kind, cache=cache, path=path)
    return Message("tool", [result], fields.left)


def _tool_calls(fields: Fields) -> list[Part]:
    found = [_tool_call(raw, f"{fields.at('tool_calls')}[{at}]") for at, raw in enumerate(fields.items("tool_calls"))]
    legacy = fields.inner("function_call")
    if legacy is not None and legacy.left.get("name"):
        found.append(ToolCall("", legacy.need_text("name"), legacy.text("arguments"), "legacy", extra=legacy.left))
    return list(found)


def _tool_call(raw: Any, path: str) -> ToolCall:
    fields = Fields(raw, path)
    kind = fields.text("type") or "function"
    call_id = fields.text("id")
    cache = read_cache(fields)
    if kind == "custom":
        inner = fields.inner("custom") or Fields({}, path)
        call = ToolCall(call_id, inner.need_text("name"), inner.text("input"), "custom", cache=cache)
    else:
        inner = fields.inner("function") or Fields({}, path)
        arguments = inner.any("arguments")
        if arguments is not None and not isinstance(arguments, str):
            raise inner.wrong("arguments", "a string of JSON")
        call = ToolCall(call_id, inner.need_text("name"), arguments or "", cache=cache)
    signature = fields.left.get("extra_content")
    google = signature.get("google") if isinstance(signature, dict) else None
    if isinstance(google, dict) and isinstance(google.get("thought_signature"), str):
        # Where Gemini's own OpenAI-compatible API puts it, and so do we.
        del fields.left["extra_content"]
        call.signature, call.signed_by = google["thought_signature"], "gemini"
    call.extra = fields.left | ({"function": inner.left} if inner.left else {})
    return call


def _thinking(fields: Fields) -> list[Part]:
    """The richest of the members that tell it; the others stay beside it as they are."""
    if details := fields.items("reasoning_details"):
        found = [_detail(raw, f"{fields.at('reasoning_details')}[{at}]") for at, raw in enumerate(details)]
        _tell(found, fields)
        return found
    for form in ("reasoning_content", "reasoning"):
        if isinstance(fields.left.get(form), str):
            return [Thinking([fields.text(form)], signed_by=DIALECT, form=form)]
    return []


def _tell(found: list[Part], fields: Fields) -> None:
    """Where the details are only the signature of what ``reasoning_content`` tells, the two belong together."""
    thoughts = [part for part in found if isinstance(part, Thinking) and not part.redacted]
    if len(thoughts) == 1 and not (thoughts[0].texts or thoughts[0].summaries) and "reasoning_content" in fields.left:
        thoughts[0].texts = [fields.text("reasoning_content")]


def _detail(raw: Any, path: str) -> Part:
    fields = Fields(raw, path)
    kind = fields.text("type")
    if kind not in ("reasoning.text", "reasoning.summary", "reasoning.encrypted"):
        return Opaque(DIALECT, f"reasoning_details.{kind}", raw)
    form = _once(fields.text("format"))
    thought = Thinking(signed_by=FORMATS.get(form, DIALECT), form=f"reasoning_details:{form}")
    # OpenAI's SDK makes one of the details of a stream that have one index, of whatever type they are.
    thought.texts = [fields.text("text")] if "text" in fields.left else []
    thought.summaries = [fields.text("summary")] if "summary" in fields.left else []
    if kind == "reasoning.encrypted":
        thought.redacted, thought.signature = not (thought.texts or thought.summaries), fields.text("data")
    elif kind == "reasoning.text":
        thought.signature = fields.text("signature")
    thought.extra = fields.left
    return thought


def _once(form: str) -> str:
    """A format that such an SDK has put together from one in each delta."""
    return next((known for known in FORMATS if form and form == known * (len(form) // len(known))), form)


# ---------------------------------------------------------------- parts


def read_part(raw: Any, path: str) -> Part:
    fields = Fields(raw, path)
    kind = fields.text("type")
    reader = PARTS.get(kind)
    if reader is None:
        return Opaque(DIALECT, kind, raw)
    return reader(fields)


def _text(fields: Fields) -> Part:
    cache = read_cache(fields)
    return Text(fields.text("text"), cache, extra=fields.left)


def _image(fields: Fields) -> Part:
    cache = read_cache(fields)
    inner = fields.any("image_url")
    if isinstance(inner, str):  # Mistral takes the address alone
        return Image(read_source(inner), cache=cache, extra=fields.left | {"form": "string"})
    image = Fields(inner or {}, fields.at("image_url"))
    url, detail = image.need_text("url"), image.text("detail")
    extra = fields.left | ({"image_url": image.left} if image.left else {})
    return Image(read_source(url), detail, cache, extra)


def _audio(fields: Fields) -> Part:
    cache = read_cache(fields)
    audio = fields.inner("input_audio") or Fields({}, fields.at("input_audio"))
    form = audio.text("format")
    return Audio(Source("data", audio.need_text("data"), f"audio/{form}"), cache, fields.left)


def _file(fields: Fields) -> Part:
    cache = read_cache(fields)
    file = fields.inner("file") or Fields({}, fields.at("file"))
    name, file_id, data = file.text("filename"), file.text("file_id"), file.text("file_data")
    if file_id:
        source = Source("file", file_id)
    else:
        source = read_source(data)
        if source.kind == "url" and not data.startswith(("http:", "https:")):
            source = Source("data", data)
    return File(source, name, cache, extra=fields.left | ({"file": file.left} if file.left else {}))


def _video(fields: Fields) -> Part:
    video = fields.inner("video_url") or Fields({}, fields.at("video_url"))
    cache = read_cache(fields)
    return Video(read_source(video.need_text("url")), cache, fields.left)


def _mistral_thinking(fields: Fields) -> Part:
    texts = [_inner_text(piece, fields.at("thinking")) for piece in fields.items("thinking")]
    return Thinking(texts, signed_by=DIALECT, form="thinking", extra=fields.left)


def _inner_text(raw: Any, path: str) -> str:
    return Fields(raw, path).text("text")


def _mistral_document(fields: Fields) -> Part:
    cache = read_cache(fields)
    url, name = fields.need_text("document_url"), fields.text("document_name")
    return File(read_source(url), name, cache, extra=fields.left | {"form": "document_url"})


PARTS: dict[str, Callable[[Fields], Part]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "video_url": _video,
    "refusal": lambda fields: Refusal(fields.text("refusal"), {"form": "part"} | fields.left),
    "thinking": _mistral_thinking,
    "document_url": _mistral_document,
}


# ---------------------------------------------------------------- tools and the rest


def _tools(fields: Fields) -> list[Tool]:
    found = [_tool(raw, f"tools[{at}]") for at, raw in enumerate(fields.items("tools"))]
    if "functions" in fields.left:  # the form before tools
        legacy = fields.items("functions")
        found += [_function(Fields(raw, f"functions[{at}]"), {"legacy": True}) for at, raw in enumerate(legacy)]
    if (search := fields.object("web_search_options")) is not None:
        found.append(_web_search(search))
    return found


def _web_search(options: Json) -> HostedTool:
    place = options.get("user_location") or {}
    location = place.get("approximate") if isinstance(place, dict) else None
    return HostedTool("web_search", DIALECT, {"web_search_options": options}, location=location)


def _tool(raw: Any, path: str) -> Tool:
    fields = Fields(raw, path)
    kind = fields.text("type") or "function"
    if kind == "custom":
        custom = fields.inner("custom") or Fields({}, path)
        name, description = custom.need_text("name"), custom.optional_text("description")
        return CustomTool(name, description, custom.object("format"), fields.left | custom.left)
    if kind != "function":
        return HostedTool(kind, DIALECT, raw)
    cache = read_cache(fields)
    tool = _function(fields.inner("function") or Fields({}, path), fields.left)
    tool.cache = cache
    return tool


def _function(fields: Fields, extra: Json) -> FunctionTool:
    return FunctionTool(
        fields.need_text("name"),
        fields.optional_text("description"),
        fields.object("parameters"),
        fields.flag("strict"),
        extra=extra | ({"function": fields.left} if fields.left else {}),
    )


def _tool_choice(fields: Fields) -> ToolChoice | None:
    raw = fields.any("tool_choice")
    if raw is None:
        return _legacy_choice(fields)
    if isinstance(raw, str):
        known = raw in ("auto", "none", "required")
        return ToolChoice(raw) if known else ToolChoice("required", extra={"word": raw})
    choice = Fields(raw, "tool_choice")
    kind = choice.text("type")
    if kind == "allowed_tools":
        allowed = choice.inner("allowed_tools") or choice
        names = [_named(tool) for tool in allowed.items("tools")]
        return ToolChoice("allowed", names, allowed.text("mode") or "auto", choice.left)
    if kind in ("function", "custom"):
        inner = choice.inner(kind) or Fields({}, f"tool_choice.{kind}")
        return ToolChoice("tool", [(kind, inner.need_text("name"))], extra=choice.left)
    return ToolChoice("tool", [(kind, "")], extra=raw)


def _named(raw: Any) -> tuple[str, str]:
    tool = Fields(raw, "tool_choice.allowed_tools.tools")
    kind = tool.text("type") or "function"
    inner = tool.inner(kind) or Fields({}, "tool_choice.allowed_tools.tools")
    return kind, inner.text("name")


def _legacy_choice(fields: Fields) -> ToolChoice | None:
    raw = fields.any("function_call")
    if isinstance(raw, dict):
        name = Fields(raw, "function_call").need_text("name")
        return ToolChoice("tool", [("function", name)], extra={"legacy": True})
    return ToolChoice(raw, extra={"legacy": True}) if isinstance(raw, str) else None


def _response_format(fields: Fields) -> ResponseFormat | None:
    found = fields.inner("response_format")
    if found is None:
        return None
    form = ResponseFormat(found.text("type"))
    if form.kind == "json_schema":
        schema = found.inner("json_schema") or Fields({}, "response_format.json_schema")
        form.name, form.schema = schema.text("name"), schema.object("schema")
        form.strict, form.description = schema.flag("strict"), schema.optional_text("description")
        if schema.left:
            found.left["json_schema"] = schema.left
    form.extra = found.left
    return form


def _reasoning(fields: Fields) -> Reasoning | None:
    """One of three forms; a second one in the same request stays beside it as it is."""
    if "reasoning_effort" in fields.left:
        return Reasoning(fields.text("reasoning_effort"), form="reasoning_effort")
    if (found := fields.inner("reasoning")) is not None:
        exclude = found.flag("exclude")
        return Reasoning(
            found.text("effort"),
            found.integer("max_tokens"),
            found.flag("enabled"),
            summary=found.text("summary"),
            include=None if exclude is None else not exclude,
            form="reasoning",
            extra=found.left,
        )
    if (found := fields.inner("thinking")) is not None:
        mode = found.text("type")
        budget = found.integer("budget_tokens")
        return Reasoning(budget=budget, enabled=mode != "disabled", mode=mode, form="thinking", extra=found.left)
    return None
