"""The Response object that a client gets: its parameters echoed, its output items."""

from __future__ import annotations

import time
from typing import Any

import orjson

from providers.chat import Chat, Citation, Json, Opaque, Part, Refusal, Text, Thinking, ToolCall
from providers.dialects.failures import CODES, openai_error
from providers.dialects.ids import made
from providers.dialects.loss import Loss
from providers.dialects.openai_parts import url_citation, usage_details
from providers.dialects.openai_responses_read_request import DIALECT
from providers.dialects.openai_responses_write_request import settings
from providers.dialects.signatures import tag
from providers.dialects.tiers import reply_tier
from providers.dialects.tool_names import ToolNames
from providers.events import Failed, Logprobs, Started
from providers.fields import present
from providers.usage import Usage


def write_error(error: Failed) -> tuple[int, Json]:
    """(status, body) of an error reply."""
    return error.status, openai_error(error)


def failure(error: Failed) -> Json:
    """``error`` of a Response object, whose code may not be null."""
    told = {"code": error.code or CODES.get(error.kind) or "server_error", "message": error.message}
    return told | present(request_id=error.request_id)


def write_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": usage_details(usage.cache_read_tokens, usage.cache_write_tokens),
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


#: What a Response tells where the request said nothing: OpenAI's defaults.
DEFAULTS: Json = {
    "object": "response", "completed_at": None, "status": "in_progress", "incomplete_details": None,
    "previous_response_id": None, "instructions": None, "error": None, "tools": [], "tool_choice": "auto",
    "truncation": "disabled", "parallel_tool_calls": True, "top_p": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0, "top_logprobs": 0, "temperature": 1.0, "usage": None, "max_output_tokens": None,
    "max_tool_calls": None, "store": True, "background": False, "service_tier": "default", "metadata": {},
    "safety_identifier": None, "prompt_cache_key": None,
}  # fmt: skip
ECHOED = ("truncation", "max_tool_calls", "background", "safety_identifier")


def resource(chat: Chat, started: Started) -> Json:
    """A Response in progress, without output."""
    told = settings(chat, Loss(chat, chat.dialect), ToolNames())
    for tool in told.get("tools", ()):
        for each in tool.get("tools", [tool]):  # those of a namespace, or itself
            if each["type"] == "function":
                each.setdefault("description", None)
                each.setdefault("parameters", None)
                each.setdefault("strict", True)
    text = {"format": {"type": "text"}} | told.pop("text", {})
    if "schema" in text["format"]:
        text["format"] = {"description": None, "strict": False} | text["format"]
    reasoning = {"effort": None, "summary": None} | told.pop("reasoning", {})
    own = started.dialect == DIALECT and started.id
    tier = reply_tier(started.service_tier, started.dialect, DIALECT)
    doc = DEFAULTS | told | {name: chat.extra[name] for name in ECHOED if chat.extra.get(name) is not None}
    given = chat.sampling
    doc |= present(presence_penalty=given.presence_penalty, frequency_penalty=given.frequency_penalty)
    doc |= present(store=chat.store, previous_response_id=chat.previous_id, service_tier=tier)
    if chat.system:
        doc["instructions"] = "\n\n".join(part.text for part in chat.system if isinstance(part, Text))
    return doc | {
        "id": started.id if own else made("resp_"),
        "created_at": started.created or int(time.time()),
        "model": started.model or chat.model,
        "output": [],
        "text": text,
        "reasoning": reasoning,
    }


# ---------------------------------------------------------------- items


def annotation(citation: Citation, length: int) -> Json | None:
    if citation.dialect == DIALECT:
        return citation.raw
    return {"type": "url_citation"} | url_citation(citation, length) if citation.url else None


def text_part(text: str, annotations: list[Json], logprobs: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def message_item(id: str, content: list[Json], status: str = "completed") -> Json:
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning_item(part: Thinking, id: str) -> Json:
    """``encrypted_content`` is there where there is a signature; another maker's bears its name."""
    item: Json = {"id": id, "type": "reasoning", "summary": _pieces(part.summaries, "summary_text")}
    if part.texts:
        item["content"] = _pieces(part.texts, "reasoning_text")
    form = part.form or ""
    signature = tag(part.signature, part.signed_by, form, DIALECT) if part.signed_by else part.signature
    return item | present(encrypted_content=signature)


def _pieces(texts: list[str], kind: str) -> list[Json]:
    return [{"type": kind, "text": text} for text in texts]


def call_item(call: ToolCall, id: str, status: str = "completed") -> Json:
    custom = call.kind == "custom"
    item = {"id": id, "type": "custom_tool_call" if custom else "function_call", "call_id": call.id, "name": call.name}
    item["input" if custom else "arguments"] = call.arguments
    return item | present(namespace=call.namespace) | ({} if custom else {"status": status})


def call_id(id: str) -> str:
    """Ids longer than 64 are refused when the client sends them back."""
    return id if 0 < len(id) <= 64 else made("call_")


def signature_item(call: ToolCall) -> Json:
    """The signature of a call itself: only a reasoning item can carry it."""
    return reasoning_item(Thinking(signature=call.signature, signed_by=call.signed_by, form="tool"), made("rs_"))


def output_of(parts: list[Part], logprobs: list[Logprobs], status: str) -> list[Json]:
    """The items of a whole reply; texts without anything between them are one message."""
    items: list[Json] = []
    content: list[Json] | None = None
    for part in parts:
        if isinstance(part, Text | Refusal):
            if content is None:
                content = []
                items.append(message_item(made("msg_"), content, status))
            content.append(_content(part, [token for event in logprobs for token in event.tokens]))
            logprobs = []
            continue
        content = None
        items += _items(part, status)
    return items


def _content(part: Text | Refusal, logprobs: list[Json]) -> Json:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    told = [annotation(citation, len(part.text)) for citation in part.citations]
    return text_part(part.text, [one for one in told if one is not None], logprobs)


def _items(part: Part, status: str) -> list[Json]:
    if isinstance(part, Thinking):
        return [reasoning_item(part, str(part.extra.get("id") or made("rs_")))]
    if isinstance(part, ToolCall):
        part.id = call_id(part.id)
        return ([signature_item(part)] if part.signature else []) + [call_item(part, made("fc_"), status)]
    return [part.raw] if isinstance(part, Opaque) and part.dialect == DIALECT else []


def sse(doc: Json, sequence: int) -> bytes:
    """One event, numbered."""
    body = {"type": doc["type"], "sequence_number": sequence} | doc
    return b"event: %b\ndata: %b\n\n" % (doc["type"].encode(), orjson.dumps(body))


__all__: list[Any] = [
    "annotation", "call_id", "call_item", "failure", "message_item", "output_of", "reasoning_item", "resource",
    "signature_item", "sse", "text_part", "write_error", "write_usage",
]  # fmt: skip
