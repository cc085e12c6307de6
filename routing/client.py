"""The client's side of one request: what has been sent to it, how the next byte gets there, and whether it is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

from providers.light import Header
from routing.body import ClientGone
from routing.headers import SAFETY, lines, read_lines

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


#: The ASGI extension of a server that can do without messages: ``gateway_project.cycle``.
WHOLE: Final = "gateway.whole"


class Whole(Protocol):
    def take(self) -> bytes | None:
        """The body, if all of it is there already; it is then taken."""

    def reply(self, status: int, head: list[bytes], body: bytes) -> bool:
        """Send a head, written out with its content-length, and a body at once, or say that it was not done."""


#: The head of a stream whose upstream has not answered yet.
STREAM: Final[list[Header]] = [
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),
    (b"cache-control", b"no-cache"),
]
SAFE: Final = b"".join(lines(SAFETY))
STUCK: Final = ClientGone("the client does not read")


class Client:
    """``head`` are lines, in pieces, that go out whatever is answered. ``started`` is the moment of the first byte, 0 before it:
    from then on no status can be told and nothing can be tried again. ``gone`` is set when it hangs up, ``served`` when
    it has the terminator of its stream: whoever hangs up then has not left early. ``whole`` is the server's, where it has
    one.

    ``keep_alive`` is after how many seconds of silence ``beat`` is sent into a stream, 0 for never; ``beaten`` is set where
    that was the first byte."""

    # Set only where they differ: most requests never touch most of these.
    _reason: Exception | None = None
    _beating: asyncio.Task[None] | None = None
    _sending = False
    beat = b""
    beaten = False
    bound = 0.0
    deadline = 0.0
    keep_alive = 0.0
    sent_at = 0.0
    served = False
    expired: Exception | None = None
    finished = False
    gone = False
    receive: Receive | None = None
    started = 0.0
    status = 0
    ticked = False
    watcher: asyncio.Task[None] | None = None

    def __init__(self, send: Send, timeout: float, head: list[bytes]) -> None:
        self._send = send
        self._timeout = timeout
        self._task = asyncio.current_task()
        self._time = asyncio.get_running_loop().time
        self.head = head
        self.whole: Whole | None = None

    def within(self, seconds: float) -> None:
        """From now on no limit is later than in so many seconds, until ``bound`` is 0 again."""
        self.bound = self._time() + seconds

    def limit(self, seconds: float, reason: Exception) -> None:
        """From now on this request waits at most so long, until the next ``limit``; 0 lifts it."""
        self._reason = reason
        self.deadline = self._time() + seconds if seconds else 0.0
        if self.bound and self.deadline > self.bound:
            self.deadline = self.bound

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
        self.keep_alive = 0.0
        if self.watcher is not None:
            self.watcher.cancel()
        if self._beating is not None:
            self._beating.cancel()

    def stay(self, seconds: float, beat: bytes) -> None:
        """From now on ``beat`` fills every silence of so many seconds."""
        self.keep_alive, self.beat, self.sent_at = seconds, beat, self._time()

    def tick(self, now: float) -> None:
        """Send a beat if it is time. Never between the pieces of one event: those are sent in one piece."""
        if now - self.sent_at >= self.keep_alive and not (self._sending or self.finished or self.gone):
            self.sent_at = now
            if self._beating is None or self._beating.done():
                self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        try:
            if not self.started:
                self.beaten = True
                await self._head(200, STREAM)
            await self._send({"type": "http.response.body", "body": self.beat, "more_body": True})
        except OSError:
            return  # the listener finds out

    async def _beat_sent(self) -> None:
        """Wait for a beat that is just being sent."""
        beating, self._beating = self._beating, None
        if beating is not None and not beating.done():
            await asyncio.wait((beating,))

    async def start(self, status: int, headers: list[Header]) -> None:
        """Send the head; where a beat was sent before, the client has one already."""
        if self.keep_alive:
            self._sending = True
            await self._beat_sent()
        if not self.beaten:
            self.limit(self._timeout, STUCK)
            await self._head(status, headers)

    async def _head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.started = time.perf_counter()
        # ``checked`` spares a server that knows the word a second look: all of them were parsed or made here.
        out = [*headers, *read_lines(self.head), *SAFETY]
        await self._send({"type": "http.response.start", "status": status, "headers": out, "checked": True})

    async def send(self, data: bytes, more: bool = True) -> None:
        """Send a piece of the body. Raises ClientGone where it could not be handed on in time."""
        self.finished = not more
        # As ``limit`` does; no bound is on once a reply is sent.
        self._reason, self.deadline = STUCK, self._time() + self._timeout if self._timeout else 0.0
        if self.keep_alive:
            self._sending = True
            await self._beat_sent()
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except OSError:
            raise ClientGone from None
        self.deadline = 0.0
        if self.keep_alive:
            self._sending, self.sent_at = False, self._time()

    async def reply(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer whole."""
        if self.whole is not None and not self.keep_alive:
            head = lines(headers)
            head.append(f"content-length: {len(body)}\r\n".encode())
            head += self.head
            head.append(SAFE)
            if self.whole.reply(status, head, body):
                self.finished, self.status, self.started = True, status, time.perf_counter()
                return
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.send(body, more=False)
