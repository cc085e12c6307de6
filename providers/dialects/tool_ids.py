"""Tool call ids where a dialect has none: made from the position, and matched to results by name and order."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace

from providers.chat import Message, Part, ToolCall, ToolResult


def with_ids(messages: list[Message]) -> list[Message]:
    """``messages`` in which every call has an id and every result its call's id and name.

    A result without an id answers the oldest open call of its name; one whose call is not there keeps what it has.
    """
    return _Ids().run(messages)


class _Ids:
    def __init__(self) -> None:
        self.made = 0
        self.called: dict[str, ToolCall] = {}
        self.open: dict[str, deque[str]] = defaultdict(deque)

    def run(self, messages: list[Message]) -> list[Message]:
        return [Message(m.role, [self._part(part) for part in m.parts], m.extra) for m in messages]

    def _part(self, part: Part) -> Part:
        if isinstance(part, ToolCall):
            return self._call(part)
        return self._result(part) if isinstance(part, ToolResult) else part

    def _call(self, call: ToolCall) -> ToolCall:
        if not call.id:
            self.made += 1
            call = replace(call, id=f"call_{self.made}")
        self.called[call.id] = call
        self.open[call.name].append(call.id)
        return call

    def _result(self, result: ToolResult) -> ToolResult:
        waiting = self.open[result.name]
        if not result.call_id and waiting:
            return replace(result, call_id=waiting.popleft())
        if result.call_id in waiting:
            waiting.remove(result.call_id)
        call = self.called.get(result.call_id)
        if result.name or call is None:
            return result
        return replace(result, name=call.name, namespace=call.namespace)
