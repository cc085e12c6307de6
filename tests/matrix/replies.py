"""Which reply a cell runs on: the first recorded one that shows its case, else a fixture of the documented shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from tests.matrix import lookup_openai, lookup_vendors
from tests.matrix.meaning import Told
from tests.matrix.recorded import BROKEN, Reply, replies

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
#: What shows a case less well, for where nothing else does: here the model was cut short while it thought.
HARDLY: dict[str, Callable[[Told], bool]] = {"truncation": lambda told: told.finish == "length" and not told.calls}


def told_by(upstream: str, reply: Reply) -> Told | None:
    """What ``reply`` tells; None where it holds what the matrix has no word for."""
    try:
        return LOOKUPS[upstream](list(reply.docs), reply.stream)
    except (LookupError, TypeError, ValueError):
        return None


@cache
def read(upstream: str) -> tuple[tuple[Reply, Told], ...]:
    whole = (reply for reply in replies(upstream) if reply.status == 200 and BROKEN not in reply.features)
    found = ((reply, told_by(upstream, reply)) for reply in whole)
    return tuple((reply, told) for reply, told in found if told is not None and told.tokens is not None)


@cache
def recorded(upstream: str, case: str, stream: bool) -> tuple[Reply, Told] | None:
    found = [(reply, told) for reply, told in read(upstream) if reply.stream == stream]
    shown = (pair for pair in found if SHOWS[case](pair[0].features, pair[1]))
    hardly = (pair for pair in found if case in HARDLY and HARDLY[case](pair[1]))
    return next(shown, None) or next(hardly, None)


@cache
def broken(upstream: str) -> tuple[Reply, Told] | None:
    """A stream with an error amid its text, and what it told before."""
    for reply in replies(upstream):
        if BROKEN in reply.features and "error" in reply.docs[-1]:
            told = told_by(upstream, replace(reply, docs=reply.docs[:-1]))
            if told is not None and told.text:
                return reply, told
    return None


@cache
def refused(upstream: str) -> Reply | None:
    """An error before the first byte that is the client's own fault."""
    return next((reply for reply in replies(upstream) if reply.status in (400, 404, 422, 429)), None)
