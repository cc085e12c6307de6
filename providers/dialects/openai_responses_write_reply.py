"""OpenAI Responses replies for the client, whole and streamed, from events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from providers.chat import Chat, Json, Thinking, ToolCall
from providers.dialects.folding import Choice, fold
from providers.dialects.ids import made
from providers.dialects.openai_responses_items import (
    annotation,
    call_id,
    call_item,
    failure,
    message_item,
    output_of,
    reasoning_item,
    resource,
    signature_item,
    sse,
    text_part,
    write_error,
    write_usage,
)
from providers.dialects.openai_responses_read_reply import INCOMPLETE, PENDING
from providers.dialects.openai_responses_read_request import DIALECT
from providers.events import (
    AudioDelta,
    Break,
    Cited,
    Event,
    Failed,
    Finished,
    Logprobs,
    MediaAdded,
    OpaqueAdded,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
    Used,
    cut_short,
)
from providers.usage import Usage

WORDS = {"length": "max_output_tokens", "context_window": "max_output_tokens"} | {
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


def ending(event: Finished | None, maker: str) -> tuple[str, str]:
    """(status, reason of being incomplete). Only the native words of its own ``maker`` are this dialect's."""
    if event is None:
        return "completed", ""
    native = event.native if maker == DIALECT else ""
    if native in PENDING:
        return native, ""
    reason = native if native in INCOMPLETE else WORDS.get(event.reason, "")
    return ("incomplete", reason) if reason else ("completed", "")


