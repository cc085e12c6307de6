"""Service tiers: what each API calls the same thing.

A request's word is of the client's dialect, a reply's of the upstream's. ``auto`` leaves the choice to the upstream, as
does saying nothing.
"""

from __future__ import annotations

from providers.chat import Chat
from providers.dialects.loss import Loss

OPENAI = ("auto", "default", "flex", "scale", "priority", "fast")
#: Words for the usual tier, over all APIs and vendors.
USUAL = ("default", "standard", "standard_only", "on_demand", "unspecified")
REQUESTS = {
    "openai_chat": {"usual": "default"} | {word: word for word in OPENAI},
    "anthropic": {"usual": "standard_only", "auto": "auto"},
    "gemini": {"usual": "standard", "flex": "flex", "priority": "priority", "auto": ""},
    "bedrock": {"usual": "default", "auto": ""} | {word: word for word in ("flex", "priority", "reserved")},
    "cohere": {"usual": "", "auto": ""},
    "ollama": {"usual": "", "auto": ""},
}
REPLIES = {
    "openai_chat": REQUESTS["openai_chat"],
    "anthropic": {"usual": "standard", "priority": "priority", "batch": "batch"},
    "gemini": {"usual": "standard", "flex": "flex", "priority": "priority"},
}
for _words in (REQUESTS, REPLIES):
    _words["openai_responses"] = _words["openai_chat"]


def _word(tier: str, words: dict[str, str]) -> str | None:
    tier = tier.lower()  # Gemini reads enums in any case
    return words.get("usual" if tier in USUAL else tier)


def request_tier(chat: Chat, loss: Loss) -> str:
    """The word for ``chat.service_tier``; one that this API does not have is listed."""
    tier = chat.service_tier
    if not loss.foreign or not tier:
        return tier
    word = _word(tier, REQUESTS[loss.dialect])
    if word is None:
        loss.drop("service_tier")
    return word or ""


def reply_tier(tier: str, maker: str, client: str) -> str:
    """The word in which a client of the dialect ``client`` is told ``maker``'s; empty where it has none."""
    return tier if maker == client else _word(tier, REPLIES[client]) or ""
