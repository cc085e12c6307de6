"""``/v1/responses/compact`` where the upstream has none: the model is asked for a summary, which the client carries sealed.

The reply keeps what the user said and puts a ``compaction`` item in the place of everything else. Sent back, the item
is opened and becomes a message. Shape: OpenAI's ``CompactResource``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

import orjson

from providers.chat import Chat, Message, Text
from providers.dialects.folding import fold
from providers.dialects.ids import made
from providers.dialects.openai_responses_items import write_usage
from providers.errors import ReplyBroken
from providers.events import Event, Failed, TextDelta, Used
from providers.upstream import Reply
from providers.usage import Usage
from routing.call import Call
from routing.client import Client
from routing.errors import GatewayError, UpstreamSaid
from routing.foreign import Foreign
from routing.seal import Seal
from routing.table import Table, Target
from routing.translation import Translation

PREFIX: Final = "gwc1."
ASK: Final = (
    "Summarise this conversation so that another assistant can carry on from the summary alone. Keep every decision, "
    "constraint, name, number, file and open task, the results of the tools that were called, and what was about to be "
    "done next. Write only the summary."
)
TOLD: Final = "Summary of the conversation until here:\n\n"


def _label(tenant_id: int) -> str:
    return f"compaction {tenant_id}"


def summary_item(item: Any, seal: Seal, tenant_id: int) -> dict[str, Any] | None:
    """The message that a compaction item of ours stands for; None for anything else. Raises GatewayError for one that
    is not this tenant's."""
    if not isinstance(item, dict) or item.get("type") != "compaction":
        return None
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed.startswith(PREFIX):
        return None
    text = seal.open(_label(tenant_id), sealed.removeprefix(PREFIX))
    if text is None:
        raise GatewayError("invalid_request", "The compaction item cannot be opened.", param="input")
    content = [{"type": "input_text", "text": TOLD + text}]
    return {"type": "message", "role": "user", "content": content, "id": item.get("id") or made("msg_")}


class Compaction(Translation):
    """The conversation, and the request to summarise it."""

    def __init__(self, call: Call, target: Target, table: Table, chat: Chat, api: str) -> None:
        asked = [*chat.messages, Message("user", [Text(ASK)])]
        plain = replace(chat, messages=asked, stream=False, tools=[], tool_choice=None, parallel_tool_calls=None)
        super().__init__(call, target, table, replace(plain, response_format=None), api)


class Compacted(Foreign):
    """The summary as it is read."""

    def __init__(self, call: Call, reply: Reply, compaction: Compaction, seal: Seal) -> None:
        super().__init__(call, reply, compaction)
        self.compaction = compaction
        self.seal = seal

    async def wait(self, client: Client, idle: float) -> None:
        doc = await self.read_document(client, idle)
        events = self.compaction.upstream.read_response(doc, self.compaction.chat)
        told = self.told
        told.usage = _usage(events)
        failed = next((event for event in events if isinstance(event, Failed)), None)
        if failed is not None:
            raise UpstreamSaid(self.redacted(failed))
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        if not text.strip():
            raise ReplyBroken("the provider's model wrote no summary")
        told.complete, told.characters = True, len(text)
        told.response_id, told.model = (started := fold(events).started).id[:255], started.model[:255]
        self.body = orjson.dumps(self._resource(text, told.usage or Usage()))

    def _resource(self, text: str, usage: Usage) -> dict[str, Any]:
        sealed = PREFIX + self.seal.close(_label(self.call.key.tenant_id), text)
        return {
            "id": made("resp_"),
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [*_users(self.call), {"type": "compaction", "id": made("cmp_"), "encrypted_content": sealed}],
            "usage": write_usage(usage),
        }


def _usage(events: list[Event]) -> Usage | None:
    return next((event.usage for event in reversed(events) if isinstance(event, Used)), None)


def _users(call: Call) -> list[dict[str, Any]]:
    """What the user said, item by item."""
    given = call.doc.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    found = []
    for item in items:
        if item.get("type", "message") == "message" and item.get("role") == "user":
            content = item.get("content") or []
            parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
            message = {"type": "message", "id": item.get("id") or made("msg_"), "role": "user", "status": "completed"}
            found.append({**message, "content": parts})
    return found
