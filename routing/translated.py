"""Carries the reply of an upstream that speaks another dialect: its events are read, and written as the client's."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from providers.chat import Chat
from providers.dialects.reader import not_understood
from providers.errors import ReplyBroken
from providers.events import (
    AudioDelta,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    Used,
)
from providers.jsonbytes import replace_nested
from providers.sse import Event as SseEvent
from providers.sse import EventTooLong, Parser, write
from providers.upstream import Reply
from routing import responses
from routing.array import ArrayWriter
from routing.call import Call
from routing.client import Client
from routing.cutting import Cut, cut_of
from routing.errors import UpstreamSaid
from routing.foreign import JSON, MAX_TRANSLATED, TOO_LARGE, Foreign
from routing.held import MAX_HELD, SILENT
from routing.hook_stream import Stream
from routing.translation import Translation, chat_of, too_deep
from tenants.responses import ResponseStore

STREAM_TYPES: Final = ("text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream")
WORDS: Final = (TextDelta, ThinkingDelta, RefusalDelta)


def _shown(call: Call) -> Chat:
    """The call as the reply repeats it."""
    chat = chat_of(call)
    if call.endpoint.name != "responses":
        return chat
    previous = call.turn.previous_id if call.turn is not None else ""
    return replace(chat, previous_id=previous, store=responses.wanted(call))


def _unkept(event: SseEvent) -> bytes:
    """The last event of a response that could not be kept says so."""
    if b'"response"' not in event.data:
        return event.raw
    return write(replace_nested(event.data, ("response", "store"), b"false"), event.type)


class Translated(Foreign):
    """A generated text, whole or streamed. ``broken`` is the event that tells so."""

    broken: Failed | None = None

    def __init__(self, call: Call, reply: Reply, translation: Translation, kept: ResponseStore) -> None:
        super().__init__(call, reply, translation)
        self.kept = kept
        self.shown = _shown(call)
        self.translation = translation
        self.frames = translation.frames()
        self.reader = translation.upstream.StreamReader(translation.chat)
        # A vendor may name a type amiss, or none: then the reply is what was asked for.
        asked = call.stream and not self.content_type.startswith("application/json")
        self.stream = asked or self.content_type.startswith(STREAM_TYPES)
        self.events: list[Event] = []
        self.doc: dict[str, Any] = {}

    # reading

    def _take(self, events: Iterable[Event]) -> list[Event]:
        """``events`` as the client may see them, counted."""
        found = [self._own(event) for event in events]
        for event in found:
            self._note(event)
        return found

    def _own(self, event: Event) -> Event:
        """``event`` with what is the gateway's to say in it."""
        if isinstance(event, Started) and self.translation.asked:
            return replace(event, model=self.translation.asked)
        if isinstance(event, Failed):
            return self.redacted(event)
        return event

    def _note(self, event: Event) -> None:
        told = self.told
        if isinstance(event, WORDS):
            told.characters += len(event.text)
        elif isinstance(event, ToolDelta):
            told.characters += len(event.arguments)
        elif isinstance(event, AudioDelta):
            told.characters += len(event.transcript)
        elif isinstance(event, Used):
            told.usage = event.usage
            told.mark()
        elif isinstance(event, Started):
            told.response_id, told.model = event.id[:255], event.model[:255]
        elif isinstance(event, Failed):
            told.failed = True
            self.broken = event

    def _read(self, chunk: bytes) -> list[Event]:
        """The events that ``chunk`` ends; b"" is the end of the reply."""
        try:
            frames = self.frames.feed(chunk) if chunk else self.frames.flush()
        except EventTooLong:
            raise ReplyBroken("the provider's stream has an event without end") from None
        except ValueError:
            self.reader.over = True
            return self._take([not_understood()])
        found = []
        for frame in frames:
            found += self.reader.feed(frame)
            if b"sage" in frame.data:
                self._bill_frame(frame.data)
        if not chunk:
            found += self.reader.flush()
        return self._take(found)

    def _bill_frame(self, data: bytes) -> None:
        with suppress(ValueError):
            doc = orjson.loads(data)
            # Anthropic's first event and those of the Responses API hold the reply that they tell of.
            self.bill(next((doc[name] for name in ("message", "response") if isinstance(doc.get(name), dict)), doc))

    async def wait(self, client: Client, idle: float) -> None:
        if self.stream:
            await self._first_events()
            if not self.call.stream:
                await self._rest(client, idle)
        else:
            client.limit(idle, SILENT)
            self.events = self._take(await self._whole_events(client, idle))
        failed = next((event for event in self.events if isinstance(event, Failed)), None)
        if failed is not None and (not self.call.stream or self.events[0] is failed or not self.stream):
            raise UpstreamSaid(failed)
        if not self.call.stream:
            if all(isinstance(event, Started | Used) for event in self.events):
                raise ReplyBroken("the provider's reply is empty")
            self._write()

    async def _first_events(self) -> None:
        size = 0
        while not self.events and not self.complete:
            chunk = await self._next()
            size += len(chunk)
            self.complete = not chunk
            self.events = self._read(chunk)
            if size > MAX_HELD and not self.events:
                raise ReplyBroken("the provider's stream has no first event")

    async def _rest(self, client: Client, idle: float) -> None:
        """A stream where a whole reply was asked for."""
        size = 0
        while not self.complete:
            client.limit(idle, SILENT)
            chunk = await self._next()
            if (size := size + len(chunk)) > MAX_TRANSLATED:
                raise ReplyBroken(TOO_LARGE)
            self.complete = not chunk
            self.events += self._read(chunk)

    async def _whole_events(self, client: Client, idle: float) -> list[Event]:
        doc = await self.read_document(client, idle)
        return self.translation.upstream.read_response(doc, self.translation.chat)

    def refusal(self) -> str:
        """Also of a reply that says nothing, for the sake of the content."""
        finished = [event for event in self.events if isinstance(event, Finished)]
        filtered = any(event.reason in ("content_filter", "refusal") for event in finished)
        return "content_policy" if filtered and not self.told.characters else super().refusal()

    def edited(self, body: bytes) -> None:
        super().edited(body)
        if isinstance(doc := orjson.loads(body), dict):
            self.doc = doc

    # writing

    async def send(self, client: Client) -> None:
        if self.call.stream and not self.refused:
            await self._send_stream(client)
            return
        kept = self.refused or not responses.wanted(self.call)
        if not kept and not await responses.keep(self.call, self.doc, self.kept):
            self.doc["store"] = False
            self.body = orjson.dumps(self.doc)
        await super().send(client)

    def _write(self) -> None:
        """The whole reply; another target may do better where it cannot be written."""
        try:
            self.doc = self.translation.client.write_response(self.events, self.shown)
            if self.call.endpoint.api == "unified":
                self.doc["provider"] = self.call.entry.provider
            self.body = orjson.dumps(self.doc)
        except (RecursionError, TypeError) as error:
            if not too_deep(error):
                raise
            raise ReplyBroken("the provider's reply is nested too deeply to be translated") from None
        self.told.complete = True

    async def _send_stream(self, client: Client) -> None:
        call = self.call
        writer: Any = self.translation.client.StreamWriter(self.shown)
        array = call.endpoint.api == "generate" and b"alt=sse" not in call.query and not call.streamed_by_body
        if array:
            writer = ArrayWriter(writer)

        kind = JSON if array else b"text/event-stream"
        hooks = call.hooked.stream(raw=False) if call.hooked is not None else None
        if hooks is not None:
            self.events = await hooks.feed(self.events)
        await self.carry(client, kind, partial(self._pump, writer, hooks), writer.feed, partial(self._last, writer))

    async def _last(self, writer: Any) -> bytes:
        """The bytes of the end; what is to be kept is committed before the client can name it."""
        data: bytes = writer.flush()
        if self.told.failed or not responses.wanted(self.call):
            return data
        if await responses.keep(self.call, writer.response, self.kept):
            return data
        return b"".join([_unkept(event) for event in Parser().feed(data)])

    async def _pump(self, writer: Any, hooks: Stream | None, client: Client) -> None:
        events, idle, cut = self.events, self.call.idle, cut_of(self.call, self.told)
        while True:
            if hooks is not None and self.complete and not self.told.failed:
                events = [*events, *await hooks.end()]
            if data := b"".join([writer.feed(event) for event in events]):
                await client.send(data)
            if self.broken is not None:
                if self.broken not in events:  # no hook can hide it
                    await client.send(writer.feed(self.broken))
                await self.blame(self.broken)
                return
            if self.complete:
                self.told.complete = True
                return
            if cut is not None and cut.over(events):
                await self._cut(writer, client, cut, hooks)
                return
            client.limit(idle, SILENT)
            chunk = await self._next()
            self.complete = not chunk
            events = self._read(chunk)
            if hooks is not None:
                client.deadline = 0.0  # hooks have limits of their own
                events = await hooks.feed(events)

    async def _cut(self, writer: Any, client: Client, cut: Cut, hooks: Stream | None) -> None:
        """End the stream here, its upstream first."""
        await self.reply.close()
        events = [*(await hooks.end() if hooks is not None else ()), *cut.last()]
        await client.send(b"".join([writer.feed(event) for event in events]))
