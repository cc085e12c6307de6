"""Keeps e-mail addresses, card numbers, IBANs, telephone numbers and what else is asked for out of requests and replies.

Each is replaced by its name in brackets. With ``restore`` they are numbered, and where a reply repeats ``[EMAIL_1]`` the
client reads what it had sent. Numbers that are JSON numbers, names of members, and media are not looked into; log
probabilities, which repeat a reply's text in pieces, are taken out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from providers.events import Cited, Logprobs, OpaqueAdded
from providers.sse import Event as SseEvent
from providers.sse import write
from routing.hooks import HookCall, HookReply, Means, OptionError, option
from routing.shipped.custom import PatternError, custom
from routing.shipped.deltas import NOTHING, Found, in_doc, in_event
from routing.shipped.finders import FINDERS, Known
from routing.shipped.running import Running
from routing.shipped.scanner import Finder, Instead, redacted
from routing.shipped.texts import slots
from tenants.ledger import Entry

#: Bytes from which on a body is looked through in a thread: it can take a second for a megabyte.
LARGE = 65_536
#: Running texts and members that hold JSON as text.
JSON_TEXTS = ("tool", "partial_json", "arguments", "response.function_call_arguments.delta")


class Memory:
    """What was taken out of one request."""

    def __init__(self, numbered: bool) -> None:
        self.numbered = numbered
        self.placeholders: dict[str, str] = {}  # by what they stand for
        self.texts: dict[str, str] = {}  # and the other way round
        self.avoid = b""
        self.running: Running | None = None
        self._counts: dict[str, int] = {}

    def hide(self, name: str, value: str) -> str:
        if not self.numbered:
            return f"[{name}]"
        if value not in self.placeholders:
            found = self._next(name)
            while found.encode() in self.avoid:  # the client has written this one itself
                found = self._next(name)
            self.placeholders[value] = found
            self.texts[found] = value
        return self.placeholders[value]

    def _next(self, name: str) -> str:
        self._counts[name] = self._counts.get(name, 0) + 1
        return f"[{name}_{self._counts[name]}]"


class Redact:
    on_failure = "closed"

    @dataclass(frozen=True)
    class Options:
        kinds: tuple[Literal["email", "card", "iban", "phone"], ...] = option(
            ("email", "card", "iban", "phone"), "What is looked for."
        )
        patterns: dict[str, str] = option({}, "Patterns of your own by name, such as EMPLOYEE: \\bE-\\d{6}\\b.")
        requests: bool = option(True, "Redact what goes to providers.")
        replies: bool = option(True, "Redact what comes back.")
        restore: bool = option(False, "Put back into replies what was taken out of their requests.")

        def __post_init__(self) -> None:
            for name, pattern in self.patterns.items():
                if not name.isidentifier():
                    raise OptionError(f"patterns.{name}", "must be a name of letters, digits and _")
                try:
                    custom(name, pattern)
                except PatternError as error:
                    raise OptionError(f"patterns.{name}", str(error)) from None

    def __init__(self, options: Options, means: Means) -> None:
        self.options = options
        self.finders: list[Finder] = [custom(name, pattern) for name, pattern in options.patterns.items()]
        self.finders += [finder for kind, found in FINDERS.items() if kind in options.kinds for finder in found]

    def _memory(self, call: HookCall) -> Memory:
        found = call.notes.get(self)
        if not isinstance(found, Memory):
            found = call.notes[self] = Memory(self.options.restore)
        return found

    # requests

    def before_request(self, call: HookCall) -> Awaitable[None] | None:
        if not self.options.requests or call.form != "json":
            return None
        if len(call.body) > LARGE:
            return asyncio.to_thread(self._request, call)
        self._request(call)
        return None

    def _request(self, call: HookCall) -> None:
        memory = self._memory(call)
        memory.avoid = call.body if self.options.restore else b""
        for slot in slots(call.doc):
            if (told := redacted(slot.text, self.finders, memory.hide)) != slot.text:
                slot.put(told)

    # replies

    def _reading(self, call: HookCall) -> Sequence[Finder]:
        """What is looked for in the reply."""
        memory = self._memory(call)
        known: list[Finder] = [Known(memory.texts)] if memory.texts else []
        return [*known, *self.finders] if self.options.replies else known

    def _instead(self, call: HookCall, kind: str) -> Instead:
        memory = self._memory(call)

        def instead(name: str, value: str) -> str | None:
            if name == Known.name:
                text = memory.texts[value]
                return orjson.dumps(text)[1:-1].decode() if kind in JSON_TEXTS else text
            return None if value in memory.placeholders else f"[{name}]"

        return instead

    def _whole(self, call: HookCall, doc: Any, found: Found = NOTHING) -> bool:
        """Redact the texts of ``doc`` that are whole; whether it has changed."""
        changed = self.options.replies and _without_logprobs(doc)
        finders, running = self._reading(call), {(id(piece.holder), piece.name) for piece in found.pieces}
        for slot in slots(doc):
            if (id(slot.holder), slot.key) in running:
                continue
            told = redacted(slot.text, finders, self._instead(call, str(slot.key)))
            if told != slot.text:
                slot.put(told)
                changed = True
        return changed

    def on_event(self, call: HookCall, event: Any) -> Any:
        memory = self._memory(call)
        if memory.running is None:
            memory.running = Running(self._reading(call), lambda kind: self._instead(call, kind))
        if isinstance(event, SseEvent):
            return self._raw(call, event, memory.running)
        if isinstance(event, Logprobs) and self.options.replies:
            return None
        if isinstance(event, OpaqueAdded):
            self._whole(call, event.raw)
        elif isinstance(event, Cited):
            event = replace(event, citation=replace(event.citation))
            told = {"quote": event.citation.quote, "title": event.citation.title}
            if self._whole(call, [told, event.citation.raw]):
                event.citation.quote, event.citation.title = told["quote"], told["title"]
        copy, found = in_event(event)
        return memory.running.feed(event, found, False, lambda: copy)

    def _raw(self, call: HookCall, event: SseEvent, running: Running) -> list[Any]:
        if event.type == "ping":
            return [event]
        try:
            doc = orjson.loads(event.data)
        except ValueError:
            doc = None
        if not isinstance(doc, dict):
            return [*running.end(), event]
        found = in_doc(call.api, doc)
        changed = self.options.replies and b'"logprobs"' in event.data and _without_logprobs(doc)
        if not found.encoded:
            changed = self._whole(call, doc, found) or changed

        def again() -> SseEvent:
            data = orjson.dumps(doc)
            return SseEvent(event.type, data, write(data, event.type))

        return running.feed(event, found, changed, again)

    def on_end(self, call: HookCall) -> list[Any]:
        running = self._memory(call).running
        return running.end() if running is not None else []

    def after_response(self, call: HookCall, reply: HookReply, entry: Entry) -> Awaitable[bool] | bool:
        if reply.body is None or not isinstance(reply.doc, dict | list):
            return False
        if len(reply.body) > LARGE:
            return asyncio.to_thread(self._whole, call, reply.doc)
        return self._whole(call, reply.doc)


def _without_logprobs(doc: Any) -> bool:
    """Empty every ``logprobs`` in ``doc``; whether there was any."""
    changed, stack = False, [doc]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for name, value in node.items():
                if name in ("logprobs", "logprobsResult") and value:
                    node[name] = [] if isinstance(value, list) else None
                    changed = True
                else:
                    stack.append(value)
        elif isinstance(node, list):
            stack += node
    return changed
