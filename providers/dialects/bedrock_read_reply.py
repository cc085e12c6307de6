"""Converse replies, whole and streamed, as events.

A stream tells its usage after its stop reason: it ends with ``metadata`` or, once the reason is known, where it ends.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import orjson

from providers.chat import Chat, Citation, Image, Source
from providers.dialects.bedrock_families import family
from providers.dialects.bedrock_write_request import DIALECT, NAMING
from providers.dialects.failures import failed
from providers.dialects.ids import made
from providers.dialects.reader import GARBAGE, Reader, SseEvent, not_understood, parsed, sound
from providers.dialects.tool_names import names_for
from providers.events import (
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    MediaAdded,
    OpaqueAdded,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    Used,
)
from providers.usage import read_usage

REASONS = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    "model_context_window_exceeded": "context_window",
    "refusal": "refusal",
    "pause_turn": "pause",
}
#: Exceptions, first letter in lower case, -> the status that says the same. A model's own failure is told with 424.
EXCEPTIONS = {
    "accessDeniedException": 403,
    "expiredTokenException": 403,
    "internalServerException": 500,
    "modelErrorException": 502,
    "modelNotReadyException": 503,
    "modelStreamErrorException": 502,
    "modelTimeoutException": 504,
    "resourceNotFoundException": 404,
    "serviceQuotaExceededException": 429,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "unrecognizedClientException": 403,
    "validationException": 400,
}
TOO_LONG = re.compile(r"input is too long|exceeds? context limit|too many total text bytes", re.IGNORECASE)


def read_error(status: int, doc: Any) -> Failed:
    """``{"message"}``; a proxy of AWS's may write it with a capital, or name the exception in ``__type``."""
    if not isinstance(doc, dict):
        return failed(status, doc if isinstance(doc, str) else "")
    named = doc.get("__type")
    return _failed(status, named.rpartition("#")[2] if isinstance(named, str) else "", doc)


def read_exception(name: str, data: bytes) -> Failed:
    """An exception amid a stream, by its name."""
    try:
        doc: Any = parsed(data)
    except ValueError:
        doc = {}
    return _failed(0, name, doc)


def _failed(status: int, name: str, doc: dict[str, Any]) -> Failed:
    known = EXCEPTIONS.get(name[:1].lower() + name[1:], 0)
    said = doc.get("message") or doc.get("Message") or doc.get("originalMessage")
    too_long = isinstance(said, str) and TOO_LONG.search(said)
    status = {424: 502}.get(status, status) if status >= 400 else known
    return failed(status, said, "context_length_exceeded" if too_long else "", name)


def read_response(doc: Any, chat: Chat | None = None) -> list[Event]:
    """The events of a whole reply; garbage is one Failed."""
    try:
        if "output" not in doc and ("message" in doc or "Message" in doc):
            return [read_error(0, doc)]
        reader = StreamReader(chat)
        found = reader.message_start(doc)
        for index, block in enumerate(doc["output"]["message"]["content"]):
            found += reader.whole(index, block)
        reader.message_stop(doc)
        return sound(found + reader.metadata(doc))
    except GARBAGE:
        return [not_understood()]