class StreamWriter:
    """``feed`` gives the bytes of one event's events, ``flush`` those of the end and ``[DONE]``.

    Every ``done`` has the full text, every event a number of its own. One message or reasoning item is open at a time;
    calls stay open together until something else comes.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.maker = ""
        self.sequence = 0
        self.response: Json = {}
        self.output: list[Json] = []
        self.item: Json | None = None  # the open message or reasoning
        self.index = -1  # its place in the output
        self.kind = ""  # of the open part: output_text, refusal, summary_text, reasoning_text
        self.head = b""  # of the deltas of the open part
        self.text: list[str] = []
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []
        self.calls: dict[int, tuple[int, ToolCall, str, list[str]]] = {}
        self.usage: Usage | None = None
        self.finished: Finished | None = None
        self.failed = False

    def feed(self, event: Event) -> bytes:
        return WRITERS[type(event)](self, event)

    def _event(self, kind: str, **members: Any) -> bytes:
        self.sequence += 1
        return sse({"type": kind} | members, self.sequence - 1)

    def _started(self, event: Started) -> bytes:
        self.maker = event.dialect
        self.response = resource(self.chat, event)
        created = self._event("response.created", response=self.response)
        return created + self._event("response.in_progress", response=self.response)

    def flush(self) -> bytes:
        done = b"data: [DONE]\n\n"
        if self.failed:
            return done
        if self.finished is None:
            return self._failed(cut_short()) + done
        closed = self._close_all()
        status, reason = ending(self.finished, self.maker)
        self.response |= {"status": status, "output": self.output}
        if status == "completed":
            self.response["completed_at"] = int(time.time())
        elif reason:
            self.response["incomplete_details"] = {"reason": reason}
        if self.usage is not None:
            self.response["usage"] = write_usage(self.usage)
        return closed + self._event(f"response.{status}", response=self.response) + done

    # items and their parts

    def _add(self, item: Json) -> bytes:
        self.output.append(item)
        self.index = len(self.output) - 1
        return self._event("response.output_item.added", output_index=self.index, item=item)

    def _opened(self, kind: str, item_type: str) -> bytes:
        """Makes a part of ``kind`` in an item of ``item_type`` the open one."""
        if self.kind == kind and self.item is not None:
            return b""
        if self.item is not None and self.item["type"] == item_type:
            found = self._close_part()
        elif item_type == "message":
            found = self._close_all() + self._add(message_item(made("msg_"), [], "in_progress"))
            self.item = self.output[-1]
        else:
            found = self._close_all() + self._add({"id": made("rs_"), "type": "reasoning", "summary": []})
            self.item = self.output[-1]
        return found + self._open_part(kind)

    def _open_part(self, kind: str) -> bytes:
        assert self.item is not None
        self.kind, self.text, self.annotations, self.logprobs = kind, [], [], []
        held, name, member = self._place()
        place = {"item_id": self.item["id"], "output_index": self.index, member: len(held)}
        head = orjson.dumps({"type": DELTAS[kind], "sequence_number": 0} | place)
        before, _, after = head.partition(b'"sequence_number":0')
        self.head = b"event: " + DELTAS[kind].encode() + b"\ndata: " + before + b'"sequence_number":%d' + after[:-1]
        return self._event(f"response.{name}.added", **place, part=self._part())

    def _place(self) -> tuple[list[Json], str, str]:
        """The list that the open part is to join, and the words for a part of it and for its index."""
        assert self.item is not None
        if self.kind == "summary_text":
            return self.item["summary"], "reasoning_summary_part", "summary_index"
        return self.item.setdefault("content", []), "content_part", "content_index"

    def _part(self) -> Json:
        text = "".join(self.text)
        if self.kind == "output_text":
            return text_part(text, self.annotations, self.logprobs)
        return {"type": self.kind, "refusal" if self.kind == "refusal" else "text": text}

    def _close_part(self) -> bytes:
        if not self.kind or self.item is None:
            return b""
        held, name, member = self._place()
        place = {"item_id": self.item["id"], "output_index": self.index, member: len(held)}
        part = self._part()
        told = {"refusal": part["refusal"]} if self.kind == "refusal" else {"text": part["text"]}
        if self.kind == "output_text":
            told["logprobs"] = self.logprobs
        found = self._event(DONES[self.kind], **place, **told)
        held.append(part)
        self.kind = ""
        return found + self._event(f"response.{name}.done", **place, part=part)

    def _close(self) -> bytes:
        """Ends the open message or reasoning."""
        if self.item is None:
            return b""
        found = self._close_part()
        if self.item["type"] == "message":
            self.item["status"] = "incomplete" if ending(self.finished, self.maker)[0] == "incomplete" else "completed"
        item, self.item = self.item, None
        return found + self._event("response.output_item.done", output_index=self.index, item=item)

    def _close_calls(self) -> bytes:
        calls, self.calls = self.calls, {}
        status = "incomplete" if ending(self.finished, self.maker)[0] == "incomplete" else "completed"
        return b"".join(self._close_call(*call, status) for call in calls.values())

    def _close_call(self, index: int, call: ToolCall, id: str, pieces: list[str], status: str) -> bytes:
        call.arguments = "".join(pieces)
        custom = call.kind == "custom"
        kind = "response.custom_tool_call_input.done" if custom else "response.function_call_arguments.done"
        told = {"input" if custom else "arguments": call.arguments} | ({} if custom else {"name": call.name})
        found = self._event(kind, item_id=id, output_index=index, **told)
        self.output[index] = item = call_item(call, id, status)
        return found + self._event("response.output_item.done", output_index=index, item=item)

    def _close_all(self) -> bytes:
        return self._close() + self._close_calls()

    def _whole(self, item: Json) -> bytes:
        """An item without a life of its own."""
        found = self._close_all() + self._add(item)
        return found + self._event("response.output_item.done", output_index=self.index, item=item)

    # events

    def _delta(self, text: str, more: bytes = b"") -> bytes:
        self.sequence += 1
        self.text.append(text)
        return self.head % (self.sequence - 1) + b',"delta":%b%b}\n\n' % (orjson.dumps(text), more)

    def _text(self, event: TextDelta) -> bytes:
        if event.choice:
            return b""
        opened = b"" if self.kind == "output_text" else self._opened("output_text", "message")
        return opened + self._delta(event.text, b',"logprobs":[]')

    def _refusal(self, event: RefusalDelta) -> bytes:
        return self._opened("refusal", "message") + self._delta(event.text)

    def _thinking(self, event: ThinkingDelta) -> bytes:
        return self._opened("summary_text" if event.summary else "reasoning_text", "reasoning") + self._delta(
            event.text
        )

    def _logprobs(self, event: Logprobs) -> bytes:
        opened = self._opened("output_text", "message")
        self.logprobs += event.tokens
        return opened + self._delta("", b',"logprobs":' + orjson.dumps(event.tokens))

    def _cited(self, event: Cited) -> bytes:
        told = annotation(event.citation, sum(map(len, self.text)))
        if told is None:
            return b""
        opened = self._opened("output_text", "message")
        self.annotations.append(told)
        assert self.item is not None
        return opened + self._event(
            "response.output_text.annotation.added",
            item_id=self.item["id"],
            output_index=self.index,
            content_index=len(self.item["content"]),
            annotation_index=len(self.annotations) - 1,
            annotation=told,
        )

    def _signed(self, event: Signed) -> bytes:
        open_reasoning = self.item is not None and self.item["type"] == "reasoning"
        if not event.signature and not open_reasoning and event.signed_by != DIALECT:
            return b""
        found = b""
        if not open_reasoning or event.redacted:
            found = self._close_all() + self._add({"id": event.id or made("rs_"), "type": "reasoning", "summary": []})
            self.item = self.output[-1]
        assert self.item is not None
        found += self._close_part()
        part = Thinking(signature=event.signature, signed_by=event.signed_by, form=event.form)
        self.item |= {k: v for k, v in reasoning_item(part, "").items() if k == "encrypted_content"}
        return found + self._close()

    def _break(self, event: Break) -> bytes:
        return self._close_part()

    def _tool_started(self, event: ToolStarted) -> bytes:
        closed = self._close()
        call = ToolCall(call_id(event.id), event.name, "", event.kind, event.namespace)
        if event.signature:
            call.signature, call.signed_by = event.signature, event.signed_by
            closed += self._whole(signature_item(call))
        item_id = made("ctc_" if event.kind == "custom" else "fc_")
        added = self._add(call_item(call, item_id, "in_progress"))
        self.calls[event.index] = (self.index, call, item_id, [])
        return closed + added

    def _tool_delta(self, event: ToolDelta) -> bytes:
        held = self.calls.get(event.index)
        if held is None:
            return b""
        index, call, item_id, pieces = held
        pieces.append(event.arguments)
        custom = call.kind == "custom"
        kind = "response.custom_tool_call_input.delta" if custom else "response.function_call_arguments.delta"
        return self._event(kind, item_id=item_id, output_index=index, delta=event.arguments)

    def _opaque(self, event: OpaqueAdded) -> bytes:
        return self._whole(event.raw) if event.dialect == DIALECT else b""

    def _nothing(self, event: MediaAdded | AudioDelta) -> bytes:
        return b""  # asked for by no request that is translated

    def _used(self, event: Used) -> bytes:
        self.usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        if self.finished is None and not event.choice:
            self.finished = event
        return b""

    def _failed(self, event: Failed) -> bytes:
        """``response.failed`` once there is a response, else ``error``."""
        self.failed = True
        if not self.response:
            body = write_error(event)[1]["error"]
            return self._event("error", **{name: body[name] for name in ("code", "message", "param")}, error=body)
        closed = self._close_all()
        self.response |= {"status": "failed", "error": failure(event), "output": self.output}
        if self.usage is not None:
            self.response["usage"] = write_usage(self.usage)
        return closed + self._event("response.failed", response=self.response)


DELTAS = {
    "output_text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "summary_text": "response.reasoning_summary_text.delta",
    "reasoning_text": "response.reasoning_text.delta",
}
DONES = {kind: name.removesuffix("delta") + "done" for kind, name in DELTAS.items()}
WRITERS: dict[type, Callable[[StreamWriter, Any], bytes]] = {
    TextDelta: StreamWriter._text,
    ToolDelta: StreamWriter._tool_delta,
    ThinkingDelta: StreamWriter._thinking,
    Started: StreamWriter._started,
    Signed: StreamWriter._signed,
    Break: StreamWriter._break,
    ToolStarted: StreamWriter._tool_started,
    RefusalDelta: StreamWriter._refusal,
    Cited: StreamWriter._cited,
    MediaAdded: StreamWriter._nothing,
    AudioDelta: StreamWriter._nothing,
    Logprobs: StreamWriter._logprobs,
    OpaqueAdded: StreamWriter._opaque,
    Used: StreamWriter._used,
    Finished: StreamWriter._finished,
    Failed: StreamWriter._failed,
}


def write_response(events: Iterable[Event], chat: Chat) -> Json:
    """The whole reply; where the events end in Failed, an error's body, or a failed Response if one had begun."""
    reply = fold(events)
    choice = reply.choices.get(0) or Choice()
    if reply.failed is not None and not reply.started.dialect:
        return write_error(reply.failed)[1]
    doc = resource(chat, reply.started)
    status, reason = ending(choice.finished, reply.started.dialect)
    doc["output"] = output_of(choice.parts, choice.logprobs, status)
    if reply.usage is not None:
        doc["usage"] = write_usage(reply.usage)
    if reply.failed is not None:
        return doc | {"status": "failed", "error": failure(reply.failed)}
    if reason:
        return doc | {"status": status, "incomplete_details": {"reason": reason}}
    return doc | {"status": status, "completed_at": int(time.time()) if status == "completed" else None}
