"""The ``send`` of one turn of a WebSocket: what would be the reply to a request becomes messages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from providers.light import Header
from providers.sse import Event, Parser
from routing import messages
from routing.call import Call
from routing.client import Message
from routing.messages import Doc

#: Events that mean something here. A text may hold these words too: whoever finds them looks at the type.
NOTED = re.compile(rb'"(?:response\.(?:completed|incomplete|failed|cancelled|output_item\.done)|error)"')
LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"})
GONE_ON_FROM = frozenset({"response.completed", "response.incomplete"})


class TurnReply:
    """``call`` is set once the turn has one. ``ended``: the client was told how the turn ended; ``failed``: that it
    failed. ``remember`` gets the response, with its output, before the client can name it."""

    call: Call | None = None
    ended = False
    failed = False

    def __init__(
        self, tell: Callable[[str], Awaitable[None]], lane: str, remember: Callable[[Call, Doc], None]
    ) -> None:
        self.tell = tell
        self.lane = lane
        self.remember = remember
        self.body = b""
        self.headers: dict[str, str] = {}
        self.items: list[Doc] = []
        self.parser: Parser | None = None
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = _told(message["headers"])
            # Not every upstream says that it streams; JSON they all call so.
            if self.status < 400 and b"json" not in dict(message["headers"]).get(b"content-type", b""):
                self.parser = Parser()
        elif self.parser is not None:
            events = self.parser.feed(message["body"])
            if not message.get("more_body"):
                events += self.parser.flush()
            for event in events:
                await self._event(event)
        else:
            self.body += message["body"]
            if not message.get("more_body"):
                await self._whole()

    async def _event(self, event: Event) -> None:
        data = event.data
        if self.ended or not data or data == b"[DONE]":
            return
        if NOTED.search(data) is not None:
            data = self._noted(data)
        await self.tell(messages.text(data, self.lane))

    def _noted(self, data: bytes) -> bytes:
        try:
            doc = orjson.loads(data)
        except ValueError:
            return data
        kind = doc.get("type") if isinstance(doc, dict) else None
        if kind == "response.output_item.done":
            self.items.append(doc["item"])
        elif kind in LAST:
            self.ended, self.failed = True, kind not in GONE_ON_FROM
            if kind in GONE_ON_FROM:
                self._remember(doc.get("response"))
            if kind == "error":
                return orjson.dumps(self._error(doc))
        return data

    def _remember(self, response: Any) -> None:
        """Some upstreams repeat nothing of the output at the end."""
        if self.call is not None and isinstance(response, dict) and isinstance(response.get("id"), str):
            self.remember(self.call, {**response, "output": response.get("output") or self.items})

    def _error(self, doc: Doc) -> Doc:
        told = self.call.entry.status if self.call is not None else 0
        number = {"sequence_number": doc["sequence_number"]} if "sequence_number" in doc else {}
        return messages.error_event(doc, told if told >= 400 else 500, self.headers) | number

    async def _whole(self) -> None:
        try:
            doc: Any = orjson.loads(self.body)
        except ValueError:
            doc = {"message": self.body[:1000].decode("utf-8", "replace")} if self.status >= 400 else None
        if self.status < 400 and isinstance(doc, dict) and isinstance(doc.get("output"), list):
            for event in messages.whole(doc):
                await self._event(Event("", orjson.dumps(event), b""))
        else:
            await self.fail(doc, self.status if self.status >= 400 else 502)

    async def fail(self, told: Any, status: int) -> None:
        """End the turn with an error, told as the body of a reply is."""
        self.ended = self.failed = True
        event = messages.error_event(told, status, self.headers)
        await self.tell(messages.text(orjson.dumps(event), self.lane))


def _told(headers: list[Header]) -> dict[str, str]:
    """The headers of a reply that a message can tell, too: whose they are by name, and when to come again."""
    return {
        name.decode(): value.decode("latin-1")
        for name, value in headers
        if name in (b"x-request-id", b"retry-after", b"x-should-retry") or name.startswith(b"x-gateway-")
    }
