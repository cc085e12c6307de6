"""The declared changes of a same-dialect reply, event by event or whole; every other byte passes as it came."""

from __future__ import annotations

from typing import Any

import orjson

from providers import jsonbytes
from providers.sse import Event


class Edit:
    """The declared changes of a same-dialect reply; without any, bytes pass as they came.

    ``model`` is the name to write instead of the upstream's; ``withhold_usage`` drops the usage event that only we asked for.
    """

    __slots__ = ("model", "withhold_usage")

    def __init__(self, model: str | None = None, withhold_usage: bool = False) -> None:
        self.model = None if model is None else orjson.dumps(model)
        self.withhold_usage = withhold_usage

    def events(self, events: list[Event]) -> bytes:
        if self.model is None and not self.withhold_usage:
            return b"".join([event.raw for event in events])
        return b"".join([self._event(event) for event in events])

    def _event(self, event: Event) -> bytes:
        if self.withhold_usage and b'"usage"' in event.data and _only_usage(event.data):
            return b""
        if self.model is not None and b'"model' in event.data:
            return _renamed(event, self.model)
        return event.raw

    def whole(self, body: bytes, doc: dict[str, Any]) -> bytes:
        assert self.model is not None
        for name in ("model", "modelVersion"):
            if isinstance(doc.get(name), str):
                return jsonbytes.replace(body, name, self.model)
        return body


def _only_usage(data: bytes) -> bool:
    """Whether this chat chunk holds nothing but usage: empty choices beside non-null usage."""
    try:
        doc = orjson.loads(data)
    except ValueError:
        return False
    return isinstance(doc, dict) and doc.get("choices") == [] and doc.get("usage") is not None


def _renamed(event: Event, model: bytes) -> bytes:
    try:
        doc = orjson.loads(event.data)
    except ValueError:
        return event.raw
    if not isinstance(doc, dict):
        return event.raw
    for path in (("model",), ("modelVersion",), ("response", "model"), ("message", "model")):
        node: Any = doc
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, str):
            start = event.raw.find(event.data)
            if start < 0:  # data on several lines: written anew on one
                name_line = f"event: {event.type}\n".encode() if event.type else b""
                return (
                    name_line
                    + b"data: "
                    + jsonbytes.replace_nested(event.data, path, model).replace(b"\n", b"")
                    + b"\n\n"
                )
            return (
                event.raw[:start]
                + jsonbytes.replace_nested(event.data, path, model)
                + event.raw[start + len(event.data) :]
            )
    return event.raw
