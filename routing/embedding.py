"""Embeddings where the client's API is not the upstream's: asked in as many calls as the upstream needs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import orjson

from providers.chat import BadRequest
from providers.embeddings import CLIENTS, UPSTREAMS, Embed, Upstream, batches
from providers.errors import ReplyBroken, TimedOut
from providers.events import Failed
from providers.upstream import Connections, Reply
from providers.usage import Usage
from providers.variants import Wire
from routing.apis import CLIENT_DIALECTS
from routing.call import BYTES_PER_TOKEN, Call
from routing.client import Client
from routing.errors import UpstreamSaid, kind_of_status
from routing.foreign import Foreign
from routing.outgoing import rewrite_body, rewrite_headers, rewrites_of
from routing.refusals import MAX_ERROR_BODY
from routing.table import Table, Target
from routing.translation import asking, bad_request, written

#: The API of a client endpoint -> who reads and writes its embeddings, and who its errors.
DIALECTS: Final = {
    "embeddings": (CLIENTS["openai"], CLIENT_DIALECTS["chat"]),
    "generate": (CLIENTS["gemini"], CLIENT_DIALECTS["generate"]),
}
#: Calls of one request under way at the same time.
AT_ONCE: Final = 8
LATE_PART: Final = TimedOut("the provider did not answer all parts in time")
BY_API: Final[dict[str, Upstream]] = {upstream.API: upstream for upstream in UPSTREAMS.values()}


class Embedding:
    """One attempt's requests: the first as other requests are, and ``rest``, the (path, body) of those after it."""

    query = b""

    def __init__(self, call: Call, target: Target, table: Table, api: str) -> None:
        self.writer, self.client = DIALECTS[call.endpoint.api]
        self.upstream = BY_API[api]
        self.target = target
        self.asked_for = _read(call)
        self.embed = replace(self.asked_for, model=target.model or call.model)
        calls, self.dropped = written(call, self.upstream.NAME, partial(self.upstream.write_requests, self.embed))
        self._rewrites = rewrites_of(call, target, table)
        self._headers = rewrite_headers(asking(call), self._rewrites)
        wires = [self._wire(path, orjson.dumps(doc)) for path, doc in calls]
        self.path, self.query, self.headers, self.body = wires[0]
        self.rest = wires[1:]

    def _wire(self, path: str, body: bytes) -> Wire:
        wire = Wire(path, b"", self._headers, rewrite_body(body, self._rewrites))
        variant = self.target.upstream.variant
        return wire if variant is None else variant.request(self.target.upstream, wire, self.embed.model, False)


def _read(call: Call) -> Embed:
    reader, _ = DIALECTS[call.endpoint.api]
    path = f"/v1beta/models/{quote(call.model, safe='')}:{call.path['action']}" if "action" in call.path else ""
    try:
        return replace(reader.read_request(call.doc, path), model=call.model)
    except BadRequest as error:
        raise bad_request(error) from None


class Embeddings(Foreign):
    """The replies to an ``Embedding``: the first has begun, the others are asked for in turn."""

    def __init__(self, call: Call, reply: Reply, embedding: Embedding, connections: Connections) -> None:
        super().__init__(call, reply, embedding)
        self.embedding = embedding
        self.connections = connections

    async def wait(self, client: Client, idle: float) -> None:
        embedding = self.embedding
        docs = [await self.read_document(client, idle)]
        try:
            for wires in batches(embedding.rest, AT_ONCE):
                docs += await self._ask(client, wires)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        try:
            found = embedding.upstream.read_responses(docs, embedding.embed)
        except ValueError as error:
            raise ReplyBroken(str(error).rstrip(".")) from None
        told, entry = self.told, self.call.entry
        told.complete, told.model, told.response_id = True, found.model[:255], found.id[:255]
        if not found.usage.input_tokens:
            entry.estimated = True
            size = sum(
                len(each) * (1 if isinstance(each, str) else BYTES_PER_TOKEN) for each in _texts(embedding.embed)
            )
            found.usage = Usage(-(-size // BYTES_PER_TOKEN))
        told.usage = found.usage
        route = self.call.resolved.route if self.call.resolved else None
        if route is not None and route.reply_model == "asked":
            found.model = entry.model
        self.body = orjson.dumps(embedding.writer.write_response(found, embedding.asked_for))

    async def _ask(self, client: Client, wires: list[Wire]) -> list[Any]:
        """The replies to these calls, made at once; the trouble of one is that of the whole."""
        upstream = self.embedding.target.upstream
        client.limit(upstream.first_byte_timeout, LATE_PART)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(wire)) for wire in wires]
        return [task.result() for task in tasks]

    async def _one(self, wire: Wire) -> Any:
        upstream = self.embedding.target.upstream
        headers = (
            self.embedding.headers if upstream.variant is None else wire.headers
        )  # hooks may have edited the first's
        reply = await self.connections.open(
            upstream, "POST", wire.path, headers, wire.body, wire.query, self.call.credential
        )
        async with reply:
            part = Foreign(self.call, reply, self.embedding)
            if reply.status == 200:
                return await part.document()
            await part.read_error(MAX_ERROR_BODY)
        failed = part.failure
        if part.ours or not 400 <= reply.status < 500:
            kind = "auth" if part.ours else kind_of_status(reply.status)
            failed = Failed(kind, "The provider failed to answer a part of the request.", reply.status)
        raise UpstreamSaid(self.redacted(failed))


def _texts(embed: Embed) -> list[str | list[int]]:
    return [each for each in embed.inputs if isinstance(each, str | list)]
