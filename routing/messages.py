"""The messages of the Responses API's WebSocket: what a client sends, read; what it is told, written.

A turn is asked for by ``response.create`` and told by the events of a stream, one message each. Wire: OpenAI's guide of
the WebSocket mode, and its client library's types of client and server events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from providers import jsonbytes
from routing.errors import KINDS, GatewayError, kind_of_status
from routing.incoming import MAX_BRACKETS

Doc = dict[str, Any]
LANE = re.compile(r"[A-Za-z0-9_.-]{1,256}\Z")
#: Members of a ``response.create`` that are the socket's; the rest is the body of a request.
OURS = frozenset({"type", "stream_id", "generate", "stream", "background"})
#: To look at every text of a message with more takes too long: it is written anew.
MANY_QUOTES = 200_000
#: What some clients tell and nobody needs to answer.
IGNORED = frozenset({"response.processed"})
TAKEN = "response.create"


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn: its ``lane`` ("" the default one), the ``body`` of the request that it is, the response that it goes on
    from. ``warm``: nothing is to be generated."""

    lane: str
    body: bytes
    previous_id: str
    warm: bool


def parse(data: bytes) -> Doc:
    """The JSON object that a message is. Raises GatewayError."""
    if len(data) > MAX_BRACKETS and data.count(b"{") + data.count(b"[") > MAX_BRACKETS:
        raise GatewayError("invalid_request", f"The message has more than {MAX_BRACKETS} objects and arrays.")
    try:
        return jsonbytes.parse(data)
    except jsonbytes.JSONBodyError as error:
        raise GatewayError("invalid_request", str(error).replace("body", "message"), code="invalid_json") from None


def lane_of(doc: Doc) -> str:
    """The lane that a message names. Raises GatewayError."""
    lane = doc.get("stream_id")
    if lane is None:
        return ""
    if not isinstance(lane, str) or not LANE.match(lane):
        message = "stream_id must be a text of 1 to 256 letters, digits, underscores, hyphens and periods."
        raise GatewayError("invalid_request", message, param="stream_id", code="invalid_stream_id")
    return lane


def read_create(doc: Doc, data: bytes) -> Asked:
    """The turn that a ``response.create`` asks for; its members pass byte for byte, save of a message with very many. Raises GatewayError."""
    for name in ("generate", "background"):
        if doc.get(name) is not None and not isinstance(doc[name], bool):
            raise GatewayError("invalid_request", f"The field {name} must be true or false.", param=name)
    if doc.get("background"):
        message = "A response cannot be made in the background over a WebSocket."
        raise GatewayError("invalid_request", message, param="background")
    previous = doc.get("previous_response_id")
    return Asked(
        lane_of(doc),
        _body(doc, data),
        previous if isinstance(previous, str) else "",
        doc.get("generate") is False,
    )


def _body(doc: Doc, data: bytes) -> bytes:
    if data.count(b'"') - data.count(b'\\"') > MANY_QUOTES:
        return orjson.dumps({"stream": True, **{name: value for name, value in doc.items() if name not in OURS}})
    kept = [data[each.key_start : each.value_end] for each in jsonbytes.spans(data) if each.key not in OURS]
    return b",".join([b'{"stream":true', *kept]) + b"}"


def unknown(doc: Doc) -> GatewayError:
    kind = doc.get("type")
    told = f"not {str(kind)[:100]!r}" if kind is not None else "and this one has none"
    return GatewayError("invalid_request", f"Messages here are of the type {TAKEN!r}, {told}.", param="type")


def steer_failed(doc: Doc) -> Doc:
    """The answer to a ``response.steer``: a turn runs as it was asked for."""
    message = "A turn under way cannot be steered here; send the input with the next response.create."
    return {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "error": {"type": "invalid_request_error", "code": "steering_not_supported", "message": message},
        "steer": {"previous_response_id": doc.get("previous_response_id"), "input": doc.get("input")},
    }


# ---------------------------------------------------------------- errors


def error_event(told: Any, status: int, headers: Mapping[str, str] | None = None) -> Doc:
    """The event for an error that was ``told`` as the body of a reply or as an event of a stream.

    Codex reads the headers beside the error, the client library inside it.
    """
    found = told.get("error") if isinstance(told, dict) else None
    if isinstance(found, str):
        found = {"message": found}
    elif not isinstance(found, dict):
        found = {**told, "type": None} if isinstance(told, dict) else {}
    error = {
        **{name: found[name] for name in ("request_id",) if name in found},
        "type": found.get("type") or KINDS[kind_of_status(status)][1],
        "code": found.get("code"),
        "message": str(found.get("message") or "The provider gave no reason."),
        "param": found.get("param"),
    }
    event = {"type": "error", "status": status, "error": error}
    return {**event, "headers": headers, "error": {**error, "headers": headers}} if headers else event


def whole(doc: Doc) -> list[Doc]:
    """The events of a response that came whole where a stream was asked for."""
    events: list[Doc] = [{"type": "response.created", "response": {**doc, "status": "in_progress", "output": []}}]
    for index, item in enumerate(doc["output"]):
        place = {"output_index": index, "item": item}
        events += [{"type": "response.output_item.added", **place}, {"type": "response.output_item.done", **place}]
    status = doc.get("status")
    last = status if status in ("incomplete", "failed") else "completed"
    events.append({"type": f"response.{last}", "response": doc})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def text(data: bytes, lane: str) -> str:
    """An event as a message of its lane."""
    if lane and data.startswith(b"{"):
        data = jsonbytes.insert(data, "stream_id", orjson.dumps(lane))
    return data.decode("utf-8", "replace")
