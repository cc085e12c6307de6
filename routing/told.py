"""Whether an upstream has refused a request for its length or its content: targets can stand in for these refusals."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from providers.dialects.failures import CONTEXT_LENGTH
from providers.jsonbytes import has

#: OpenAI and Azure; Anthropic and Bedrock; Gemini; Cohere.
CONTENT_POLICY: Final = re.compile(
    rb"content_policy|content_filter|content management policy|content filtering policy|safety (system|settings)"
    rb"|usage polic(y|ies)|ResponsibleAI|guardrail|PROHIBITED_CONTENT|toxic",
    re.IGNORECASE,
)
#: The words with which whole replies and events say that they are no answer: of chat, messages, responses, generate.
FILTERED: Final = frozenset(
    {"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"}
)
#: Hardly any reply has one of these words, and none is such a refusal without: it need not be parsed once more.
HINTS: Final = tuple(b"content_filter blockReason SAFETY PROHIBITED_CONTENT BLOCKLIST SPII RECITATION".split())


def told_in_error(body: bytes) -> str:
    """For which reason that another target may stand in for an error refuses a request: context_length, content_policy
    or "" for others."""
    if b"context_length_exceeded" in body or CONTEXT_LENGTH.search(body.decode("utf-8", "replace")):
        return "context_length"
    return "content_policy" if CONTENT_POLICY.search(body) else ""


def told_in_reply(data: bytes) -> str:
    """The same for a reply, or an event, with the status of a success."""
    if not any(has(data, hint) for hint in HINTS) and not (b"stop_reason" in data and b'"refusal"' in data):
        return ""
    try:
        doc: Any = orjson.loads(data)
    except ValueError:
        return ""
    return "content_policy" if isinstance(doc, dict) and _filtered(doc) else ""


def _filtered(doc: dict[str, Any]) -> bool:
    """Nothing was said, and the reason is the content."""
    if isinstance(feedback := doc.get("promptFeedback"), dict) and feedback.get("blockReason"):
        return True
    if isinstance(details := doc.get("incomplete_details"), dict) and details.get("reason") in FILTERED:
        return not any(isinstance(item, dict) and item.get("type") == "message" for item in doc.get("output") or ())
    if doc.get("stop_reason") in FILTERED:
        return not any(isinstance(block, dict) and block.get("text") for block in doc.get("content") or ())
    for choice in (*(doc.get("choices") or ()), *(doc.get("candidates") or ())):
        if not isinstance(choice, dict) or not {choice.get("finish_reason"), choice.get("finishReason")} & FILTERED:
            continue
        message = choice.get("message") or choice.get("delta") or choice.get("content") or {}
        if not (isinstance(message, dict) and (message.get("content") or message.get("parts"))):
            return True
    return False
