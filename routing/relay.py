"""Carries the reply of an upstream that speaks the client's dialect: byte for byte, save what the route declares."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from providers.errors import ReplyBroken, UpstreamError
from providers.light import Header
from providers.sse import Event, Parser
from routing.body import ClientGone
from routing.client import Client
from routing.cutting import Cut, cut_of
from routing.errors import GatewayError, of_upstream, write_event
from routing.headers import returned
from routing.held import SILENT, Held

if TYPE_CHECKING:
    from routing.hook_stream import Stream

TAIL: Final = 65536
#: How many seconds the end of a stream may take after its terminator, once nobody waits for it.
END_NEAR: Final = 0.25


class Relayed(Held):
    """A reply in the client's own dialect."""

    async def send(self, client: Client) -> None:
        """Send it all. From here on an error is an event in the stream, or an early end."""
        headers = [*returned(self.reply.headers), *self.extra_headers]
        if self.tap.objects:
            await self.call.keep_objects(self.tap)
        if self.stream:
            hooks = self.call.hooked.stream(raw=True) if self.call.hooked is not None else None
            first = self._pending if hooks is None else await hooks.feed(self._pending)
            if not isinstance(self._parser, Parser):  # events that were framed otherwise
                headers = [(b"content-type", b"text/event-stream"), *(h for h in headers if h[0] != b"content-type")]
            await client.start(
                self.reply.status, [*headers, (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
            )
            await self._send_events(client, first, hooks)
        elif self.complete:
            await client.reply(self.reply.status, headers, self.body)
        else:
            await self._send_rest(client, headers)

    async def _send_events(self, client: Client, first: list[Event], hooks: Stream | None) -> None:
        try:
            await self._pass(client, first, hooks)
        except UpstreamError as error:
            self.call.fail(error)
            await self._say(client, of_upstream(error))
        except GatewayError as error:  # a hook's word
            self.call.entry.error_kind = error.kind
            await self._say(client, error)
        except asyncio.CancelledError:
            cause = client.cause()
            if not isinstance(cause, UpstreamError):
                if client.gone and client.served:
                    await self._take_leave(client)
                raise cause or ClientGone from None
            self.call.fail(cause)
            await self._say(client, of_upstream(cause))
        await client.send(b"", more=False)

    async def _take_leave(self, client: Client) -> None:
        """The client has hung up at the terminator, as SDKs do. Its upstream's end is near: once that is read, the
        connection serves the next request."""
        client.limit(END_NEAR, SILENT)
        try:
            while await self.reply.next():
                pass
        except UpstreamError:
            return
        except asyncio.CancelledError:
            if client.cause() is None:
                raise  # the server is going down

    async def _pass(self, client: Client, events: list[Event], hooks: Stream | None) -> None:
        """Pass the events on, ``events`` first, until there are no more. Raises UpstreamError, GatewayError."""
        call, tap, edit, idle = self.call, self.tap, self.edit, self.call.idle
        cut = cut_of(call, tap)
        read = self._next if self._decoder is not None else self.reply.next
        await client.send(data := edit.events(events))
        client.served = tap.over and hooks is None
        while not self.complete:
            if cut is not None and cut.passed(data):
                await self._cut(client, cut, hooks)
                return
            client.limit(idle, SILENT)
            chunk = await read()
            events = self._events(chunk)
            self.complete = not chunk
            tap.feed(events)
            if tap.objects:
                await call.keep_objects(tap)
            if hooks is not None:
                client.deadline = 0.0  # hooks have limits of their own
                events = await hooks.feed(events)
            if data := edit.events(events):
                await client.send(data)
            if tap.over and hooks is None:
                client.served = True
        if not tap.complete and not tap.failed:
            raise ReplyBroken("the provider's stream ended before its end")
        if hooks is not None and (data := edit.events(await hooks.end())):
            await client.send(data)

    async def _cut(self, client: Client, cut: Cut, hooks: Stream | None) -> None:
        """End the stream here, its upstream first."""
        await self.reply.close()
        if hooks is not None and (data := self.edit.events(await hooks.end())):
            await client.send(data)
            cut.passed(data)
        await client.send(cut.ending())

    async def _say(self, client: Client, error: GatewayError) -> None:
        """Tell a failure after the first byte as an event of the client's dialect."""
        call = self.call
        if call.hooked is not None:
            await call.hooked.fail(error)
        event = write_event(
            call.endpoint.dialect, call.endpoint.api, error, call.entry.request_id, self.tap.sequence + 1
        )
        await client.send(event)

    async def _send_rest(self, client: Client, headers: list[Header]) -> None:
        """A reply too large to hold, or of a type that needs no look inside."""
        if self._decoder is None and (length := self.reply.headers.get(b"content-length")):
            headers = [*headers, (b"content-length", length)]
        await client.start(self.reply.status, headers)
        tail = self.body[-TAIL:]
        if self.body:
            await client.send(self.body)
            self.body = b""
        while True:
            client.limit(self.call.idle, SILENT)
            chunk = await self._next()
            if not chunk:
                break
            await client.send(chunk)
            tail = (tail + chunk)[-TAIL:] if len(chunk) < TAIL else chunk[-TAIL:]
        self.tap.tail(tail)
        await client.send(b"", more=False)
