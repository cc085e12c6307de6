"""The state of the Responses API where the gateway keeps it: what a call goes on from, and what is kept of its reply.

A conversation kept here can go on at any upstream. One that an upstream keeps is not touched: its ids are not found here.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.dialects.ids import made
from providers.dialects.signatures import PREFIX as FOREIGN_SIGNATURE
from routing.call import Call
from routing.compaction import summary_item
from routing.errors import GatewayError
from routing.seal import Seal
from routing.translation import READABLE
from tenants.objects import ObjectStoreError, StoredObject
from tenants.responses import Missing, ResponseStore, ResponseStoreError, StoredResponse, TooLarge

log = logging.getLogger(__name__)

Item = dict[str, Any]
#: The kind under which the items of kept responses are found by id; no provider has them.
KEPT = "kept"
#: No body names what is kept without one of these words, unless it hides it behind an escape.
STATE = re.compile(rb'previous_response_id|item_reference|"compaction"|\\u00')
#: As long as a connection may last that remembers responses.
SESSION_SECONDS = 3600
PREFIXES = {"message": "msg_", "function_call": "fc_", "function_call_output": "fco_", "reasoning": "rs_"}


@dataclass(slots=True)
class Turn:
    """What this call adds to a conversation: its own ``items``, after the response ``previous_id`` ("" for none)."""

    previous_id: str = ""
    items: list[Item] = field(default_factory=list)
    resumed: bool = False  # whether the call's input holds more than the client sent
    unstored: bool = False  # whether it goes on from what was not to be stored


async def resume(call: Call, store: ResponseStore, seal: Seal) -> None:
    """Put what the gateway keeps in the place of what the call names: the conversation before it, items by reference,
    compacted ones. Raises GatewayError."""
    doc = call.doc
    given = doc.get("input")
    if STATE.search(call.body) is None or not isinstance(given, str | list | None):
        return  # most have none; of a wrong type its reader says so
    items = _items(given)
    turn = call.turn = Turn(items=items)
    items = await _referenced(call, store, items)
    items = [summary_item(item, seal, call.key.tenant_id) or item for item in items]
    turn.resumed = any(new is not old for new, old in zip(items, turn.items, strict=True))
    turn.items = items
    history: list[Item] = []
    previous = doc.get("previous_response_id")
    if isinstance(previous, str) and (chain := await _chain(call, store, previous)):
        history = _items_of(chain)
        turn.previous_id, turn.resumed = previous, True
        turn.unstored = call.kept is not None and call.kept.remembers(call.key.tenant_id, previous)
        doc = {name: value for name, value in doc.items() if name != "previous_response_id"}
        if chain[0].previous_id:
            doc["previous_response_id"] = chain[0].previous_id
    if turn.resumed:
        call.doc = {**doc, "input": history + items}
        with READABLE:
            call.body = orjson.dumps(
                {**doc, "input": [_native(item) for item in history + items if not _is_foreign(item)]}
            )


def _items(given: Any) -> list[Item]:
    """The input as items, each with an id; what is none stays for the reader to refuse."""
    if isinstance(given, str):
        content = [{"type": "input_text", "text": given}]
        return [_with_id({"role": "user", "content": content})]
    return [item if not isinstance(item, dict) else _with_id(item) for item in given or []]


def _with_id(item: Item) -> Item:
    """An input item as it is kept and listed: a message with its type, its content as parts, and an id."""
    if set(item) <= {"id", "type"}:
        return item
    kind = item.get("type") or "message"
    found = {"id": made(PREFIXES.get(kind, "item_")), "type": kind, **item}
    if kind == "message" and isinstance(item.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        told: Item = {"annotations": [], "logprobs": []} if part == "output_text" else {}
        found["content"] = [{"type": part, "text": item["content"], **told}]
    return found if kind == "item_reference" else {**found, "status": item.get("status") or "completed"}


async def _chain(call: Call, store: ResponseStore, previous: str) -> list[StoredResponse]:
    """The conversation up to ``previous``, empty where it is not kept here. The first has a ``previous_id`` of its own
    only where that is an upstream's."""
    try:
        return await store.chain(call.key.tenant_id, previous) if previous else []
    except Missing as error:
        raise _not_found(error.id) from None
    except TooLarge:
        raise GatewayError(
            "invalid_request", "This conversation is too long to go on from.", param="previous_response_id"
        ) from None
    except ResponseStoreError:
        raise GatewayError("overloaded", "Stored responses cannot be looked up now.", retry_after=5) from None


def _items_of(chain: list[StoredResponse]) -> list[Item]:
    return [item for kept in chain for item in (*orjson.loads(kept.input), *orjson.loads(kept.response)["output"])]