class StreamReader(Reader):
    """Reads the events from ``messageStart`` to ``metadata``."""

    def __init__(self, chat: Chat | None = None) -> None:
        super().__init__(names_for(chat, DIALECT, NAMING))
        self.model = chat.model if chat else ""
        #: Claude's signatures are good with whoever serves it.
        self.maker = "anthropic" if family(self.model) == "claude" else DIALECT
        self.index: Any = None  # of the block that is read
        self.last = ""  # its kind
        self.redacted = b""
        self.calls: dict[int, int] = {}  # the upstream's block index -> our call index
        self.bare: set[int] = set()  # blocks of calls without arguments so far
        self.held: dict[int, dict[str, Any]] = {}  # blocks that come out whole
        self.finished: Finished | None = None

    def _read(self, event: SseEvent) -> list[Event]:
        doc = parsed(event.data)
        if read := EVENTS.get(event.type):
            return read(self, doc)
        if event.type.endswith("Exception") or "message" in doc:
            self.over = True
            return [_failed(0, event.type, doc)]
        return []

    def flush(self) -> list[Event]:
        if self.over or self.finished is None:
            return super().flush()
        self.over = True
        return [self.finished]

    def message_start(self, doc: dict[str, Any]) -> list[Event]:
        tier = (doc.get("serviceTier") or {}).get("type") or ""
        return [Started("", self.model, 0, DIALECT, tier)]

    def block_start(self, doc: dict[str, Any]) -> list[Event]:
        index, start = doc["contentBlockIndex"], doc["start"]
        kind = next(iter(start), "")
        self.index, self.last = index, kind
        if kind == "toolUse" and start[kind].get("type") != "server_tool_use":
            self.bare.add(index)
            return self._call(index, start[kind])
        if kind:
            self.held[index] = {kind: dict(start[kind]), "pieces": []}
        return []

    def _call(self, index: int, raw: dict[str, Any]) -> list[Event]:
        number = self.calls[index] = len(self.calls)
        return [self.tool_started(number, str(raw.get("toolUseId") or made("tooluse_")), raw["name"])]

    def block_delta(self, doc: dict[str, Any]) -> list[Event]:
        index, delta = doc["contentBlockIndex"], doc["delta"]
        if index in self.held:
            self.held[index]["pieces"] += [value for value in delta.values() if value]
            return []
        found: list[Event] = []
        for kind, value in delta.items():
            if read := DELTAS.get(kind):
                found += read(self, index, value)
        return found

    def _begun(self, index: int, kind: str) -> list[Event]:
        """Break where one block follows another of its kind."""
        again = kind == self.last and index != self.index
        self.index, self.last = index, kind
        return [Break()] if again else []

    def _text(self, index: int, text: str) -> list[Event]:
        return [*self._begun(index, "text"), TextDelta(text)] if text else []

    def _input(self, index: int, delta: dict[str, Any]) -> list[Event]:
        piece = delta["input"]
        if not isinstance(piece, str):
            raise TypeError("input")
        if not piece:
            return []
        self.bare.discard(index)
        return [self.tool_delta(self.calls[index], piece)]

    def _reasoning(self, index: int, delta: dict[str, Any]) -> list[Event]:
        found: list[Event] = []
        if text := delta.get("text"):
            found += [*self._begun(index, "reasoning"), ThinkingDelta(text)]
        if signature := delta.get("signature"):
            found.append(Signed(signature, self.maker))
            self.last = "signed"
        if data := delta.get("redactedContent"):
            self.redacted += base64.b64decode(data, validate=True)
        return found

    def _citation(self, index: int, raw: dict[str, Any]) -> list[Event]:
        return [Cited(read_citation(raw))]

    def block_stop(self, doc: dict[str, Any]) -> list[Event]:
        if self.redacted:
            data, self.redacted = self.redacted, b""
            return [self._sealed(data)]
        index = doc["contentBlockIndex"]
        if index in self.bare:  # other APIs have arguments as JSON, which "" is not
            return [self.tool_delta(self.calls[index], "{}")]
        held = self.held.pop(index, None)
        return [] if held is None else _whole_block(held)

    def _sealed(self, data: bytes) -> Signed:
        """Thinking that only its maker can read. Of Claude's, the bytes are the text that its own API tells."""
        if self.maker != DIALECT and data.isascii():
            return Signed(data.decode(), self.maker, True)
        return Signed(base64.b64encode(data).decode(), DIALECT, True)

    def whole(self, index: int, block: dict[str, Any]) -> list[Event]:
        """The events of a block of a whole reply."""
        [(kind, value)] = block.items()
        if kind == "text":
            return self._text(index, value)
        if kind == "reasoningContent":
            told = value.get("reasoningText") or {}
            found = self._reasoning(index, told | {"redactedContent": value.get("redactedContent")})
            return found + self.block_stop({"contentBlockIndex": index})
        if kind == "citationsContent":
            found = [event for piece in value.get("content") or () for event in self._text(index, piece["text"])]
            return found + [Cited(read_citation(raw)) for raw in value.get("citations") or ()]
        self.index, self.last = index, kind
        if kind == "toolUse" and value.get("type") != "server_tool_use":
            found = self._call(index, value)
            return [*found, self.tool_delta(self.calls[index], orjson.dumps(value.get("input") or {}).decode())]
        if kind == "image":
            return [_image(value["format"], value["source"]["bytes"])]
        return [OpaqueAdded(DIALECT, kind, block)]

    def message_stop(self, doc: dict[str, Any]) -> list[Event]:
        native = doc["stopReason"]
        reason = REASONS.get(native, "stop")
        fields = doc.get("additionalModelResponseFields") or {}
        stop = fields.get("stop_sequence") or (fields.get("delta") or {}).get("stop_sequence") or ""
        if reason == "stop" and self.calls:
            reason = "tool_calls"  # some models say that their turn ended
        self.finished = Finished(reason, 0, stop, native)
        sound([self.finished])
        return []

    def metadata(self, doc: dict[str, Any]) -> list[Event]:
        usage = read_usage("converse", doc)
        used: list[Event] = [] if usage is None else [Used(usage)]
        if self.finished is None:
            return used
        self.over = True
        return [*used, self.finished]


EVENTS: dict[str, Callable[[StreamReader, dict[str, Any]], list[Event]]] = {
    "messageStart": StreamReader.message_start,
    "contentBlockStart": StreamReader.block_start,
    "contentBlockDelta": StreamReader.block_delta,
    "contentBlockStop": StreamReader.block_stop,
    "messageStop": StreamReader.message_stop,
    "metadata": StreamReader.metadata,
}
DELTAS: dict[str, Callable[[StreamReader, int, Any], list[Event]]] = {
    "text": StreamReader._text,
    "toolUse": StreamReader._input,
    "reasoningContent": StreamReader._reasoning,
    "citation": StreamReader._citation,
}


def _whole_block(held: dict[str, Any]) -> list[Event]:
    """What was held of a block that is no text, thinking or call of the client's."""
    pieces = held.pop("pieces")
    [(kind, block)] = held.items()
    if kind == "toolUse":
        block["input"] = orjson.loads("".join(piece["input"] for piece in pieces) or "{}")
    elif kind == "toolResult":
        block["content"] = [item for piece in pieces for item in piece]
    elif kind == "image":
        data = b"".join(base64.b64decode(piece["source"]["bytes"]) for piece in pieces)
        return [_image(block["format"], base64.b64encode(data).decode())]
    return [OpaqueAdded(DIALECT, kind, {kind: block})]


def _image(form: str, data: str) -> MediaAdded:
    if not isinstance(data, str):
        raise TypeError("bytes")
    return MediaAdded(Image(Source("data", data, f"image/{form}")))


def read_citation(raw: dict[str, Any]) -> Citation:
    """Its place is one in the source, not in the text."""
    web = (raw.get("location") or {}).get("web") or {}
    source = raw.get("source") or ""
    url = web.get("url") or (source if source.startswith(("http://", "https://")) else "")
    quote = "".join(piece.get("text") or "" for piece in raw.get("sourceContent") or ())
    title = raw.get("title") or web.get("domain") or ""
    return Citation("url" if url else "document", url, title, quote, dialect=DIALECT, raw=raw)
