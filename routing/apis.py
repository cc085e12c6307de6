"""Which of an upstream's APIs serves which client endpoint: its own, byte for byte, or another by translation."""

from __future__ import annotations

from typing import Final

from providers.dialects import CLIENTS, UPSTREAMS, Client, Upstream
from providers.embeddings import UPSTREAMS as EMBEDDING_UPSTREAMS
from routing.call import Call
from routing.table import Target

#: What the API of a client endpoint is as a dialect, for those that can be translated.
CLIENT_DIALECTS: Final[dict[str, Client]] = {
    "chat": CLIENTS["openai_chat"],
    "responses": CLIENTS["openai_responses"],
    "messages": CLIENTS["anthropic"],
    "generate": CLIENTS["gemini"],
    "unified": CLIENTS["unified"],
}
UPSTREAM_DIALECTS: Final[dict[str, Upstream]] = {dialect.API: dialect for dialect in UPSTREAMS.values()}
#: Where an upstream serves several APIs and none of them is the client's: the one that says most comes first.
BUILT_IN: Final = ("messages", "generate", "converse", "cohere", "ollama", "chat", "responses")
#: A package's own API says more than what its vendor has besides for OpenAI's clients.
PREFERENCE: Final = (*(api for api in UPSTREAM_DIALECTS if api not in BUILT_IN), *BUILT_IN)
#: APIs that can count tokens, the most faithful first.
COUNTING: Final = ("messages", "generate", "responses")
#: Endpoints that generate from messages, embed, or count; the others can only be relayed.
GENERATE: Final = frozenset({"chat", "responses", "messages", "generate", "unified"})
COMPACT: Final = "responses.compact"
EMBED: Final = frozenset({"embeddings", "generate.embed"})
COUNT: Final = frozenset({"messages.count_tokens", "generate.count_tokens", "responses.input_tokens"})


def api_of(call: Call, target: Target) -> str:
    """The API of the target's upstream that serves this call; "" where none does."""
    api, apis = call.endpoint.api, target.upstream.apis
    name = call.endpoint.name
    if name in GENERATE or name == COMPACT:
        if target.api in UPSTREAM_DIALECTS and target.api in apis:
            return target.api
        if api in apis:
            return api
        return next((other for other in PREFERENCE if other in apis), "")
    if api in apis:
        return api
    if name == "completions":
        return "ollama" if "ollama" in apis else ""
    if name in EMBED:
        return next((other.API for other in EMBEDDING_UPSTREAMS.values() if other.API in apis), "")
    if name in COUNT:
        return next((other for other in COUNTING if other in apis), "") or "estimate"
    return ""


def counts(call: Call, target: Target) -> bool:
    """Whether the target's upstream can count the tokens of this call."""
    variant = target.upstream.variant
    return api_of(call, target) in COUNTING and (variant is None or variant.counts)