def _not_found(response_id: str) -> GatewayError:
    return GatewayError(
        "invalid_request",
        f"The previous response {response_id[:100]!r} was not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


async def _referenced(call: Call, store: ResponseStore, items: list[Item]) -> list[Item]:
    """``items`` with those that kept responses hold in the place of references to them."""
    asked = [
        item["id"]
        for item in items
        if isinstance(item, dict) and item.get("type") == "item_reference" and isinstance(item.get("id"), str)
    ]
    if not asked:
        return items
    tenant = call.key.tenant_id
    try:
        found = await call.objects.find(tenant, asked)
        holders = {found[name].route for name in asked if name in found and found[name].kind == KEPT}
        held: dict[Any, Item] = {}
        for holder in holders:
            kept = await store.find(tenant, holder)
            for item in orjson.loads(kept.response)["output"] if kept is not None else []:
                held[item.get("id")] = item
    except (ObjectStoreError, ResponseStoreError):
        raise GatewayError("overloaded", "Stored objects cannot be looked up now.", retry_after=5) from None
    return [held.get(item.get("id"), item) if isinstance(item, dict) else item for item in items]


def _is_foreign(item: Any) -> bool:
    """Reasoning that another maker has signed: a native API refuses it, and it says nothing to its model."""
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    sealed = item.get("encrypted_content")
    return not sealed or (isinstance(sealed, str) and sealed.startswith(FOREIGN_SIGNATURE))


def _native(item: Any) -> Any:
    """An item without our id, which its own API would look up."""
    return {name: value for name, value in item.items() if name != "id"} if isinstance(item, dict) else item


# ---------------------------------------------------------------- keeping


def wanted(call: Call) -> bool:
    """Whether the reply to this call is to be kept here; what goes on from the unstored is as little stored."""
    if call.turn is not None and call.turn.unstored:
        return False
    return call.endpoint.name == "responses" and call.doc.get("store") is not False and call.tenant.store_responses


async def keep(call: Call, response: dict[str, Any], store: ResponseStore) -> bool:
    """Commit ``response`` with its turn, before the client can name it; False where it could not be."""
    turn, tenant = call.turn or Turn(items=_items(call.doc.get("input"))), call.tenant
    now = time.time()
    route = call.entry.route
    item = StoredResponse(
        response["id"],
        tenant.id,
        turn.previous_id,
        str(response.get("model"))[:255],
        route,
        now,
        now + tenant.response_seconds,
        orjson.dumps(response),
        orjson.dumps(turn.items),
    )
    names = [each["id"] for each in response["output"] if each.get("id")]
    try:
        await store.save(item, tenant.response_bytes)
        await call.objects.remember([StoredObject(name, tenant.id, KEPT, 0, route=item.id) for name in names])
    except (ResponseStoreError, ObjectStoreError) as error:
        log.error("the response of request %s could not be kept: %s", call.id, error)
        return False
    return True


def remembered(call: Call, output: list[Item], response_id: str) -> StoredResponse:
    """The reply to ``call`` with all of its conversation that is known here, for who keeps it in memory; what an
    upstream keeps of it goes by ``previous_id``."""
    doc, turn, now = call.doc, call.turn, time.time()
    items = doc["input"] if turn is not None and turn.resumed else turn.items if turn else _items(doc.get("input"))
    return StoredResponse(
        response_id,
        call.tenant.id,
        doc.get("previous_response_id") or "",
        call.model,
        call.entry.route,
        now,
        now + SESSION_SECONDS,
        orjson.dumps({"id": response_id, "output": output}),
        orjson.dumps(items),
    )


# ---------------------------------------------------------------- reading again


async def input_items(call: Call, store: ResponseStore, kept: StoredResponse) -> dict[str, Any]:
    """The list of all input items of ``kept``, its conversation's before it included; newest first, as the API has it."""
    items = _items_of(await _chain(call, store, kept.previous_id)) + orjson.loads(kept.input)
    asked = call.asked()
    if asked.get("order", "desc") == "desc":
        items.reverse()
    if after := asked.get("after"):
        ids = [item.get("id") for item in items]
        if after not in ids:
            raise GatewayError("invalid_request", "There is no item of that id.", param="after")
        items = items[ids.index(after) + 1 :]
    limit = _limit(asked.get("limit", "20"))
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0].get("id") if page else None,
        "last_id": page[-1].get("id") if page else None,
        "has_more": len(items) > limit,
    }


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise GatewayError("invalid_request", "limit must be a number from 1 to 100.", param="limit")
    return int(text)


async def find_kept(call: Call, store: ResponseStore, response_id: str) -> StoredResponse | None:
    try:
        return await store.find(call.key.tenant_id, response_id)
    except ResponseStoreError:
        raise GatewayError("overloaded", "Stored responses cannot be looked up now.", retry_after=5) from None


async def answer_kept(call: Call, store: ResponseStore, kept: StoredResponse) -> bytes:
    """The body that answers a GET, a DELETE or a cancel of ``kept``. Raises GatewayError."""
    match call.endpoint.name:
        case "responses.get":
            if call.asked().get("stream") == "true":
                raise GatewayError(
                    "invalid_request", "Only a response made in the background can be streamed again.", param="stream"
                )
            return kept.response
        case "responses.input_items":
            return orjson.dumps(await input_items(call, store, kept))
        case "responses.delete":
            try:
                await store.forget(call.key.tenant_id, kept.id)
            except ResponseStoreError:
                raise GatewayError("overloaded", "The response cannot be deleted now.", retry_after=5) from None
            return orjson.dumps({"id": kept.id, "object": "response", "deleted": True})
    raise GatewayError("invalid_request", "Only a response made in the background can be cancelled.", param="id")
