"""One request to a gateway in the same process: no socket, no server, and all that a request passes otherwise."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import aclosing
from typing import Any

import orjson

from providers.dialects import failures
from providers.light import Header
from providers.sse import Parser
from routing.client import Message
from routing.errors import KINDS, GatewayError, kind_of_status

#: Bytes of a reply that wait for a caller who takes his time; then the upstream waits, too.
MOST_WAITING = 2**20
#: Seconds for a stream to end by itself, which has told that it failed.
GRACE = 5.0
DONE = b"[DONE]"
NO_JSON = "The reply is not JSON."

Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Exchange:
    """``POST path`` with a JSON body to ``app``. It runs in a task of its own, so that its limits of time and whoever
    cancels the caller do not get in each other's way; leaving the block ends it, as a client's hanging up does.
    ``under_way`` holds the tasks of all such requests."""

    def __init__(
        self, app: Application, path: str, body: bytes, headers: list[Header], under_way: set[asyncio.Future[None]]
    ) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._app = app
        self._under_way = under_way
        self._body: bytes | None = body
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._grace = 0.0
        self._complete = False
        self._moved = asyncio.Event()  # something came, or was taken
        self._scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), *headers],
        }

    async def __aenter__(self) -> Exchange:
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        self._under_way.add(self._task)
        self._task.add_done_callback(self._ended)
        try:
            await self._until(lambda: bool(self.status))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        if self._grace:
            await asyncio.wait((self._task,), timeout=self._grace)
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._under_way.discard(task)
        self._moved.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds, or the request is over."""
        while not condition() and not self._task.done():
            self._moved.clear()
            await self._moved.wait()

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            await asyncio.get_running_loop().create_future()  # the end of the block is what ends it
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        elif data := message.get("body"):
            while self._waiting > MOST_WAITING:
                self._moved.clear()
                await self._moved.wait()
            self._pieces.append(data)
            self._waiting += len(data)
        self._moved.set()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes; at its end the request is settled."""
        while True:
            while self._pieces:
                data = self._pieces.popleft()
                self._waiting -= len(data)
                self._moved.set()
                yield data
            if self._task.done():
                return
            await self._until(lambda: bool(self._pieces))

    async def document(self) -> Any:
        """The JSON of a whole reply. Raises GatewayError for what is none, and where the reply is an error."""
        body = b"".join([piece async for piece in self.pieces()])
        try:
            doc = orjson.loads(body)
        except ValueError:
            doc = None
        if not self.status or self.status >= 400:
            raise self._refusal(doc)
        if doc is None:
            raise GatewayError("server_error", NO_JSON)
        return doc

    async def events(self) -> AsyncGenerator[Any]:
        """The documents of a streamed reply. Raises GatewayError where it is an error, or breaks off."""
        if not self.status or self.status >= 400:
            await self.document()
        parser = Parser()
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                for data in self._data(parser, piece):
                    yield self._told(data)
        if not self._complete:
            raise GatewayError("network", "The stream ended before its end.")

    def _data(self, parser: Parser, piece: bytes) -> Iterator[bytes]:
        for event in parser.feed(piece):
            self._complete = self._complete or event.data == DONE
            if not self._complete and not event.silent:
                yield event.data

    def _told(self, data: bytes) -> Any:
        """The document of an event. Raises GatewayError where it is an error."""
        try:
            doc = orjson.loads(data)
        except ValueError:
            raise GatewayError("server_error", NO_JSON) from None
        error = doc.get("error") if isinstance(doc, dict) else None
        if not isinstance(error, dict):
            return doc
        self._grace = GRACE
        found = failures.failed(0, error.get("message"), error.get("code") or "", error.get("type"), error.get("param"))
        raise GatewayError(found.kind, found.message, param=found.param or None, code=found.code or None)

    def _refusal(self, doc: Any) -> GatewayError:
        error = doc.get("error") if isinstance(doc, dict) else None
        told: dict[str, Any] = error if isinstance(error, dict) else {}
        status = self.status or 500
        kind = self.headers.get(b"x-gateway-error", b"").decode("latin-1")
        wait = self.headers.get(b"retry-after", b"0").decode("latin-1")
        return GatewayError(
            kind if kind in KINDS else kind_of_status(status),
            str(told.get("message") or "The request failed."),
            status=status,
            param=told.get("param"),
            code=told.get("code"),
            retry_after=float(wait) if wait.isdecimal() else 0,
        )
