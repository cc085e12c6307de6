"""A chat completions request, written from the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from providers.chat import (
    Audio,
    Chat,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from providers.dialects import turns
from providers.dialects.efforts import effort_of
from providers.dialects.lacks import format_kind, limit_name, without
from providers.dialects.loss import Loss
from providers.dialects.openai_chat_read_request import DIALECT
from providers.dialects.openai_chat_write_tools import names_of, write_tools
from providers.dialects.openai_parts import write_cache, write_source
from providers.dialects.tiers import request_tier
from providers.dialects.tool_names import ToolNames, wrapped
from providers.fields import present
from providers.schemas import strict_ready

#: Models that refuse ``max_tokens``; most compatible servers know only that.
NEW_LIMIT = re.compile(r"(^|/)(o\d|gpt-[5-9]|gpt-\d\d)")
FORMATS = {"anthropic": "anthropic-claude-v1", "gemini": "google-gemini-v1", "openai_responses": "openai-responses-v1"}


def write_request(chat: Chat, lenient: bool = False) -> tuple[Json, list[str]]:
    """The body for ``chat`` and the names of what it leaves out. Raises Unsupported."""
    loss = Loss(chat, DIALECT, lenient)
    names = names_of(chat)
    doc: Json = {"model": chat.model, "messages": _messages(chat, loss, names)}
    doc |= _sampling(chat, loss) | write_tools(chat, loss, names) | _format(chat, loss)
    limit = chat.max_tokens_form
    if not limit:
        limit = "max_completion_tokens" if not loss.foreign or NEW_LIMIT.search(chat.model) else "max_tokens"
    doc |= present(
        **{limit_name(chat, limit): chat.max_tokens},
        stop=chat.stop,
        n=chat.n,
        logprobs=chat.logprobs,
        top_logprobs=chat.top_logprobs,
        verbosity=chat.verbosity,
        user=chat.user,
        prompt_cache_key=chat.cache_key,
        stream=chat.stream,
        service_tier=request_tier(chat, loss),
    )
    if len(chat.stop) > 4 and loss.foreign:
        loss.refuse("stop")
    reasoning = _reasoning(chat.reasoning, loss)
    if without(chat, "reasoning_effort", reasoning.get("reasoning_effort"), loss):
        reasoning.pop("reasoning_effort", None)
    doc |= reasoning | _rest(chat, loss)
    return doc | loss.own("", {k: v for k, v in chat.extra.items() if k != "stream_options"}), loss.dropped


def _sampling(chat: Chat, loss: Loss) -> Json:
    given = chat.sampling
    doc = present(
        temperature=given.temperature,
        top_p=given.top_p,
        frequency_penalty=given.frequency_penalty,
        presence_penalty=given.presence_penalty,
        seed=given.seed,
    )
    if given.logit_bias is not None:
        doc["logit_bias"] = given.logit_bias
    # Only compatible servers have these, and OpenAI answers 400 to a name that it does not know.
    more = present(top_k=given.top_k, min_p=given.min_p, repetition_penalty=given.repetition_penalty)
    return doc | loss.own("", more)


def _reasoning(given: Reasoning | None, loss: Loss) -> Json:
    if given is None:
        return {}
    if given.form == "reasoning" and not loss.foreign:
        exclude = None if given.include is None else not given.include
        body = present(effort=given.effort, max_tokens=given.budget, enabled=given.enabled, summary=given.summary)
        return {"reasoning": body | present(exclude=exclude) | given.extra}
    if given.form == "thinking" and not loss.foreign:
        return {"thinking": present(type=given.mode, budget_tokens=given.budget) | given.extra}
    loss.unless([("reasoning.summary", given.summary)])
    loss.own("reasoning", given.extra)
    effort = effort_of(given)
    return {"reasoning_effort": effort} if effort else {}


def _rest(chat: Chat, loss: Loss) -> Json:
    doc: Json = {}
    if loss.foreign:
        options = {"include_usage": True} if chat.stream and "stream_options" not in chat.lacks else {}
        loss.drop_cache(chat.cache)
        loss.refuse_asked(chat, "previous_response_id", "modalities")
    else:
        options = present(include_usage=chat.stream_usage) | chat.extra.get("stream_options", {})
        doc |= present(metadata=chat.metadata, store=chat.store, modalities=chat.modalities)
    if without(chat, "stream_options", options, loss):
        return doc
    if options or "stream_options" in chat.extra:
        doc["stream_options"] = options
    return doc


def _format(chat: Chat, loss: Loss) -> Json:
    given = chat.response_format
    if given is None:
        return {}
    doc: Json = {"type": format_kind(chat, given, loss)} | loss.own("response_format", given.extra)
    if doc["type"] == "json_schema":
        strict = given.strict
        if strict is None and loss.foreign and strict_ready(given.schema):
            strict = True
        name = given.name or ("response" if loss.foreign else "")
        inner = present(name=name, description=given.description, strict=strict)
        if given.schema is not None:
            inner["schema"] = given.schema
        doc["json_schema"] = inner | (given.extra.get("json_schema", {}) if not loss.foreign else {})
    return {"response_format": doc}


# ---------------------------------------------------------------- messages


def _messages(chat: Chat, loss: Loss, names: ToolNames) -> list[Json]:
    writer = _Messages(loss, names, "developer" if loss.foreign or "developer_role" in chat.lacks else "")
    if chat.system:
        writer.add(Message("system", chat.system))
    for message in turns.prepared_for(chat, loss):
        writer.add(message)
    loss.refuse_silence(writer.found)
    return writer.found


class _Messages:
    """``unknown`` is a role that the upstream may not know, in whose place it has the system's."""

    def __init__(self, loss: Loss, names: ToolNames, unknown: str) -> None:
        self.loss = loss
        self.names = names
        self.unknown = unknown
        self.found: list[Json] = []

    def add(self, message: Message) -> None:
        extra = self.loss.own("messages", message.extra)
        results, others = turns.results_apart(message)
        shown: list[Part] = []
        for result in results:
            shown += self._result(result, extra)
        if message.role == "assistant":
            self.found.append(self._assistant(others, extra))
        elif others or shown or not results:
            role = "user" if message.role == "tool" else message.role
            if role == self.unknown:
                role = "system"  # OpenAI takes it as developer
            content = self._content([*shown, *others])
            if content is not None or not self.loss.foreign:
                self.found.append({"role": role} | present_content(content) | ({} if results else extra))

    def _result(self, result: ToolResult, extra: Json) -> list[Part]:
        """Adds the tool message; gives the parts that only a user message may have."""
        text = [part for part in result.parts if turns.is_words(part) or isinstance(part, Opaque)]
        shown = [part for part in result.parts if part not in text]
        if not self.loss.foreign:
            text, shown = result.parts, []
        if result.is_error and self.loss.foreign:
            text = [Text("Error:"), *text]
        content = self._content(text)
        doc: Json = {"role": "tool", "tool_call_id": result.call_id}
        if result.kind == "legacy" and not self.loss.foreign:
            doc = {"role": "function"} | present(tool_call_id=result.call_id)
        if result.name and not self.loss.foreign:
            doc["name"] = result.name
        doc["content"] = content if content is not None or not self.loss.foreign else ""
        self.found.append(doc | self._mark(result.cache) | extra)
        return shown

    def _assistant(self, parts: list[Part], extra: Json) -> Json:
        doc: Json = {"role": "assistant"}
        inline = [part for part in parts if not isinstance(part, Thinking | ToolCall | Refusal) or _inline(part)]
        doc["content"] = self._content(inline)
        for part in parts:
            if isinstance(part, Thinking) and not _inline(part):
                self._thought(part, doc)
            elif isinstance(part, ToolCall):
                self._call(part, doc)
            elif isinstance(part, Refusal) and not _inline(part):
                doc["refusal"] = doc.get("refusal", "") + part.text
        return doc | extra

    def _thought(self, part: Thinking, doc: Json) -> None:
        form, _, kind = part.form.partition(":")
        if self.loss.foreign and part.signed_by != DIALECT:
            self.loss.drop("messages.thinking")
        elif form != "reasoning_details":
            doc[form or "reasoning_content"] = doc.get(form or "reasoning_content", "") + "".join(part.texts)
        else:
            doc.setdefault("reasoning_details", []).append(detail(part, kind))

    def _call(self, call: ToolCall, doc: Json) -> None:
        name = self.names.wire(call.name, call.namespace)
        if call.kind == "legacy" and not self.loss.foreign:
            doc["function_call"] = {"name": name, "arguments": call.arguments} | call.extra
            return
        extra = self.loss.own("messages.tool_calls", call.extra)
        custom = call.kind == "custom" and self.names.naming.custom
        wire = present(id=call.id) | {"type": "custom" if custom else "function"}
        if custom:
            wire["custom"] = {"name": name, "input": call.arguments}
        else:
            arguments = wrapped(call.arguments) if call.kind == "custom" else call.arguments
            wire["function"] = {"name": name, "arguments": arguments} | extra.get("function", {})
        if call.signature and self.loss.foreign:
            self.loss.drop("messages.thought_signature")
        elif call.signature and call.signed_by == "gemini":
            wire["extra_content"] = {"google": {"thought_signature": call.signature}}
        wire |= {key: value for key, value in extra.items() if key != "function"} | self._mark(call.cache)
        doc.setdefault("tool_calls", []).append(wire)

    def _mark(self, cache: Any) -> Json:
        if self.loss.foreign and cache is not None and cache.form != "prompt_cache_breakpoint":
            self.loss.drop_cache(cache)
            return {}
        return write_cache(cache)

    def _content(self, parts: list[Part]) -> str | list[Json] | None:
        found = [wire for part in parts if (wire := self._part(part)) is not None]
        if len(found) == 1 and found[0].keys() == {"type", "text"} and found[0]["type"] == "text":
            return str(found[0]["text"])
        return found or None

    def _part(self, part: Part) -> Json | None:
        if isinstance(part, Opaque):
            if part.dialect == DIALECT and not part.type.startswith("reasoning_details."):
                return part.raw
            self.loss.drop(f"messages.content.{part.type}")
            return None
        if isinstance(part, Thinking) and part.signed_by != DIALECT:
            self.loss.drop("messages.thinking")
            return None
        write = PARTS.get(type(part))
        if write is None:  # a call outside an assistant's turn
            self.loss.refuse(f"messages.content.{type(part).__name__}")
            return None
        wire = write(part, self.loss)
        if getattr(part, "cache", None) is not None:
            wire |= self._mark(part.cache)  # type: ignore[union-attr]
        return wire


