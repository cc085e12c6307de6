"""How a stream of each API ends that has become as long as it may be, after any beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from providers.dialects import anthropic_write_reply, gemini_write_reply, openai_chat_write_reply
from providers.dialects.openai_responses_items import write_usage as responses_usage
from providers.sse import write
from providers.usage import Usage

Doc = dict[str, Any]
GARBAGE: Final = (ValueError, TypeError, AttributeError, KeyError, IndexError)
DONE: Final = write(b"[DONE]")


class Ending(Protocol):
    """``read`` takes in each event that the client was sent, ``end`` gives those that are still to come. ``told``: the
    client has asked for usage, where that has to be asked for.

    Events without ``marker`` tell nothing of the ending; with ``last_only`` neither do any but the last that has it."""

    marker: bytes
    last_only: bool

    def read(self, doc: Doc) -> None: ...

    def end(self, usage: Usage, told: bool) -> list[bytes]: ...


class ChatEnding:
    """Of chat completions and of completions, whose chunks have texts for deltas."""

    marker = b'"choices"'

    def __init__(self, asked: Doc) -> None:
        several = asked.get("n") not in (None, 1) or isinstance(asked.get("prompt"), list)
        self.last_only = not several
        self.head: Doc = {}
        self.legacy = False
        self.open: dict[int, bool] = {}

    def read(self, doc: Doc) -> None:
        self.head = {name: doc[name] for name in ("id", "object", "created", "model") if name in doc} or self.head
        for choice in doc.get("choices") or ():
            self.legacy = self.legacy or "text" in choice
            index = choice.get("index", 0)
            self.open[index] = self.open.get(index, True) and not choice.get("finish_reason")

    def end(self, usage: Usage, told: bool) -> list[bytes]:
        said: Doc = {"text": "", "logprobs": None} if self.legacy else {"delta": {}}
        chosen = [index for index, still in self.open.items() if still] or ([] if self.open else [0])
        docs: list[Doc] = [{"choices": [{"index": index, **said, "finish_reason": "length"}]} for index in chosen]
        if told:
            docs.append({"choices": [], "usage": openai_chat_write_reply.write_usage(usage)})
        return [*(write(orjson.dumps(self.head | doc)) for doc in docs), DONE]


class MessagesEnding:
    """Of Anthropic's messages."""

    marker = b"content_block_st"
    last_only = False

    def __init__(self, asked: Doc) -> None:
        self.open: dict[int, None] = {}

    def read(self, doc: Doc) -> None:
        kind = doc.get("type")
        if kind == "content_block_start":
            self.open[doc["index"]] = None
        elif kind == "content_block_stop":
            self.open.pop(doc["index"], None)

    def end(self, usage: Usage, told: bool) -> list[bytes]:
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        docs: list[Doc] = [{"type": "content_block_stop", "index": index} for index in self.open]
        docs.append({"type": "message_delta", "delta": delta, "usage": anthropic_write_reply.write_usage(usage)})
        return [_named(doc) for doc in [*docs, {"type": "message_stop"}]]


class GenerateEnding:
    """Of Gemini's generateContent."""

    marker = b'"candidates"'

    def __init__(self, asked: Doc) -> None:
        config = asked.get("generationConfig") or asked.get("generation_config") or {}
        self.last_only = not {"candidateCount", "candidate_count"} & {*config}
        self.head: Doc = {}
        self.open: dict[int, bool] = {}

    def read(self, doc: Doc) -> None:
        self.head = {name: doc[name] for name in ("modelVersion", "responseId") if name in doc} or self.head
        for candidate in doc.get("candidates") or ():
            index = candidate.get("index", 0)
            self.open[index] = self.open.get(index, True) and not candidate.get("finishReason")

    def end(self, usage: Usage, told: bool) -> list[bytes]:
        chosen = [index for index, still in self.open.items() if still] or [0]
        content = {"role": "model", "parts": [{"text": ""}]}
        made = [{"content": content, "finishReason": "MAX_TOKENS", "index": index} for index in chosen]
        doc = {"candidates": made, "usageMetadata": gemini_write_reply.write_usage(usage), **self.head}
        return [write(orjson.dumps(doc))]


