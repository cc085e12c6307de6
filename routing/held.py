"""Takes in an upstream's reply until it is sure that the client can be answered with it, with a tap reading along.

Nothing is sent before the first complete event of a stream that is neither comment, ping nor error, and a whole JSON
reply is read and parsed first: until then another target can still answer. Larger replies and binary ones commit at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

import orjson

from providers.errors import ErrorFirst, ReplyBroken, TimedOut
from providers.events import Failed
from providers.light import Header
from providers.sse import Event, EventTooLong, Parser
from providers.upstream import Reply
from providers.variants import Frames
from routing.call import Call
from routing.client import Client
from routing.edit import Edit
from routing.encodings import Decoder, EncodingError, decoder
from routing.errors import GatewayError, write_error
from routing.tap import Tap, is_error
from routing.told import told_in_error, told_in_event, told_in_reply

MAX_WHOLE: Final = 8 * 1024 * 1024
MAX_HOOKED: Final = 64 * 1024 * 1024
MAX_HELD: Final = 4 * 1024 * 1024
STREAM_TYPES: Final = ("text/event-stream",)
#: Where the replies of these endpoints have what was asked for. An error with a good status has no such member, and
#: choices are never none.
ANSWER: Final = {
    "chat": "choices",
    "completions": "choices",
    "messages": "content",
    "responses": "output",
    "generate": "candidates",
    "embeddings": "data",
}
NO_PARSER: Final = Parser()
SILENT: Final = TimedOut("the provider fell silent in the middle of its reply")


class Held(ABC):
    """A reply that has begun and of which the client has seen nothing yet. ``ours``: it is an error of the gateway's
    account at the provider, whatever its status."""

    body = b""
    complete = False
    ours = False
    _decoder: Decoder | None = None
    _refusal = ""
    _parser: Frames = NO_PARSER

    def __init__(self, call: Call, reply: Reply, edit: Edit) -> None:
        self.content_type = reply.header(b"content-type")
        self.call = call
        self.reply = reply
        self.edit = edit
        self.tap = Tap(call.endpoint.api)
        self.extra_headers: list[Header] = []
        self._pending: list[Event] = []
        self._plain: Iterator[bytes] = iter(())
        self.stream = self.content_type.startswith(STREAM_TYPES) or (call.stream and self._must_stream())
        if self.stream:
            self._parser = Parser()
        elif call.target is not None and (variant := call.target.upstream.variant) is not None and variant.frames:
            self.stream = self.content_type.startswith(variant.stream_type)
            self._parser = variant.frames()
        if b"content-encoding" in reply.headers:
            self._decoder = _decoder(reply.header(b"content-encoding"))

    def _must_stream(self) -> bool:
        """Whether a reply of this type can only be the stream that was asked for, or none: a page of a proxy, perhaps."""
        call, variant = self.call, self.call.target.upstream.variant if self.call.target is not None else None
        named = "json" in self.content_type or (variant is not None and variant.frames is not None)
        return not named and call.endpoint.name in ANSWER

    async def wait(self, client: Client, idle: float) -> None:
        """Read until it is sure that this reply can be answered with. Raises UpstreamError while another target can try.

        The limit of the first byte is on; a whole reply, which has begun, has ``idle`` seconds for each next piece."""
        if self.stream:
            await self._first_event()
        elif "json" in self.content_type or self.call.endpoint.name in ANSWER:
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

    @abstractmethod
    async def send(self, client: Client) -> None:
        """Send it all. From here on an error is an event in the stream, or an early end."""

    def whole(self) -> bytes | None:
        """The body of a reply that is held whole and was not sent yet."""
        return self.body if self.complete and not self.stream else None

    def edited(self, body: bytes) -> None:
        """Send ``body`` instead of what is held whole."""
        self.body = body

    def told_status(self) -> int:
        """The status that the client gets."""
        return self.reply.status

    def refusal(self) -> str:
        """For which reason the provider has refused the request, of those for which another target may stand in."""
        if self.reply.status >= 400:
            return told_in_error(self.body)
        if not self.stream:
            return self._refusal
        return next(filter(None, (told_in_event(event.data) for event in self._pending)), "")

    async def _next(self) -> bytes:
        """The next piece; what is decompressed comes in pieces of bounded size, however much there is in one that came."""
        if self._decoder is None:
            return await self.reply.next()
        try:
            while True:
                if plain := next(filter(None, self._plain), b""):
                    return plain
                if not (chunk := await self.reply.next()):
                    return self._decoder.flush()
                self._plain = self._decoder.each(chunk)
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
        if self.call.endpoint.name in ANSWER and not _is_json(first.data):
            raise ReplyBroken("the provider's stream does not begin as one")
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
        hooked = self.call.hooked is not None and self.call.hooked.reads
        most = MAX_HOOKED if hooked else MAX_WHOLE
        if self._decoder is None and (rest := self.reply.rest()) is not None:  # as most have come with their head
            parts.append(rest)
            size = len(rest)
            self.complete = size <= most
        while size <= most and not self.complete:
            client.limit(idle, SILENT)
            chunk = await self._next()
            self.complete = not chunk
            parts.append(chunk)
            size += len(chunk)
        self.body = b"".join(parts)
        if hooked and not self.complete:
            raise ReplyBroken("the provider's reply is too large for the hooks that are to read it")
        if self.complete:
            try:
                doc = orjson.loads(self.body)
            except ValueError:
                raise ReplyBroken("the provider's reply is not the JSON that it says it is") from None
            self.tap.whole(doc)
            self._check(doc)
            decision = self.call.decision
            if decision is not None and decision.spare:
                self._refusal = told_in_reply(doc)
            if self.edit.model is not None and isinstance(doc, dict):
                self.body = self.edit.whole(self.body, doc)

    def _check(self, doc: Any) -> None:
        """Raises ReplyBroken for what is no reply, although its status says so."""
        member = ANSWER.get(self.call.endpoint.name)
        if member is None or isinstance(doc, list):  # Gemini streams an array of JSON
            return
        if not isinstance(doc, dict):
            raise ReplyBroken("the provider's reply is no JSON object")
        if doc.get(member):
            return
        if self.tap.failed:
            raise ErrorFirst("the provider's reply is an error")
        if (member not in doc and "promptFeedback" not in doc) or member == "choices":
            raise ReplyBroken("the provider's reply is empty")


def _is_json(data: bytes) -> bool:
    """Garbage is not, nor is half an event, nor the word at the end of a stream without events."""
    try:
        orjson.loads(data)
    except ValueError:
        return False
    return True


def _decoder(encoding: str) -> Decoder | None:
    try:
        return decoder(encoding)
    except EncodingError:
        raise ReplyBroken("the provider's reply is compressed in a way that nobody asked for") from None
