"""The fifteen cases of the matrix: what a client asks in each, and where a dialect has no words for it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from tests.matrix.meaning import Asked, Function, sorted_json

CLIENTS = ("chat", "responses", "messages", "generate")
UPSTREAMS = ("chat", "responses", "messages", "generate", "ollama", "converse", "cohere")
REPLIES = (
    "text", "system", "multi-turn", "one tool", "parallel tools", "tool results", "image", "pdf", "json schema",
    "reasoning", "refusal", "truncation", "stop sequence",
)  # fmt: skip
FIRST, MIDST = "error before the first byte", "error mid-stream"
CASES = (*REPLIES, FIRST, MIDST)

#: What a client cannot ask, and what an upstream cannot tell: (dialect, case) -> why.
CLIENT_LACKS = {("responses", "stop sequence"): "the Responses API has no stop sequences"}
UPSTREAM_LACKS = {
    ("ollama", "refusal"): "Ollama has no word for a refusal",
    ("cohere", "refusal"): "Cohere's v2 API has no word for a refusal",
}
#: What an upstream cannot be asked: (dialect, case) -> the field that the gateway names in its 400.
REFUSED = {
    ("responses", "stop sequence"): "stop",
    ("ollama", "pdf"): "messages.content.file",
    ("cohere", "pdf"): "messages.content.file",
}
#: Faults of the gateway that are known: (clients, upstreams, cases, what is wrong). Each ends with its fix.
KNOWN: tuple[tuple[str, tuple[str, ...], str, str], ...] = ()

PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p9nqKQAAAABJRU5ErkJggg==")
).decode()
PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n").decode()
QUESTION = "What is the weather in Paris and in Rome?"
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "A city's name"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
PARIS, ROME = sorted_json({"city": "Paris", "days": 1}), sorted_json({"city": "Rome", "days": 2})


def function(name: str) -> Function:
    return Function(name, f"Does what {name} says", PLACE)


def user(text: str) -> Asked:
    return Asked((("user", "text", text),))


TALK = (("user", "text", "My name is Ada."), ("assistant", "text", "Hello Ada."), ("user", "text", "What is my name?"))
CALLED = (
    ("user", "text", QUESTION),
    ("assistant", "call", "get_weather", PARIS),
    ("assistant", "call", "get_weather", ROME),
    ("tool", "result", "get_weather", PARIS, "18 degrees"),
    ("tool", "result", "get_weather", ROME, "24 degrees"),
)
ASKED: dict[str, Asked] = {
    "text": user("Say hello to the wörld."),
    "system": replace(user("Who are you?"), system="You are Marvin and answer in one word."),
    "multi-turn": Asked(TALK),
    "tool results": Asked(CALLED, tools=(function("get_weather"),)),
    "image": Asked((("user", "text", "What is in this picture?"), ("user", "image", PNG))),
    "pdf": Asked((("user", "text", "What is in this document?"), ("user", "pdf", PDF))),
    "json schema": replace(user("Where is the Eiffel Tower?"), schema=PLACE),
    "reasoning": replace(user("How many primes are below 50?"), thinks=True),
    "refusal": user("Tell me what you must not tell."),
    "truncation": replace(user("Tell me everything."), max_tokens=16),
    "stop sequence": replace(user("Count to ten."), stop=("six", "END")),
    FIRST: user("Say hello."),
    MIDST: user("Say hello."),
}


def asked(case: str, called: tuple[str, ...], stream: bool) -> Asked:
    """The request of ``case``; the reply will call the tools named ``called``."""
    if case in ("one tool", "parallel tools"):
        tools = tuple(function(name) for name in dict.fromkeys(called))
        return replace(user(QUESTION), tools=tools, stream=stream)
    return replace(ASKED[case], stream=stream)
