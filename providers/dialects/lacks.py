"""What servers with a chat completions API may not have, and what is sent to them instead.

The words of ``Chat.lacks``, which the gateway takes from the upstream's settings. Only requests that are written anew
are changed by them: bytes that pass from a chat client to a chat upstream stay as they are.
"""

from __future__ import annotations

from providers.chat import Chat, ResponseFormat
from providers.dialects.loss import Loss

LACKS = {
    "custom_tools": "Freeform tools: each is sent as a function with one string, and its calls come back as freeform.",
    "developer_role": "The developer role: such messages are sent as system messages.",
    "json_schema": "Structured output by a schema: refused; a lenient route asks for a JSON object instead.",
    "max_completion_tokens": "max_completion_tokens: the limit is sent as max_tokens.",
    "parallel_tool_calls": "parallel_tool_calls: it is left out.",
    "reasoning_effort": "reasoning_effort: it is left out.",
    "stream_options": "stream_options: it is left out, and streams tell their usage only if the server does so unasked.",
}


def limit_name(chat: Chat, name: str) -> str:
    """The name of the output limit: ``name``, or the older one."""
    return "max_tokens" if name in chat.lacks else name


def without(chat: Chat, field: str, value: object, loss: Loss) -> bool:
    """Whether ``field`` has to be left out; where it would have said something, it is listed."""
    if field not in chat.lacks:
        return False
    if value not in (None, "", {}):
        loss.drop(field)
    return True


def format_kind(chat: Chat, form: ResponseFormat, loss: Loss) -> str:
    """The kind of response format that the upstream knows."""
    if form.kind == "json_schema" and form.kind in chat.lacks:
        loss.refuse("response_format.json_schema")
        return "json_object"
    return form.kind