def _inline(part: Part) -> bool:
    """Whether an assistant's part stands in its content, not in a member of its own."""
    return (isinstance(part, Thinking) and part.form == "thinking") or (
        isinstance(part, Refusal) and part.extra.get("form") == "part"
    )


def present_content(content: str | list[Json] | None) -> Json:
    return {} if content is None else {"content": content}


def detail(part: Thinking, form: str) -> Json:
    """One of OpenRouter's ``reasoning_details``."""
    named = present(format=form or FORMATS.get(part.signed_by, ""))
    if part.redacted:
        return {"type": "reasoning.encrypted"} | present(data=part.signature) | named | part.extra
    if part.summaries:
        return {"type": "reasoning.summary", "summary": "".join(part.summaries)} | named | part.extra
    text = {"text": "".join(part.texts)} if part.texts else {}
    return {"type": "reasoning.text"} | text | present(signature=part.signature) | named | part.extra


# ---------------------------------------------------------------- parts


def _text(part: Text, loss: Loss) -> Json:
    loss.unless([("messages.thought_signature", part.signature), ("messages.citations", part.citations)])
    return {"type": "text", "text": part.text} | loss.own("messages.content", part.extra)


def _image(part: Image, loss: Loss) -> Json:
    _no_store(part.source, "image", loss)
    extra = dict(loss.own("messages.content", part.extra))
    if extra.pop("form", "") == "string":
        return {"type": "image_url", "image_url": write_source(part.source)} | extra
    inner = {"url": write_source(part.source)} | present(detail=part.detail) | extra.pop("image_url", {})
    return {"type": "image_url", "image_url": inner} | extra


