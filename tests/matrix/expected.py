"""What a client's SDK must make of a reply: tables of the APIs' own words, written apart from the gateway's."""

from __future__ import annotations

from dataclasses import replace

import anthropic
import openai
from google.genai import errors as gemini

from tests.matrix.meaning import Told, squeezed
from tests.recorded_usage import Tokens

FINISH: dict[str, dict[str, str]] = {
    "chat": {
        "stop": "stop", "stop_sequence": "stop", "length": "length", "tool_calls": "tool_calls", "refused": "stop",
        "refusal": "content_filter", "content_filter": "content_filter",
    },
    "responses": {
        "stop": "completed", "stop_sequence": "completed", "length": "incomplete: max_output_tokens",
        "tool_calls": "completed", "refused": "completed", "refusal": "incomplete: content_filter",
        "content_filter": "incomplete: content_filter",
    },
    "messages": {
        "stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens", "tool_calls": "tool_use",
        "refused": "refusal", "refusal": "refusal", "content_filter": "refusal",
    },
    "generate": {
        "stop": "STOP", "stop_sequence": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "refused": "STOP",
        "refusal": "SAFETY", "content_filter": "SAFETY",
    },
}  # fmt: skip
#: Clients whose API has a place for a refusal's words; to the others they are the text.
APART = ("chat", "responses")
ERRORS: dict[int, str] = {
    400: "BadRequestError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    502: "InternalServerError",
}


def shown(client: str, upstream: str, told: Told) -> Told:
    """``told`` as the SDK of ``client`` has it: ``native`` in its words, ``finish`` empty."""
    text, refusal = (told.text, told.refusal) if client in APART else (told.text + told.refusal, "")
    native = told.native if client == upstream else FINISH[client][told.finish]
    tokens = told.tokens
    if client == "generate" and tokens is not None:
        tokens = tokens._replace(cache_write_tokens=0)  # which its API does not tell
    return Told(text, told.calls, "", native, tokens, squeezed(told.thinking), refusal)


def plain(told: Told) -> Told:
    return replace(told, thinking=squeezed(told.thinking))


def status_of(error: Exception) -> int | None:
    """The status that the SDK tells; None for an error amid a stream, which has none."""
    if isinstance(error, gemini.APIError):
        return int(error.code)
    return getattr(error, "status_code", None)


def right_class(client: str, error: Exception, status: int) -> bool:
    """Whether the SDK raised the exception that it has for ``status``."""
    if client == "generate":
        return type(error) is (gemini.ServerError if status >= 500 else gemini.ClientError)
    module = anthropic if client == "messages" else openai
    return type(error) is getattr(module, ERRORS[status])


def row_tokens(row: object) -> Tokens:
    return Tokens(*(getattr(row, name) for name in Tokens._fields))
