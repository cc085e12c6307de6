"""The reply to a turn of a WebSocket that generates nothing: an empty response, from which a later turn goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from providers.chat import BadRequest
from providers.dialects import openai_responses
from providers.dialects.ids import made
from providers.events import Event, Finished, Started, Used
from providers.sse import write
from providers.usage import Usage
from routing import responses
from routing.call import Call
from routing.client import Client
from routing.translation import bad_request
from tenants.responses import ResponseStore

STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


async def answer(call: Call, client: Client, store: ResponseStore) -> None:
    """Tell the events of an empty response, kept first where it is to be. No upstream is asked. Raises GatewayError."""
    doc = _response(call)
    # What goes on from an upstream's own response cannot be told from here: only the connection remembers it.
    alone = not call.doc.get("previous_response_id")
    doc["store"] = doc["store"] and alone and await responses.keep(call, doc, store)
    begun = {**doc, "status": "in_progress", "completed_at": None, "usage": None}
    told = [("response.created", begun), ("response.in_progress", begun), ("response.completed", doc)]
    events = [
        write(orjson.dumps({"type": kind, "sequence_number": number, "response": response}), kind)
        for number, (kind, response) in enumerate(told)
    ]
    await client.start(200, STREAM)
    await client.send(b"".join(events), more=False)


def _response(call: Call) -> dict[str, Any]:
    # What is made ready may be tools and instructions alone, which as a request would lack its input.
    asked = {**call.doc, "input": call.doc.get("input") or "nothing yet"}
    try:
        chat = openai_responses.read_request(asked)
    except BadRequest as error:
        raise bad_request(error) from None
    previous = (call.turn.previous_id if call.turn is not None else "") or chat.previous_id
    shown = replace(chat, model=call.model, previous_id=previous, store=responses.wanted(call))
    events: list[Event] = [
        Started(made("resp_"), call.entry.model, dialect="openai_responses"),
        Used(Usage()),
        Finished("stop"),
    ]
    return openai_responses.write_response(events, shown)
