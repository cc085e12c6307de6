"""The WebSocket of the Responses API in this process: sockets into a data plane, and upstreams of both kinds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from routing import urls
from routing.table import Table
from tests.inprocess import KEY, Plane, route, table, upstream

LIMIT = 60.0
LAST = ("response.completed", "response.incomplete", "response.failed", "error")
PATH = "/v1/responses"
Doc = dict[str, Any]

router = URLRouter(urls.websocket_urlpatterns)


class Socket:
    """One connection, as a client has it."""

    def __init__(self, plane: Plane, key: str = KEY, path: str = PATH, **headers: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await router({**scope, "gateway": plane.gateway, "extensions": self.extensions}, receive, send)

        self.extensions: Doc = {}
        sent = {**({"authorization": f"Bearer {key}"} if key else {}), **headers}
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
        self.wire = WebsocketCommunicator(app, path, pairs)

    async def send(self, **message: Any) -> None:
        await self.wire.send_json_to(message)

    async def create(self, text: str = "hi", **fields: Any) -> None:
        await self.send(**{"type": "response.create", "model": "gpt", "input": text, **fields})

    async def event(self) -> Doc:
        return dict(await self.wire.receive_json_from(LIMIT))

    async def events(self) -> list[Doc]:
        """Those of one turn, to its last."""
        found = [await self.event()]
        while found[-1]["type"] not in LAST:
            found.append(await self.event())
        return found

    async def turn(self, text: str = "hi", **fields: Any) -> Doc:
        """The last event of a turn."""
        await self.create(text, **fields)
        return (await self.events())[-1]

    async def closed(self) -> int:
        """The code with which the gateway closes."""
        message = await self.wire.receive_output(LIMIT)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def leave(self) -> None:
        await self.wire.disconnect(timeout=LIMIT)


@contextlib.asynccontextmanager
async def connected(plane: Plane, key: str = KEY, **headers: str) -> AsyncIterator[Socket]:
    socket = Socket(plane, key, **headers)
    accepted, _ = await socket.wire.connect(LIMIT)
    assert accepted
    yield socket
    await socket.leave()


def chat_only(**changes: Any) -> Table:
    """The model gpt at an upstream that has no Responses API."""
    return table(route("gpt", upstream(apis=frozenset({"chat"}))), **changes)


def native(**changes: Any) -> Table:
    return table(route("gpt", upstream(apis=frozenset({"responses"}))), **changes)


def chat_stream(words: str = "ho") -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "real"}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    chunks: list[Doc] = [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": words}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": usage},
    ]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def response(number: int, store: bool, status: str = "completed") -> Doc:
    part = {"type": "output_text", "text": f"answer {number}", "annotations": []}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    known = {"id": f"resp_{number}", "object": "response", "status": status, "model": "gpt", "store": store}
    return {**known, "output": [message], "usage": usage}


def response_stream(doc: Doc, names: bool = True) -> bytes:
    """The events of ``doc``, each named in a line of its own or not."""
    begun = {**doc, "status": "in_progress", "output": [], "usage": None}
    events: list[Doc] = [{"type": "response.created", "response": begun}]
    events += [{"type": "response.output_text.delta", "delta": "answer", "item_id": "msg_1", "output_index": 0}]
    events += [{"type": "response.output_item.done", "output_index": 0, "item": item} for item in doc["output"]]
    events += [{"type": f"response.{doc['status']}", "response": doc}]
    return b"".join(
        (f"event: {event['type']}\n".encode() if names else b"")
        + b"data: "
        + json.dumps({**event, "sequence_number": n}).encode()
        + b"\n\n"
        for n, event in enumerate(events)
    )


def streamed(content: Any) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)


def said(body: Doc) -> list[str]:
    """The texts of a request's conversation in their order, in either API."""
    found: list[str] = []
    for item in body.get("messages") or body.get("input") or []:
        content = item.get("content")
        parts = [{"text": content}] if isinstance(content, str) else content or []
        found += [part["text"] for part in parts if "text" in part]
    return found
