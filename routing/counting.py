"""Token counts where the client's own API is not the upstream's: asked in the upstream's words, else estimated.

An estimate is marked by the header ``x-gateway-estimated``.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from providers.chat import Audio, Chat, File, Image, Json, Part, Refusal, Text, Thinking, ToolCall, ToolResult, Video
from providers.errors import ReplyBroken
from providers.upstream import Reply
from routing.call import Call
from routing.client import Client
from routing.foreign import JSON, Foreign
from routing.table import Rewrite, Target
from routing.translation import READABLE, Translation, chat_of

#: API -> the members of its request that count, and where its reply tells the number.
COUNTED: Final[dict[str, tuple[frozenset[str], str]]] = {
    "messages": (frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking"}), "input_tokens"),
    "generate": (frozenset({"contents", "systemInstruction", "tools", "toolConfig"}), "totalTokens"),
    "responses": (
        frozenset({"model", "input", "instructions", "tools", "tool_choice", "text", "reasoning"}),
        "input_tokens",
    ),
}
BYTES_PER_TOKEN: Final = 4
#: What pictures and sounds cost is known to the vendors only; these are their documents' middle figures.
IMAGE_TOKENS, MEDIA_TOKENS, MESSAGE_TOKENS = 1100, 2000, 4


class Count(Translation):
    """A count asked of an upstream in its own API."""

    def _wire(self, call: Call, target: Target, doc: dict[str, Any], rewrites: list[Rewrite]) -> None:
        self.members, self.number = COUNTED[self.upstream.API]
        doc = {name: value for name, value in doc.items() if name in self.members}
        if self.upstream.API == "generate":
            doc = {"generateContentRequest": {"model": f"models/{self.chat.model}", **doc}}
        super()._wire(call, target, doc, rewrites)

    def place(self) -> tuple[str, str]:
        path, _ = super().place()
        if self.upstream.API == "generate":
            return path.rpartition(":")[0] + ":countTokens", ""
        return path + ("/count_tokens" if self.upstream.API == "messages" else "/input_tokens"), ""


class Counted(Foreign):
    """The reply to a ``Count``."""

    def __init__(self, call: Call, reply: Reply, count: Count) -> None:
        super().__init__(call, reply, count)
        self.count = count

    async def wait(self, client: Client, idle: float) -> None:
        doc = await self.read_document(client, idle)
        number = doc.get(self.count.number) if isinstance(doc, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise ReplyBroken("the provider's reply tells no number of tokens")
        self.body = orjson.dumps(written(self.call.endpoint.api, number))


def written(api: str, number: int) -> Json:
    """A count in the shape of the client's API."""
    if api == "generate":
        return {"totalTokens": number}
    return {"input_tokens": number} | ({"object": "response.input_tokens"} if api == "responses" else {})


async def estimate(call: Call, client: Client) -> None:
    """Answer with an estimate, without asking anybody."""
    with READABLE:
        number = estimated(chat_of(call))
    headers = [(b"content-type", JSON), (b"x-gateway-estimated", b"true")]
    await client.reply(200, headers, orjson.dumps(written(call.endpoint.api, number)))


def estimated(chat: Chat) -> int:
    """About how many input tokens ``chat`` has."""
    size = sum(_size(part) for part in chat.system)
    for message in chat.messages:
        size += MESSAGE_TOKENS * BYTES_PER_TOKEN + sum(_size(part) for part in message.parts)
    for tool in chat.tools:
        size += len(orjson.dumps(tool))
    if chat.response_format is not None and chat.response_format.schema:
        size += len(orjson.dumps(chat.response_format.schema))
    return max(1, -(-size // BYTES_PER_TOKEN))


def _size(part: Part) -> int:
    """Bytes of text that a part is worth."""
    match part:
        case Text() | Refusal():
            return len(part.text.encode())
        case Thinking():
            return sum(len(text.encode()) for text in part.texts or part.summaries)
        case ToolCall():
            return len(part.name) + len(part.arguments.encode())
        case ToolResult():
            return sum(_size(inner) for inner in part.parts)
        case Image():
            return IMAGE_TOKENS * BYTES_PER_TOKEN
        case Audio() | Video():
            return MEDIA_TOKENS * BYTES_PER_TOKEN
        case File():
            source = part.source
            return len(source.value.encode()) if source.kind == "text" else MEDIA_TOKENS * BYTES_PER_TOKEN
    return len(orjson.dumps(part.raw))
