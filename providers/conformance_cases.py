"""What ``providers.conformance`` asks of every dialect: small requests, and small replies to be written and read."""

from __future__ import annotations

from typing import Any

from providers.chat import Chat, FunctionTool, Image, Message, Sampling, Source, Text, ToolCall, ToolChoice, ToolResult
from providers.events import Event, Finished, Started, TextDelta, ToolDelta, ToolStarted, Used
from providers.usage import Usage

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"wordcity": {"type": "string"}}, "required": ["wordcity"]}


def _user(*parts: Any) -> Message:
    return Message("user", list(parts))


def _chat(*messages: Message, **more: Any) -> Chat:
    return Chat("openai_chat", "model-x", list(messages), max_tokens=77, **more)


CALLED = (
    _user(Text("wordask")),
    Message("assistant", [ToolCall("call_1", "wordtool", '{"wordcity": "wordparis"}')]),
    Message("tool", [ToolResult("call_1", [Text("wordresult")], "wordtool")]),
)
TOOLS = [FunctionTool("wordtool", "worddescription", SCHEMA)]
#: What a client may ask. Every word that begins so must arrive, or it is said that it does not.
REQUESTS: dict[str, Chat] = {
    "a text": _chat(_user(Text("wordone"))),
    "a conversation": _chat(
        _user(Text("wordone")), Message("assistant", [Text("wordtwo")]), _user(Text("wordthree"), Text("wordfour"))
    ),
    "a system prompt": _chat(_user(Text("wordone")), system=[Text("wordsystem")]),
    "tools": _chat(_user(Text("wordone")), tools=TOOLS, tool_choice=ToolChoice("auto")),
    "a tool's result": _chat(*CALLED, tools=TOOLS),
    "an image": _chat(_user(Text("wordone"), Image(Source("data", PIXEL, "image/png")))),
    "settings": _chat(_user(Text("wordone")), sampling=Sampling(temperature=0.25, top_p=0.5), stop=["wordstop"]),
    "a stream": _chat(_user(Text("wordone")), stream=True),
}
#: Without these a dialect is none.
LEAST = ("a text", "a conversation", "a system prompt", "a stream")
#: What a dialect that clients speak too must write, and read again.
REPLIES: dict[str, list[Event]] = {
    "a text": [Started("id-1", "model-x"), TextDelta("word"), TextDelta("one"), Used(Usage(3, 2)), Finished("stop")],
    "a call": [
        Started("id-1", "model-x"),
        ToolStarted(0, "call_1", "wordtool"),
        ToolDelta(0, '{"a": '),
        ToolDelta(0, "1}"),
        Used(Usage(3, 2)),
        Finished("tool_calls"),
    ],
}