#: A text that grows by deltas -> its member in the event that ends it, and the list of its item that its part stands in.
TEXTS: Final = {
    "response.output_text": ("text", "content"),
    "response.refusal": ("refusal", "content"),
    "response.reasoning_text": ("text", "content"),
    "response.reasoning_summary_text": ("text", "summary"),
    "response.function_call_arguments": ("arguments", ""),
    "response.custom_tool_call_input": ("input", ""),
    "response.mcp_call_arguments": ("arguments", ""),
    "response.code_interpreter_call_code": ("code", ""),
}
#: The list of an item -> the events about its parts, and the number that these have.
PARTS: Final = {
    "content": ("response.content_part", "content_index"),
    "summary": ("response.reasoning_summary_part", "summary_index"),
}
LISTS: Final = {name: (held, number) for held, (name, number) in PARTS.items()}
#: The type of a part -> its text.
GROWING: Final = {
    "output_text": "response.output_text",
    "refusal": "response.refusal",
    "reasoning_text": "response.reasoning_text",
    "summary_text": "response.reasoning_summary_text",
}
TYPES: Final = {text: kind for kind, text in GROWING.items()}
Key = tuple[int, str, int]


class ResponsesEnding:
    """Of the Responses API: every text whole, in its own event, in its part, in its item and in the response."""

    marker = b""
    last_only = False

    def __init__(self, asked: Doc) -> None:
        self.response: Doc = {}
        self.sequence = -1
        self.items: dict[int, Doc] = {}
        self.open: set[int] = set()
        self.texts: dict[Key, list[str]] = {}

    def read(self, doc: Doc) -> None:
        kind = str(doc.get("type"))
        self.sequence = doc.get("sequence_number", self.sequence)
        name, _, step = kind.rpartition(".")
        if name in TEXTS:
            self._text(name, step, doc)
        elif name in LISTS:
            self._part(name, step, doc)
        elif kind == "response.output_item.added":
            self.items[doc["output_index"]] = doc["item"]
            self.open.add(doc["output_index"])
        elif kind == "response.output_item.done":
            self.items[doc["output_index"]] = doc["item"]
            self.open.discard(doc["output_index"])
        elif isinstance(doc.get("response"), dict):
            self.response = doc["response"]

    def _text(self, name: str, step: str, doc: Doc) -> None:
        held = TEXTS[name][1]
        key = (doc["output_index"], name, doc.get(PARTS[held][1], 0) if held else 0)
        if step == "delta" and isinstance(doc["delta"], str):
            self.texts.setdefault(key, []).append(doc["delta"])
        elif step == "done":
            self.texts.pop(key, None)
            self._fill(key, doc[TEXTS[name][0]])

    def _part(self, name: str, step: str, doc: Doc) -> None:
        held, number = LISTS[name]
        parts, part = self.items[doc["output_index"]].setdefault(held, []), doc["part"]
        if step == "added":
            parts.append(part)
            self.texts.setdefault((doc["output_index"], GROWING[part["type"]], doc[number]), [])
        elif step == "done":
            parts[doc[number]] = part

    def _fill(self, key: Key, text: str) -> Doc:
        """Put ``text`` where it belongs: into its part, which is given back, or its item."""
        at, name, number = key
        member, held = TEXTS[name]
        whole = self.items[at]
        if held:
            parts = whole.setdefault(held, [])
            if number >= len(parts):
                parts.append({"type": TYPES[name]})
            whole = parts[min(number, len(parts) - 1)]
        whole[member] = text
        return whole

    def end(self, usage: Usage, told: bool) -> list[bytes]:
        found = [event for at in sorted(self.open) for event in self._close(at)]
        self.response |= {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [item for _, item in sorted(self.items.items())],
            "usage": responses_usage(usage),
        }
        return [*found, self._event("response.incomplete", response=self.response), DONE]

    def _close(self, at: int) -> list[bytes]:
        """The events that end an item."""
        found: list[bytes] = []
        item = self.items[at]
        for key in [key for key in self.texts if key[0] == at]:
            found += self._close_text(item, key)
        if "status" in item:
            item["status"] = "incomplete"
        return [*found, self._event("response.output_item.done", output_index=at, item=item)]

    def _close_text(self, item: Doc, key: Key) -> list[bytes]:
        at, name, number = key
        member, held = TEXTS[name]
        text = "".join(self.texts.pop(key))
        part = self._fill(key, text)
        place = {"item_id": item.get("id", ""), "output_index": at, **({PARTS[held][1]: number} if held else {})}
        more: Doc = {"logprobs": []} if name == "response.output_text" else {}
        found = [self._event(f"{name}.done", **place, **{member: text}, **more)]
        return [*found, self._event(f"{PARTS[held][0]}.done", **place, part=part)] if held else found

    def _event(self, kind: str, **members: Any) -> bytes:
        self.sequence += 1
        return _named({"type": kind, "sequence_number": self.sequence, **members})


def _named(doc: Doc) -> bytes:
    return write(orjson.dumps(doc), doc["type"])


ENDINGS: Final[dict[str, Callable[[Doc], Ending]]] = {
    "chat": ChatEnding,
    "completions": ChatEnding,
    "messages": MessagesEnding,
    "generate": GenerateEnding,
    "responses": ResponsesEnding,
    "unified": ChatEnding,
}
