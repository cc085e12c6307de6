"""The unified completion: a chat request whose reply is one flat object, or lines of ``{"delta", "done"}``. Client side only.

The reply is ``{id, model, provider, content, usage{prompt_tokens, completion_tokens, total_tokens, cost}, finish_time}``;
who made it and what it cost is not in the events: the gateway fills in ``provider`` and ``cost``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from providers.chat import BadRequest, Chat, Json
from providers.dialects import openai_chat
from providers.dialects.folding import fold
from providers.dialects.ids import made
from providers.events import Event, Failed, Finished, RefusalDelta, TextDelta, cut_short
from providers.usage import Usage

NAME = "unified"
write_error = openai_chat.write_error


def read_request(doc: Any, path_info: str = "") -> Chat:
    """As chat completions: ``model``, ``messages`` and what else those take. Raises BadRequest."""
    chat = openai_chat.read_request(doc, path_info)
    for field, asked in (("tools", chat.tools), ("n", chat.n not in (None, 1)), ("logprobs", chat.logprobs)):
        if asked:
            raise BadRequest(field, "has no place in the reply of the unified completion: use /v1/chat/completions")
    return chat


def _usage(usage: Usage | None) -> Json:
    usage = usage or Usage()
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "cost": None,
    }


def write_response(events: Iterable[Event], chat: Chat) -> Json:
    """The whole reply; texts and refusals of the first choice are its content."""
    found = list(events)
    reply = fold(found)
    texts = [event.text for event in found if isinstance(event, TextDelta | RefusalDelta) and not event.choice]
    return {
        "id": reply.started.id or made("cmpl-"),
        "model": reply.started.model or chat.model,
        "provider": "",
        "content": "".join(texts),
        "usage": _usage(reply.usage),
        "finish_time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _line(delta: str, done: bool) -> bytes:
    return b"data: " + orjson.dumps({"delta": delta, "done": done}) + b"\n\n"


class StreamWriter:
    """One line for each piece of text; the last has ``done`` true. A failure is a line with ``error``, and ends it."""

    def __init__(self, chat: Chat) -> None:
        self.finished = self.failed = False

    def feed(self, event: Event) -> bytes:
        if isinstance(event, TextDelta | RefusalDelta):
            return b"" if event.choice or not event.text else _line(event.text, False)
        if isinstance(event, Finished):
            self.finished = True
        if isinstance(event, Failed) and not self.failed:
            self.failed = True
            return b"data: " + orjson.dumps(write_error(event)[1] | {"delta": "", "done": True}) + b"\n\n"
        return b""

    def flush(self) -> bytes:
        if self.failed:
            return b""
        return _line("", True) if self.finished else self.feed(cut_short())
