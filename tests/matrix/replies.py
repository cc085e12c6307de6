"""Which reply a cell runs on: the first recorded one that shows its case, else a fixture of the documented shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from tests.matrix import lookup_openai, lookup_vendors
from tests.matrix.meaning import Told
from tests.matrix.recorded import Reply, replies

LOOKUPS: dict[str, Callable[..., Told]] = {
    "chat": lookup_openai.chat,
    "responses": lookup_openai.responses,
    "messages": lookup_vendors.messages,
    "generate": lookup_vendors.generate,
    "ollama": lookup_vendors.ollama,
    "converse": lookup_vendors.converse,
    "cohere": lookup_vendors.cohere,
}
SAYS_NO = ("refused", "refusal", "content_filter")


def answers(told: Told) -> bool:
    """A text and nothing else, to its end."""
    return bool(told.text) and told.finish == "stop" and not told.calls and not told.refusal


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


#: Case -> whether a reply shows it, by what its request had and by what it tells.
SHOWS: dict[str, Callable[[frozenset[str], Told], bool]] = {
    "text": lambda had, told: answers(told) and not had & {"tools", "json_schema", "multi_turn"},
    "system": lambda had, told: answers(told) and "system" in had,
    "multi-turn": lambda had, told: answers(told) and "multi_turn" in had,
    "one tool": lambda had, told: len(told.calls) == 1 and told.finish == "tool_calls",
    "parallel tools": lambda had, told: len(told.calls) > 1 and told.finish == "tool_calls",
    "tool results": lambda had, told: answers(told) and "tool_result" in had,
    "image": lambda had, told: answers(told) and "image" in had,
    "pdf": lambda had, told: answers(told) and "document" in had,
    "json schema": lambda had, told: answers(told) and "json_schema" in had and _is_json(told.text),
    "reasoning": lambda had, told: answers(told) and bool(told.thinking),
    "refusal": lambda had, told: told.finish in SAYS_NO and not told.calls,
    "truncation": lambda had, told: told.finish == "length" and bool(told.text) and not told.calls,
    "stop sequence": lambda had, told: (
        not told.calls and (told.finish == "stop_sequence" or (told.native.lower() == "stop" in had))
    ),
}


def told_by(upstream: str, reply: Reply) -> Told | None:
    """What ``reply`` tells; None where it holds what the matrix has no word for."""
    try:
        return LOOKUPS[upstream](list(reply.docs), reply.stream)
    except (LookupError, TypeError, ValueError):
        return None


@cache
def read(upstream: str) -> tuple[tuple[Reply, Told], ...]:
    found = ((reply, told_by(upstream, reply)) for reply in replies(upstream) if reply.status == 200)
    return tuple((reply, told) for reply, told in found if told is not None and told.tokens is not None)


@cache
def recorded(upstream: str, case: str, stream: bool) -> tuple[Reply, Told] | None:
    shown = ((r, told) for r, told in read(upstream) if r.stream == stream and SHOWS[case](r.features, told))
    return next(shown, None)


@cache
def refused(upstream: str) -> Reply | None:
    """An error before the first byte that is the client's own fault."""
    return next((reply for reply in replies(upstream) if reply.status in (400, 404, 422, 429)), None)
