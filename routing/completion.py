"""Legacy completions at an upstream that has Ollama's own API only."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from providers import ndjson
from providers.chat import BadRequest
from providers.dialects import ollama, ollama_generate, openai_chat
from providers.errors import ReplyBroken
from providers.events import Failed
from providers.sse import EventTooLong, Parser
from providers.upstream import Reply
from providers.usage import read_usage
from routing.call import Call
from routing.client import Client
from routing.errors import UpstreamSaid
from routing.foreign import Foreign, ReadsErrors, WritesErrors
from routing.held import SILENT
from routing.hook_stream import Stream
from routing.outgoing import rewrite_body, rewrite_headers, rewrites_of
from routing.table import Table, Target
from routing.translation import asking, bad_request, written


def _json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None  # the writer says that it was not understood


class Completion:
    """One attempt's request."""

    def __init__(self, call: Call, target: Target, table: Table) -> None:
        self.path, self.query = ollama_generate.PATH, b""
        self.upstream: ReadsErrors = ollama
        self.client: WritesErrors = openai_chat
        route = call.resolved.route if call.resolved else None
        asked = {**call.doc, "model": target.model or call.model}
        try:
            doc, self.dropped = written(call, ollama.NAME, partial(ollama_generate.write_completion, asked))
        except BadRequest as error:
            raise bad_request(error) from None
        rewrites = rewrites_of(call, target, table)
        self.asked = call.entry.model if route is not None and route.reply_model == "asked" else ""
        self.headers = rewrite_headers(asking(call), rewrites)
        self.body = rewrite_body(orjson.dumps(doc), rewrites)


class Completed(Foreign):
    """The reply to a ``Completion``, whole or streamed."""

    def __init__(self, call: Call, reply: Reply, completion: Completion) -> None:
        super().__init__(call, reply, completion)
        self.model = completion.asked
        self.frames = ndjson.Parser()
        self.writer = ollama_generate.CompletionWriter(call.doc)
        self.first = b""

    async def wait(self, client: Client, idle: float) -> None:
        if self.call.stream:
            while not self.first and not self.complete:
                self.first = await self._piece()
            if self.writer.failed is not None:
                raise UpstreamSaid(self.redacted(self.writer.failed))
            return
        doc = self._named(await self.read_document(client, idle))
        found = ollama_generate.write_text_completion(doc, self.call.doc)
        if isinstance(found, Failed):
            raise UpstreamSaid(self.redacted(found))
        self.told.complete, self.told.usage = True, read_usage("ollama", doc)
        self.body = orjson.dumps(found)

    async def _piece(self) -> bytes:
        """The bytes for the client of the next piece from the upstream."""
        chunk = await self._next()
        self.complete = not chunk
        try:
            lines = self.frames.feed(chunk) if chunk else self.frames.flush()
        except EventTooLong:
            raise ReplyBroken("the provider's stream has an event without end") from None
        docs = [self._named(_json(line.data)) for line in lines if line.data]
        self.told.characters += sum(len(str(doc.get("response") or "")) for doc in docs if isinstance(doc, dict))
        data = b"".join([self.writer.feed(doc) for doc in docs])
        if self.complete:
            data += self.writer.flush()
        self.told.usage, self.told.failed = self.writer.usage, self.writer.failed is not None
        if self.told.failed:
            for secret in self.call.secrets():
                data = data.replace(secret.encode(), b"***")
        return data

    def _named(self, doc: Any) -> Any:
        """``doc`` with the model's name that the client is to see."""
        return {**doc, "model": self.model} if self.model and isinstance(doc, dict) else doc

    async def send(self, client: Client) -> None:
        if not self.call.stream or self.refused:
            await super().send(client)
            return
        hooks = self.call.hooked.stream(raw=True) if self.call.hooked is not None else None
        pump = partial(self._pump, hooks, Parser())
        await self.carry(client, b"text/event-stream", pump, self.writer.fail, self._last)

    async def _last(self) -> bytes:
        self.told.complete = not self.told.failed
        return b""

    async def _pump(self, hooks: Stream | None, parser: Parser, client: Client) -> None:
        data = self.first
        while True:
            if hooks is not None:
                client.deadline = 0.0  # hooks have limits of their own
                events = await hooks.feed(parser.feed(data))
                events += await hooks.end() if self.complete and not self.told.failed else []
                data = b"".join([event.raw for event in events])
            if data:
                await client.send(data)
            if self.writer.failed is not None:
                await self.blame(self.writer.failed)
            if self.complete or self.told.failed:
                return
            client.limit(self.call.idle, SILENT)
            data = await self._piece()
