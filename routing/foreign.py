"""A reply of an upstream that speaks another dialect than the client: what all kinds of translation do alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

import orjson

from providers.errors import ReplyBroken, UpstreamError
from providers.events import Failed
from providers.light import Header
from providers.upstream import Reply
from routing.body import ClientGone
from routing.call import Call
from routing.client import Client
from routing.edit import Edit
from routing.errors import of_upstream
from routing.headers import returned, safe
from routing.relay import SILENT, Held

#: A whole reply is read and written in one piece; images and audio inside make it large.
MAX_TRANSLATED = 64 * 1024 * 1024
JSON = b"application/json"


class ReadsErrors(Protocol):
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
    it is the upstream's error, passed on in the client's words."""

    refused = False

    def __init__(self, call: Call, reply: Reply, asked: Asked) -> None:
        super().__init__(call, reply, Edit())
        self.asked = asked
        self.told = self.tap
        if asked.dropped:
            self.extra_headers.append((b"x-gateway-dropped", safe(", ".join(asked.dropped))))

    async def read_document(self, client: Client, idle: float) -> Any:
        """The whole reply as JSON. Raises UpstreamError."""
        parts: list[bytes] = []
        size = 0
        while size <= MAX_TRANSLATED:
            client.limit(idle, SILENT)
            chunk = await self._next()
            if not chunk:
                break
            parts.append(chunk)
            size += len(chunk)
        else:
            raise ReplyBroken("the provider's reply is too large to be translated")
        self.complete = True
        try:
            return orjson.loads(b"".join(parts))
        except ValueError:
            raise ReplyBroken("the provider's reply is not the JSON that it says it is") from None

    async def read_error(self, limit: int, secrets: list[str]) -> None:
        """Read an error reply and write it as the client's dialect has it."""
        await super().read_error(limit, secrets)
        try:
            doc = orjson.loads(self.body)
        except ValueError:
            doc = None
        failed = self.asked.upstream.read_error(self.reply.status, doc)
        failed = replace(failed, status=self.reply.status, request_id=self.call.entry.request_id)
        self.refused = self.told.failed = True
        self.body = orjson.dumps(self.asked.client.write_error(failed)[1])

    def headers(self, content_type: bytes = JSON) -> list[Header]:
        passed = [(name, value) for name, value in returned(self.reply.headers) if name != b"content-type"]
        return [(b"content-type", content_type), *passed, *self.extra_headers]

    async def send(self, client: Client) -> None:
        """Send it whole."""
        await client.reply(self.reply.status if self.refused else 200, self.headers(), self.body)

    async def carry(
        self,
        client: Client,
        content_type: bytes,
        pump: Callable[[Client], Awaitable[None]],
        write_failed: Callable[[Failed], bytes],
    ) -> None:
        """Start a stream and let ``pump`` send its pieces; its trouble is written as an event. The end is the caller's."""
        more = [(b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
        await client.start(200, [*self.headers(content_type), *more])
        try:
            await pump(client)
        except UpstreamError as error:
            await client.send(write_failed(self._failed(error)))
        except asyncio.CancelledError:
            cause = client.cause()
            if not isinstance(cause, UpstreamError):
                raise cause or ClientGone from None
            await client.send(write_failed(self._failed(cause)))

    def _failed(self, error: UpstreamError) -> Failed:
        self.call.fail(error)
        self.told.failed = True
        said = of_upstream(error)
        return Failed(said.kind, said.message, said.status, said.code or "", request_id=self.call.entry.request_id)

    def blame(self, failed: Failed) -> None:
        """The upstream itself has told, or a reader has found, that the reply is broken."""
        entry = self.call.entry
        entry.error_kind = "truncated" if failed.code == "stream_incomplete" else failed.kind
        entry.status = failed.status
