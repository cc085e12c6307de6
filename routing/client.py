"""The client's side of one request: what has been sent to it, how the next byte gets there, and whether it is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from providers.light import Header
from routing.body import ClientGone
from routing.headers import SAFETY

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


STUCK = ClientGone("the client does not read")


class Client:
    """``headers`` go out with the head, whatever is answered. ``started`` is the moment of the first byte, 0 before it:
    from then on no status can be told and nothing can be tried again. ``gone`` is set when it hangs up."""

    # Set only where they differ: most requests never touch most of these.
    _reason: Exception | None = None
    deadline = 0.0
    expired: Exception | None = None
    finished = False
    gone = False
    receive: Receive | None = None
    started = 0.0
    status = 0
    ticked = False
    watcher: asyncio.Task[None] | None = None

    def __init__(self, send: Send, timeout: float, headers: list[Header]) -> None:
        self._send = send
        self._timeout = timeout
        self._task = asyncio.current_task()
        self._time = asyncio.get_running_loop().time
        self.headers = headers

    def limit(self, seconds: float, reason: Exception) -> None:
        """From now on this request waits at most so long, until the next ``limit``; 0 lifts it."""
        self._reason = reason
        self.deadline = self._time() + seconds if seconds else 0.0

    def expire(self) -> None:
        """The limit has passed: cancel what the request waits for."""
        self.deadline = 0.0
        # A new one each time: an exception that is raised again keeps every frame that it ever passed.
        self.expired = type(self._reason)(*self._reason.args) if self._reason is not None else None
        assert self._task is not None
        self._task.cancel()

    def cause(self) -> Exception | None:
        """Why the current CancelledError came: the limit's reason, None if it was not the limit."""
        expired, self.expired = self.expired, None
        if expired is not None and self._task is not None:
            self._task.uncancel()
        return expired

    def watch(self, receive: Receive) -> None:
        """From now on the request is cancelled when the client hangs up. The body must have been read."""
        self.receive = receive

    def listen(self) -> None:
        assert self.receive is not None
        self.watcher = asyncio.get_running_loop().create_task(self._listen(self.receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self.finished and self._task is not None:
            self.gone = True
            self._task.cancel()

    def leave(self) -> None:
        """The request is over."""
        self.receive = None
        if self.watcher is not None:
            self.watcher.cancel()

    async def start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.started = time.perf_counter()
        self.limit(self._timeout, STUCK)
        # ``checked`` spares a server that knows the word a second look: all of them were parsed or made here.
        out = [*headers, *self.headers, *SAFETY]
        await self._send({"type": "http.response.start", "status": status, "headers": out, "checked": True})

    async def send(self, data: bytes, more: bool = True) -> None:
        """Send a piece of the body. Raises ClientGone where it could not be handed on in time."""
        self.finished = not more
        self.limit(self._timeout, STUCK)
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except OSError:
            raise ClientGone from None
        self.deadline = 0.0

    async def reply(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer whole."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.send(body, more=False)
