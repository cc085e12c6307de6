"""The client's side of one request: what has been sent to it, how the next byte gets there, and whether it is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from providers.upstream import Header
from routing.headers import SAFETY

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class ClientGone(Exception):
    """The client hung up, or reads so slowly that it counts as gone."""


class Client:
    """``headers`` go out with the head, whatever is answered. ``started`` is the moment of the first byte, 0 before it:
    from then on no status can be told and nothing can be tried again. ``gone`` is set when it hangs up."""

    __slots__ = ("_send", "_timeout", "_watcher", "finished", "gone", "headers", "started", "status")

    def __init__(self, send: Send, timeout: float, headers: list[Header]) -> None:
        self._send = send
        self._timeout = timeout
        self._watcher: asyncio.Task[None] | None = None
        self.headers = headers
        self.started = 0.0
        self.status = 0
        self.gone = False
        self.finished = False

    def watch(self, receive: Receive) -> None:
        """From now on the current task is cancelled when the client hangs up. The body must have been read."""
        task = asyncio.current_task()
        assert task is not None
        self._watcher = asyncio.get_running_loop().create_task(self._watch(receive, task))

    async def _watch(self, receive: Receive, task: asyncio.Task[Any]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self.finished:
            self.gone = True
            task.cancel()

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.started = time.perf_counter()
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.headers, *SAFETY]})

    async def send(self, data: bytes, more: bool = True) -> None:
        """Send a piece of the body. Raises ClientGone where it could not be handed on in time."""
        self.finished = not more
        try:
            async with asyncio.timeout(self._timeout):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except (TimeoutError, OSError):
            raise ClientGone from None

    async def reply(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer whole."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.send(body, more=False)