def _audio(part: Audio, loss: Loss) -> Json:
    if part.source.kind != "data":
        loss.refuse("messages.content.audio")
    form = part.source.media_type.removeprefix("audio/")
    form = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}.get(form, form)
    inner = {"data": part.source.value, "format": form}
    return {"type": "input_audio", "input_audio": inner} | loss.own("messages.content", part.extra)


def _file(part: File, loss: Loss) -> Json:
    extra = dict(loss.own("messages.content", part.extra))
    if extra.get("form") == "document_url":
        del extra["form"]
        wire = {"type": "document_url", "document_url": write_source(part.source)}
        return wire | present(document_name=part.name) | extra
    if part.source.kind == "text":
        return {"type": "text", "text": part.source.value}
    if loss.foreign and part.source.kind != "data":
        loss.refuse("messages.content.file")
    name = part.name or ("document.pdf" if loss.foreign else "")
    inner = present(filename=name) | extra.pop("file", {})
    if part.source.kind == "file":
        inner["file_id"] = part.source.value
    elif part.source.media_type or part.source.kind == "url":
        inner["file_data"] = write_source(part.source)
    elif part.source.value:
        inner["file_data"] = part.source.value
    return {"type": "file", "file": inner} | extra


def _video(part: Video, loss: Loss) -> Json:
    _no_store(part.source, "video", loss)
    inner = {"url": write_source(part.source)}
    return {"type": "video_url", "video_url": inner} | loss.own("messages.content", part.extra)


def _refusal(part: Refusal, loss: Loss) -> Json:
    return {"type": "refusal", "refusal": part.text} | {k: v for k, v in part.extra.items() if k != "form"}


def _thinking(part: Thinking, loss: Loss) -> Json:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in part.texts]} | part.extra


def _no_store(source: Source, what: str, loss: Loss) -> None:
    if source.kind == "file" and loss.foreign:
        loss.refuse(f"messages.content.{what}.file_id")


PARTS: dict[type, Callable[[Any, Loss], Json]] = {
    Text: _text,
    Image: _image,
    Audio: _audio,
    File: _file,
    Video: _video,
    Refusal: _refusal,
    Thinking: _thinking,
}
