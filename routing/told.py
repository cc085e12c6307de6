"""Whether an upstream has refused a request for its length or its content: targets can stand in for these refusals."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from providers.dialects.failures import CONTEXT_LENGTH
from providers.hints import has, has_any
from routing.objects import items

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
#: Hardly any event has one of these words, and none is such a refusal without: it need not be parsed.
HINTS: Final = tuple(b"content_filter blockReason SAFETY PROHIBITED_CONTENT BLOCKLIST SPII RECITATION".split())


def told_in_error(body: bytes) -> str:
    """For which reason that another target may stand in for an error refuses a request: context_length, content_policy
    or "" for others."""
    if b"context_length_exceeded" in body or CONTEXT_LENGTH.search(body.decode("utf-8", "replace")):
        return "context_length"
    return "content_policy" if CONTENT_POLICY.search(body) else ""


def told_in_event(data: bytes) -> str:
    """The same for an event of a reply with the status of a success."""
    if not has_any(data, HINTS) and not (has(data, b'"refusal"') and has(data, b"reason")):
        return ""
    try:
        return told_in_reply(orjson.loads(data))
    except ValueError:
        return ""


def told_in_reply(doc: Any) -> str:
    """The same for a whole reply with the status of a success: nothing was said, and the reason is the content."""
    return "content_policy" if isinstance(doc, dict) and _is_filtered(doc) else ""


def _is_filtered(doc: dict[str, Any]) -> bool:
    if isinstance(feedback := doc.get("promptFeedback"), dict) and feedback.get("blockReason"):
        return True
    if isinstance(details := doc.get("incomplete_details"), dict) and _is_word(details.get("reason")):
        return not any(item.get("type") == "message" for item in items(doc.get("output")))
    if _is_word(doc.get("stop_reason")):
        return not any(block.get("text") for block in items(doc.get("content")))
    for name in ("choices", "candidates"):
        for choice in items(doc.get(name)) if name in doc else ():
            if _is_word(choice.get("finish_reason")) or _is_word(choice.get("finishReason")):
                message = choice.get("message") or choice.get("delta") or choice.get("content") or {}
                if not (isinstance(message, dict) and (message.get("content") or message.get("parts"))):
                    return True
    return False


def _is_word(reason: Any) -> bool:
    return reason.__class__ is str and reason in FILTERED
