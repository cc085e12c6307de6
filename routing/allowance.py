"""What one request may ask for, by its key's terms: the endpoint's scope, the longest input and output."""

from __future__ import annotations

from typing import Final

from routing.bound_demand import Demand
from routing.bounds import MORE_PICTURE_TOKENS, PICTURE_TOKENS, demand_of
from routing.call import Call
from routing.errors import GatewayError

#: Endpoints whose scope is not the first word of their name.
OTHERWISE: Final = {"unified": "completions", "generate.embed": "embeddings"}
#: Where the input stands, by endpoint; of all others in ``input``.
INPUT_AT: Final = {
    "chat": "messages",
    "unified": "messages",
    "messages": "messages",
    "completions": "prompt",
    "generate": "contents",
    "generate.embed": "content",
    "images.generations": "prompt",
    "rerank": "documents",
}
#: What asks for several outputs at once.
CHOICES_AT: Final = {"generate": "generationConfig.candidateCount"}


def scope_of(endpoint: str) -> str:
    """Which of ``tenants.terms.SCOPES`` the endpoint of this name needs."""
    return OTHERWISE.get(endpoint) or endpoint.partition(".")[0]


def check_sizes(call: Call) -> None:
    """Refuse more input or output than the key's terms allow. Raises invalid_request naming the field.

    Input counts as the most tokens that it can be: one for each byte of its text, since no token is shorter, and for each
    picture what the dearest model makes of one. Input that the gateway cannot see, such as a file by its id, may be of
    any length, so a key with a longest input may not name it. Output counts over all choices.
    """
    terms = call.terms
    most_in, most_out = terms.max_input_tokens, terms.max_output_tokens
    if most_in is None and most_out is None:
        return
    asked = demand_of(call)
    if most_out is not None and asked.cap_at:
        _check_output(call, asked, most_out)
    if most_in is not None:
        _check_input(call, asked, most_in)


def _check_input(call: Call, asked: Demand, most: int) -> None:
    if asked.hidden:
        message = (
            f"This API key may send at most {most} input tokens, and how many {asked.hidden} stands for is unknown."
        )
        raise GatewayError("invalid_request", message, param=asked.hidden)
    size = asked.text + asked.pictures * PICTURE_TOKENS.get(call.endpoint.api, MORE_PICTURE_TOKENS)
    if size > most:
        raise GatewayError(
            "invalid_request",
            f"The input may be up to {size} tokens, counted as one for each byte; this API key may send {most}.",
            param=INPUT_AT.get(call.endpoint.name, "input"),
        )


def _check_output(call: Call, asked: Demand, most: int) -> None:
    each = most // asked.choices
    param = ".".join(asked.cap_at)
    if asked.cap is None and each:
        return  # a cap is put in
    if not each:
        param = CHOICES_AT.get(call.endpoint.name, "n")
    elif asked.cap is not None and asked.cap <= each:
        return
    words = f", {each} for each of {asked.choices} choices" if asked.choices > 1 else ""
    raise GatewayError("invalid_request", f"This API key may ask for at most {most} output tokens{words}.", param=param)
