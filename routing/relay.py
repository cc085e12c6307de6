"""Carries an upstream's reply to the client: held until it is sure, then byte for byte, with a tap reading along.

Nothing is sent before the first complete event of a stream that is neither comment, ping nor error, and a whole JSON
reply is read and parsed first: until then another target can still answer. Larger replies and binary ones commit at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from providers.errors import ReplyBroken, TimedOut, UpstreamError
from providers.events import Failed
from providers.light import Header
from providers.sse import Event, EventTooLong, Parser
from providers.upstream import Reply
from providers.variants import Frames
from routing.body import ClientGone
from routing.call import Call
from routing.client import Client
from routing.edit import Edit
from routing.encodings import Decoder, EncodingError, decoder
from routing.errors import GatewayError, of_upstream, write_error, write_event
from routing.headers import returned
from routing.tap import Tap, is_error

MAX_WHOLE = 8 * 1024 * 1024
MAX_HELD = 4 * 1024 * 1024
TAIL = 65536
STREAM_TYPES = ("text/event-stream",)
NO_PARSER = Parser()
SILENT = TimedOut("the provider fell silent in the middle of its reply")


class ErrorFirst(ReplyBroken):
    """A stream whose first event is an error."""

    kind = "server_error"


class Held:
    """A reply that has begun and of which the client has seen nothing yet. ``ours``: it is an error of the gateway's
    account at the provider, whatever its status."""

    body = b""
    complete = False
    ours = False
    _decoder: Decoder | None = None
    _parser: Frames = NO_PARSER

    def __init__(self, call: Call, reply: Reply, edit: Edit) -> None:
        self.content_type = reply.header(b"content-type")
        self.call = call
        self.reply = reply
        self.edit = edit
        self.tap = Tap(call.endpoint.api)
        self.extra_headers: list[Header] = []
        self._pending: list[Event] = []
        self.stream = self.content_type.startswith(STREAM_TYPES)
        if self.stream:
            self._parser = Parser()
        elif call.target is not None and (variant := call.target.upstream.variant) is not None and variant.frames:
            self.stream = self.content_type.startswith(variant.stream_type)
            self._parser = variant.frames()
        if b"content-encoding" in reply.headers:
            self._decoder = _decoder(reply.header(b"content-encoding"))

    async def wait(self, client: Client, idle: float) -> None:
        """Read until it is sure that this reply can be answered with. Raises UpstreamError while another target can try.

        The limit of the first byte is on; a whole reply, which has begun, has ``idle`` seconds for each next piece."""
        if self.stream:
            await self._first_event()
        elif "json" in self.content_type:
            await self._whole(client, idle)

    async def read_error(self, limit: int) -> None:
        """Read an error reply to pass on, without any secret of ours, which some providers repeat."""
        self.stream = False
        parts: list[bytes] = []
        size = 0
        while size <= limit and (chunk := await self._next()):
            parts.append(chunk)
            size += len(chunk)
        self.body = b"".join(parts)
        for secret in self.call.secrets():
            self.body = self.body.replace(secret.encode(), b"***")
        self.complete = True
        # Google refuses a wrong key by the status of a wrong request.
        self.ours = self.reply.status == 400 and b'"API_KEY_INVALID"' in self.body
        self._reword()

    def _reword(self) -> None:
        """An error of a vendor that serves the client's dialect, but has its own words for errors."""
        if (failed := self._variants_error()) is not None:
            call = self.call
            error = GatewayError(failed.kind, failed.message, status=self.reply.status, code=failed.code or None)
            self.body = write_error(call.endpoint.dialect, error, call.entry.request_id)

    def _variants_error(self) -> Failed | None:
        """What the error says in the words of the upstream's variant; None where it has none of its own."""
        variant = self.call.target.upstream.variant if self.call.target is not None else None
        if variant is None or variant.read_error is None:
            return None
        return variant.read_error(self.reply.status, self._error_document())

    def _error_document(self) -> Any:
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None

    async def _next(self) -> bytes:
        chunk = await self.reply.next()
        if self._decoder is None:
            return chunk
        try:
            while chunk:
                if plain := self._decoder.feed(chunk):
                    return plain
                chunk = await self.reply.next()
            return self._decoder.flush()
        except ValueError:
            raise ReplyBroken("the provider's reply could not be decompressed") from None

    async def _first_event(self) -> None:
        size = 0
        while chunk := await self._next():
            size += len(chunk)
            events = self._events(chunk)
            self._pending += events
            if any(event.data and event.type != "ping" for event in events):
                break
            if size > MAX_HELD:
                raise ReplyBroken("the provider's stream has no first event")
        else:
            self.complete = True
            self._pending += self._events(b"")
        first = next((event for event in self._pending if event.data and event.type != "ping"), None)
        if first is None:
            raise ReplyBroken("the provider's stream ended before it began")
        if is_error(first):
            raise ErrorFirst("the provider's stream began with an error")
        self.tap.feed(self._pending)

    def _events(self, chunk: bytes) -> list[Event]:
        """The events that ``chunk`` ends; b"" is the end of the reply."""
        try:
            return self._parser.feed(chunk) if chunk else self._parser.flush()
        except EventTooLong:
            raise ReplyBroken("the provider's stream has an event without end") from None
        except ValueError:
            raise ReplyBroken("the provider's stream is not framed as it says it is") from None

    async def _whole(self, client: Client, idle: float) -> None:
        parts: list[bytes] = []
        size = 0
        while size <= MAX_WHOLE:
            client.limit(idle, SILENT)
            chunk = await self._next()
            if not chunk:
                self.complete = True
                break
            parts.append(chunk)
            size += len(chunk)
        self.body = b"".join(parts)
        if self.complete:
            try:
                doc = orjson.loads(self.body)
            except ValueError:
                raise ReplyBroken("the provider's reply is not the JSON that it says it is") from None
            self.tap.whole(doc)
            if self.edit.model is not None and isinstance(doc, dict):
                self.body = self.edit.whole(self.body, doc)

    async def send(self, client: Client) -> None:
        """Send it all. From here on an error is an event in the stream, or an early end."""
        headers = [*returned(self.reply.headers), *self.extra_headers]
        if self.tap.objects:
            await self.call.keep_objects(self.tap)
        if self.stream:
            if not self.content_type.startswith(STREAM_TYPES):
                headers = [(b"content-type", b"text/event-stream"), *(h for h in headers if h[0] != b"content-type")]
            await client.start(
                self.reply.status, [*headers, (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
            )
            await self._send_events(client)
        elif self.complete:
            await client.reply(self.reply.status, headers, self.body)
        else:
            await self._send_rest(client, headers)

    async def _send_events(self, client: Client) -> None:
        call, tap, edit, idle = self.call, self.tap, self.edit, self.call.idle
        try:
            await client.send(edit.events(self._pending))
            while not self.complete:
                client.limit(idle, SILENT)
                chunk = await self._next()
                events = self._events(chunk)
                self.complete = not chunk
                tap.feed(events)
                if tap.objects:
                    await call.keep_objects(tap)
                if data := edit.events(events):
                    await client.send(data)
            if not tap.complete and not tap.failed:
                raise ReplyBroken("the provider's stream ended before its end")
        except UpstreamError as error:
            await self._say(client, error)
        except asyncio.CancelledError:
            cause = client.cause()
            if not isinstance(cause, UpstreamError):
                raise cause or ClientGone from None
            await self._say(client, cause)
        await client.send(b"", more=False)

    async def _say(self, client: Client, error: UpstreamError) -> None:
        """Tell a failure after the first byte as an event of the client's dialect."""
        call = self.call
        call.fail(error)
        await client.send(
            write_event(
                call.endpoint.dialect,
                call.endpoint.api,
                of_upstream(error),
                call.entry.request_id,
                self.tap.sequence + 1,
            )
        )

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


def _decoder(encoding: str) -> Decoder | None:
    try:
        return decoder(encoding)
    except EncodingError:
        raise ReplyBroken("the provider's reply is compressed in a way that nobody asked for") from None
