"""Upstream errors by kind, and each kind in every client's dialect: one table for all."""

from __future__ import annotations

import re
from typing import Any

from providers.chat import Json
from providers.events import Failed
from providers.fields import present

STATUS_KINDS = {
    400: "invalid_request", 401: "auth", 402: "budget", 403: "permission", 404: "unknown_model", 408: "timeout",
    413: "invalid_request", 415: "invalid_request", 422: "invalid_request", 429: "rate_limit", 503: "overloaded",
    504: "timeout", 529: "overloaded",
}  # fmt: skip
#: kind -> (status, OpenAI type, Anthropic type, Gemini status)
KINDS = {
    "invalid_request": (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    "auth": (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
    "permission": (403, "permission_error", "permission_error", "PERMISSION_DENIED"),
    "unknown_model": (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
    "not_found": (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
    "rate_limit": (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    "budget": (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "overloaded_error", "overloaded_error", "UNAVAILABLE"),
    "timeout": (504, "timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    "network": (502, "server_error", "api_error", "INTERNAL"),
    "server_error": (502, "server_error", "api_error", "INTERNAL"),
    "not_implemented": (501, "invalid_request_error", "api_error", "UNIMPLEMENTED"),
}
CODES = {
    "auth": "invalid_api_key", "unknown_model": "model_not_found", "rate_limit": "rate_limit_exceeded",
    "budget": "insufficient_quota", "permission": "permission_denied",
}  # fmt: skip
#: The words in which upstreams say that an error is of a kind, where the status does not (streams have none).
TYPE_KINDS = {
    "invalid_request_error": "invalid_request", "authentication_error": "auth", "permission_error": "permission",
    "not_found_error": "unknown_model", "rate_limit_error": "rate_limit", "rate_limit_exceeded": "rate_limit",
    "overloaded_error": "overloaded", "timeout_error": "timeout", "timeout": "timeout", "api_error": "server_error",
    "server_error": "server_error", "INVALID_ARGUMENT": "invalid_request", "FAILED_PRECONDITION": "invalid_request",
    "UNAUTHENTICATED": "auth", "PERMISSION_DENIED": "permission", "NOT_FOUND": "unknown_model",
    "RESOURCE_EXHAUSTED": "rate_limit", "UNAVAILABLE": "overloaded", "DEADLINE_EXCEEDED": "timeout",
    "INTERNAL": "server_error", "insufficient_quota": "budget", "model_not_found": "unknown_model",
}  # fmt: skip
#: OpenAI and those who copy it; Anthropic; Gemini, Vertex; Bedrock; Cohere; xAI; Groq; Hugging Face; Copilot; Qwen.
CONTEXT_LENGTH = re.compile(
    r"context.{0,12}(length|window|size)|maximum context|input tokens exceed|exceeds? (the |its )?(available |maximum )?context"
    r"|prompt is too long|exceeds? context limit"
    r"|input token count.{0,40}(exceed|only supports)"
    r"|input is too long|too many total text bytes"
    r"|too many (input )?tokens"
    r"|maximum prompt length|reduce the length of the (messages|prompt|input)"
    r"|`inputs` (tokens \+|must have less than)|prompt token count.{0,20}exceeds|range of input length",
    re.IGNORECASE,
)


def openai_error(error: Failed) -> Json:
    """The body of an error as both of OpenAI's APIs have it."""
    code = error.code or CODES.get(error.kind)
    body = {"message": error.message, "type": KINDS[error.kind][1], "param": error.param or None, "code": code}
    return {"error": body | present(request_id=error.request_id)}


def kind_of(status: int, *words: Any) -> str:
    """The kind of an upstream's error. Its own 401 and 403 stay what they are: the caller decides who is to blame."""
    for word in words:
        if isinstance(word, str) and word in TYPE_KINDS:
            return TYPE_KINDS[word]
    if status in STATUS_KINDS:
        return STATUS_KINDS[status]
    return "invalid_request" if 400 <= status < 500 else "server_error"


def failed(status: int, message: Any, code: Any = "", type: Any = "", param: Any = "") -> Failed:
    """An upstream's error as ours. A context that is too long gets OpenAI's ``code``, whatever the upstream calls it."""
    kind = kind_of(status, type, code)
    text = message if isinstance(message, str) and message else "The upstream reported an error."
    word = str(code) if code not in (None, "") else ""
    if word == "context_length_exceeded" or (kind == "invalid_request" and CONTEXT_LENGTH.search(text)):
        word = "context_length_exceeded"
    place = param if isinstance(param, str) else ""
    status = status if status >= 400 else KINDS[kind][0]
    return Failed(kind, text, status, word, type if isinstance(type, str) else "", place)
