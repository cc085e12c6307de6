"""A reply of an upstream that speaks another dialect than the client: what all kinds of translation do alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Protocol

import orjson

from providers.billed import read_billed
from providers.errors import ReplyBroken, UpstreamError
from providers.events import Failed
from providers.light import Header
from providers.upstream import Reply
from routing.body import ClientGone
from routing.call import Call
from routing.client import Client
from routing.edit import Edit
from routing.errors import GatewayError, UpstreamSaid, of_upstream, write_event
from routing.headers import returned, safe
from routing.held import SILENT, Held
from routing.told import told_in_error

#: A whole reply is read and written in one piece; images and audio inside make it large.
MAX_TRANSLATED: Final = 64 * 1024 * 1024
JSON: Final = b"application/json"
TOO_LARGE: Final = "the provider's reply is too large to be translated"
MAX_LISTED: Final = 2000


def _listed(names: list[str]) -> bytes:
    """``names`` as a header, as far as there is room, and how many others there are."""
    told: list[bytes] = []
    size = 0
    for name in map(safe, names):
        if (size := size + len(name) + 2) > MAX_LISTED:
            break
        told.append(name)
    others = len(names) - len(told)
    return b", ".join([*told, b"and %d more" % others] if others else told)


class ReadsErrors(Protocol):
    API: str

    def read_error(self, status: int, doc: Any) -> Failed: ...


class WritesErrors(Protocol):
    def write_error(self, error: Failed) -> tuple[int, dict[str, Any]]: ...


class Asked(Protocol):
    """What was asked of an upstream in its own dialect, and who reads and writes errors."""

    dropped: list[str]
    path: str
    query: bytes
    headers: list[Header]
    body: bytes

    @property
    def upstream(self) -> ReadsErrors: ...

    @property
    def client(self) -> WritesErrors: ...


class Foreign(Held):
    """A reply of which the client has seen nothing yet; ``body`` is in the client's dialect. ``refused`` is set where
    it is the upstream's error, passed on in the client's words; ``failure`` then is that error."""

    refused = False
    failure: Failed

    def __init__(self, call: Call, reply: Reply, asked: Asked) -> None:
        super().__init__(call, reply, Edit())
        self.asked = asked
        self.told = self.tap
        if asked.dropped:
            self.extra_headers.append((b"x-gateway-dropped", _listed(asked.dropped)))

    async def read_document(self, client: Client, idle: float) -> Any:
        """The whole reply as JSON. Raises UpstreamError."""
        return await self.document(lambda: client.limit(idle, SILENT))

    async def document(self, before_each: Callable[[], None] = lambda: None) -> Any:
        """The whole reply as JSON, calling ``before_each`` before every piece of it. Raises UpstreamError."""
        parts: list[bytes] = []
        size = 0
        while size <= MAX_TRANSLATED:
            before_each()
            chunk = await self._next()
            if not chunk:
                break
            parts.append(chunk)
            size += len(chunk)
        else:
            raise ReplyBroken(TOO_LARGE)
        self.complete = True
        try:
            doc = orjson.loads(b"".join(parts))
        except ValueError:
            raise ReplyBroken("the provider's reply is not the JSON that it says it is") from None
        self.bill(doc)
        return doc

    def bill(self, doc: Any) -> None:
        """Take what the upstream tells that has a price of its own; the reader of its dialect counts the tokens."""
        if isinstance(doc, dict):
            self.told.billed = read_billed(self.asked.upstream.API, doc, self.told.billed)

    def _reword(self) -> None:
        """An error as the client's dialect has it."""
        status = self.reply.status
        failed = self._variants_error() or self.asked.upstream.read_error(status, self._error_document())
        self.failure = replace(failed, status=status, request_id=self.call.entry.request_id)
        self.refused = self.told.failed = True
        self.body = orjson.dumps(self.asked.client.write_error(self.failure)[1])

    def whole(self) -> bytes | None:
        return self.body if self.refused or not self.call.stream else None

    def told_status(self) -> int:
        return self.reply.status if self.refused else 200

    def refusal(self) -> str:
        if not self.refused:
            return ""
        failed = self.failure  # the client's own words have no place for a code, perhaps
        return told_in_error(f"{failed.code} {failed.type} {failed.message}".encode())

    def redacted(self, failed: Failed) -> Failed:
        """``failed`` without any secret of ours, and with the client's request id."""
        text = failed.message
        for secret in self.call.secrets():
            text = text.replace(secret, "***")
        return replace(failed, message=text, request_id=self.call.entry.request_id)

    def headers(self, content_type: bytes = JSON) -> list[Header]:
        passed = [(name, value) for name, value in returned(self.reply.headers) if name != b"content-type"]
        return [(b"content-type", content_type), *passed, *self.extra_headers]

    async def send(self, client: Client) -> None:
        """Send it whole."""
        await client.reply(self.told_status(), self.headers(), self.body)

    async def carry(
        self,
        client: Client,
        content_type: bytes,
        pump: Callable[[Client], Awaitable[None]],
        write_failed: Callable[[Failed], bytes],
        last: Callable[[], Awaitable[bytes]],
    ) -> None:
        """Send a stream: its pieces by ``pump``, whose trouble is written as an event, then the bytes of its end."""
        more = [(b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
        await client.start(200, [*self.headers(content_type), *more])
        try:
            await self._carried(client, pump, write_failed)
            await client.send(await last(), more=False)
        except ClientGone:
            raise
        except Exception:
            await client.send(self._last_words(content_type, write_failed), more=False)
            raise  # a fault of ours, for the log

    async def _carried(
        self, client: Client, pump: Callable[[Client], Awaitable[None]], write_failed: Callable[[Failed], bytes]
    ) -> None:
        try:
            await pump(client)
        except UpstreamError as error:
            self.call.fail(error)
            await self._fail(client, of_upstream(error), write_failed)
        except GatewayError as error:  # a hook's word
            self.call.entry.error_kind = error.kind
            await self._fail(client, error, write_failed)
        except asyncio.CancelledError:
            cause = client.cause()
            if not isinstance(cause, UpstreamError):
                raise cause or ClientGone from None
            self.call.fail(cause)
            await self._fail(client, of_upstream(cause), write_failed)

    async def _fail(self, client: Client, error: GatewayError, write_failed: Callable[[Failed], bytes]) -> None:
        if self.call.hooked is not None:
            await self.call.hooked.fail(error)
        await client.send(write_failed(self._failed(error)))

    def _last_words(self, content_type: bytes, write_failed: Callable[[Failed], bytes]) -> bytes:
        """The event that ends a stream in which something of ours has failed: that may be its writer."""
        error = ReplyBroken("the provider's reply could not be translated")
        self.call.fail(error)
        failed = self._failed(of_upstream(error))
        try:
            return write_failed(failed)
        except Exception:
            if content_type == JSON:
                raise
            call = self.call
            return write_event(call.endpoint.dialect, call.endpoint.api, of_upstream(error), call.entry.request_id)

    def _failed(self, error: GatewayError) -> Failed:
        self.told.failed = True
        return Failed(error.kind, error.message, error.status, error.code or "", request_id=self.call.entry.request_id)

    async def blame(self, failed: Failed) -> None:
        """The upstream itself has told, or a reader has found, that the reply is broken."""
        entry = self.call.entry
        if self.call.hooked is not None:
            await self.call.hooked.fail(of_upstream(UpstreamSaid(failed)))
        entry.error_kind = "truncated" if failed.code == "stream_incomplete" else failed.kind
        entry.status = failed.status
