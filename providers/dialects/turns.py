"""Messages put in the order that stricter upstreams ask for."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

from providers.chat import Chat, File, Message, Part, Refusal, Source, Text, Thinking, ToolCall, ToolResult
from providers.dialects.loss import Loss
from providers.dialects.tool_ids import with_ids

SYSTEM = ("system", "developer")
#: Whose clients hand back the pieces of streamed thinking as they came, each a part, the last one signed.
PIECEMEAL = frozenset({"gemini"})


def _calls(message: Message) -> bool:
    return message.role == "assistant" and any(isinstance(part, ToolCall) for part in message.parts)


def merged_calls(messages: list[Message]) -> list[Message]:
    """An assistant message that follows one with open tool calls joins it: results must follow all calls at once."""
    found: list[Message] = []
    for message in messages:
        if found and message.role == "assistant" and _calls(found[-1]):
            found[-1] = replace(found[-1], parts=[*found[-1].parts, *message.parts])
        else:
            found.append(message)
    return found


def merged_thoughts(message: Message, pieces: bool = False) -> Message:
    """A signature that stands apart joins the thinking before it. ``pieces``: so does what follows unsigned thinking."""
    found: list[Part] = []
    for part in message.parts:
        last = found[-1] if found else None
        if isinstance(part, Thinking) and isinstance(last, Thinking) and _belongs(last, part, pieces):
            found[-1] = _joined(last, part)
        else:
            found.append(part)
    return replace(message, parts=found)


def _belongs(first: Thinking, second: Thinking, pieces: bool) -> bool:
    if first.signature or first.redacted:
        return False
    told = bool(second.texts or second.summaries)
    return pieces or (first.signed_by == second.signed_by and not told and bool(second.signature))


def _joined(first: Thinking, second: Thinking) -> Thinking:
    texts = ["".join([*first.texts, *second.texts])] if second.texts else first.texts
    found = replace(first, texts=texts, signature=second.signature, signed_by=second.signed_by)
    return replace(found, form=second.form or first.form, extra=first.extra | second.extra)


def prepared(chat: Chat, dialect: str) -> list[Message]:
    """The messages of ``chat`` as ``dialect`` wants them; its own are left as they came."""
    if chat.dialect == dialect:
        return chat.messages
    pieces = chat.dialect in PIECEMEAL
    return merged_calls([merged_thoughts(message, pieces) for message in with_ids(chat.messages)])


def prepared_for(chat: Chat, loss: Loss) -> list[Message]:
    """``prepared`` messages in which every tool result answers a call: no API takes an orphan."""
    found = prepared(chat, loss.dialect)
    called: set[str] = set()
    for part in (part for message in found for part in message.parts if loss.foreign):
        if isinstance(part, ToolCall):
            called.add(part.id)
        elif isinstance(part, ToolResult) and part.call_id not in called:
            loss.refuse(part.path or "messages.tool_call_id")
    return found


def system_apart(chat: Chat, loss: Loss) -> tuple[list[Part], list[Message]]:
    """(system, messages) for an API that has a place for the system's words. It wants a user too: where nobody else
    speaks, the last of them are the user's."""
    messages = prepared_for(chat, loss)
    if not loss.foreign:
        return chat.system, messages
    leading, rest = leading_system(messages)
    if messages and not rest:
        loss.drop("messages.role")
        leading, _ = leading_system(messages[:-1])
        rest = [replace(messages[-1], role="user")]
    return [*chat.system, *leading], rest


def leading_system(messages: list[Message]) -> tuple[list[Part], list[Message]]:
    """The parts of the system messages at the start, and the messages after them."""
    count = next((at for at, message in enumerate(messages) if message.role not in SYSTEM), len(messages))
    return [part for message in messages[:count] for part in message.parts], messages[count:]


def results_apart(message: Message) -> tuple[list[ToolResult], list[Part]]:
    """The tool results of ``message``, and its other parts."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    return results, [part for part in message.parts if not isinstance(part, ToolResult)]


def asks_for_json(chat: Chat) -> bool:
    """Whether the words of ``chat`` ask for JSON, as OpenAI demands of them that ask by a field."""
    parts = [*chat.system, *(part for message in chat.messages for part in message.parts)]
    return any("json" in part.text.lower() for part in parts if isinstance(part, Text))


def is_words(part: Part) -> bool:
    """Whether ``part`` is plain text, a document of plain text included."""
    return isinstance(part, Text | Refusal) or (isinstance(part, File) and part.source.kind == "text")


def plain(source: Source) -> Source:
    """``source`` as text, where it is plain text that came as base64."""
    if source.kind != "data" or not source.media_type.startswith("text/"):
        return source
    try:
        return Source("text", b64decode(source.value).decode(), "text/plain")
    except ValueError:
        return source


def words(part: Part) -> str:
    """The text of ``part``; empty where it is not plain text."""
    if isinstance(part, Text | Refusal):
        return part.text
    return part.source.value if isinstance(part, File) and part.source.kind == "text" else ""
