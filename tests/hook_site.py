"""One case for every endpoint, and a hook that is at every phase; ``hook_upstream`` has what answers.

A client says "hello". The hook's ``before_request`` makes that "hullo", its ``before_attempt`` "hallo"; it makes the
reply's "said" "told", the model another route's, and the first target the last.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import orjson

from providers.events import TextDelta
from providers.sse import Event as SseEvent
from providers.upstream import Upstream
from routing.hooks import Attempt, Choice, HookCall, HookReply, Hooks, Identity, Refusal, Trouble
from routing.table import Table, Target
from tenants.ledger import Entry
from tenants.objects import StoredObject
from tests.inprocess import route, table, upstream

TOKEN = "of-somebody-else"
PARAMETER = 0.25
HEADERS = {"authorization": f"Bearer {TOKEN}"}
Doc = dict[str, Any]


# ---------------------------------------------------------------- the hook


class Everywhere:
    """Is at every phase, and remembers what it saw of each."""

    def __init__(self, parameter: tuple[str, ...] = ()) -> None:
        self.parameter = parameter
        self.seen: dict[str, list[Any]] = defaultdict(list)

    def authenticate(self, headers: Any) -> Identity | None:
        self.seen["authenticate"].append(headers)
        return (
            Identity("acme", "by a hook") if dict(headers).get(b"authorization", b"").endswith(TOKEN.encode()) else None
        )

    def before_request(self, call: HookCall) -> None:
        self.seen["before_request"].append((call.endpoint, call.stream, call.form))
        if call.form != "none":
            call.model = "second"
        if call.form == "json":
            said = _replaced(call.doc, "hello", "hullo")
            call.doc.update(said)
            for name in self.parameter[:-1]:
                said = call.doc.setdefault(name, {})
            if self.parameter:
                (said if len(self.parameter) > 1 else call.doc)[self.parameter[-1]] = PARAMETER

    def choose(self, call: HookCall, choices: list[Choice]) -> list[Choice]:
        self.seen["choose"].append([choice.provider for choice in choices])
        return choices[::-1]

    async def before_attempt(self, call: HookCall, attempt: Attempt) -> None:
        self.seen["before_attempt"].append((attempt.provider, attempt.model, attempt.number))
        attempt.set_header("x-hooked", "yes")
        attempt.body = attempt.body.replace(b"hullo", b"hallo")

    def on_event(self, call: HookCall, event: Any) -> Any:
        self.seen["on_event"].append(event)
        if isinstance(event, SseEvent):
            return event._replace(data=event.data.replace(b"said", b"told"))
        return replace(event, text=event.text.replace("said", "told")) if isinstance(event, TextDelta) else event

    def on_end(self, call: HookCall) -> None:
        self.seen["on_end"].append(call.id)

    def after_response(self, call: HookCall, reply: HookReply, entry: Entry) -> None:
        self.seen["after_response"].append((reply.status, reply.stream, reply.body))
        if isinstance(reply.doc, dict | list):
            reply.body = orjson.dumps(_replaced(reply.doc, "said", "told"))

    def on_error(self, call: HookCall, trouble: Trouble) -> None:
        self.seen["on_error"].append(trouble)
        raise Refusal("In a hook's words.", "overloaded")


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return {name: _replaced(each, old, new) for name, each in value.items()} if isinstance(value, dict) else value


# ---------------------------------------------------------------- the endpoints


@dataclass(frozen=True)
class Case:
    """How an endpoint is called. ``apis`` are those of the upstream, one case each: the client's own, and another's.
    ``binary``: what is answered is nothing to read."""

    path: str
    doc: Doc = field(default_factory=dict)
    apis: tuple[str, ...] = ()
    parameter: tuple[str, ...] = ()
    method: str = "POST"
    form: bool = False
    stream: Doc | None = None
    stream_path: str = ""
    binary: bool = False


ASK = [{"role": "user", "content": "hello"}]
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
STREAM: Doc = {"stream": True}
TEMPERATURE = ("temperature",)
CASES: dict[str, Case] = {
    "chat": Case("chat/completions", {"messages": ASK}, ("chat", "messages", "converse"), TEMPERATURE, stream=STREAM),
    "unified": Case("completions", {"messages": ASK}, ("chat", "messages"), TEMPERATURE, stream=STREAM),
    "responses": Case("responses", {"input": "hello"}, ("responses", "chat"), TEMPERATURE, stream=STREAM),
    "messages": Case(
        "messages", {"messages": ASK, "max_tokens": 9}, ("messages", "generate"), TEMPERATURE, stream=STREAM
    ),
    "generate": Case(
        "models/m:generateContent",
        CONTENTS,
        ("generate", "chat"),
        ("generationConfig", "temperature"),
        stream={},
        stream_path="models/m:streamGenerateContent?alt=sse",
    ),
    "completions": Case("completions", {"prompt": "hello"}, ("completions", "ollama"), TEMPERATURE, stream=STREAM),
    "responses.compact": Case("responses/compact", {"input": "hello"}, ("responses", "chat")),
    "embeddings": Case("embeddings", {"input": ["hello"]}, ("embeddings", "ollama")),
    "generate.embed": Case(
        "models/m:embedContent", {"content": {"parts": [{"text": "hello"}]}}, ("generate", "embeddings")
    ),
    "moderations": Case("moderations", {"input": "hello"}, ("moderation",)),
    "rerank": Case("rerank", {"query": "hello", "documents": ["a"]}, ("rerank",), ("top_n",)),
    "responses.input_tokens": Case("responses/input_tokens", {"input": "hello"}, ("responses", "messages")),
    "messages.count_tokens": Case("messages/count_tokens", {"messages": ASK}, ("messages", "generate")),
    "generate.count_tokens": Case("models/m:countTokens", CONTENTS, ("generate", "messages")),
    "images.generations": Case("images/generations", {"prompt": "hello"}, ("images",), TEMPERATURE, stream=STREAM),
    "images.edits": Case("images/edits", {"prompt": "hullo"}, ("images",), form=True, stream={"stream": "true"}),
    "images.variations": Case("images/variations", {"prompt": "hullo"}, ("images",), form=True),
    "audio.speech": Case(
        "audio/speech", {"input": "hello"}, ("audio",), ("speed",), stream={"stream_format": "sse"}, binary=True
    ),
    "audio.transcriptions": Case(
        "audio/transcriptions", {"prompt": "hullo"}, ("audio",), form=True, stream={"stream": "true"}
    ),
    "audio.translations": Case("audio/translations", {"prompt": "hullo"}, ("audio",), form=True),
    "responses.get": Case(
        "responses/resp_1", apis=("responses",), method="GET", stream={}, stream_path="responses/resp_1?stream=true"
    ),
    "responses.delete": Case("responses/resp_1", apis=("responses",), method="DELETE"),
    "responses.cancel": Case("responses/resp_1/cancel", apis=("responses",)),
    "responses.input_items": Case("responses/resp_1/input_items", apis=("responses",), method="GET"),
    "models": Case("models", apis=("chat",), method="GET"),
}
STORED = StoredObject("resp_1", 1, "response", 1, 1, 1, "m", "m")


async def ask(client: httpx.AsyncClient, case: Case, stream: bool) -> httpx.Response:
    doc = {**case.doc, **((case.stream or {}) if stream else {})}
    gemini = ":" in case.path
    url = f"/{'v1beta' if gemini else 'v1'}/{(stream and case.stream_path) or case.path}"
    if not case.doc:
        return await client.request(case.method, url, headers=HEADERS)
    if not gemini:
        doc = {"model": "m", **doc}
    if case.form:
        return await client.post(url, data=doc, files={"file": ("a.png", b"\x89PNG", "image/png")}, headers=HEADERS)
    return await client.post(url, json=doc, headers=HEADERS)


def both(api: str, hook: Any) -> Table:
    """A model m at one upstream, and a model second at two, of which the first is another."""
    ups: list[Upstream] = [upstream(n, f"up{n}", apis=frozenset({api}), max_retries=0) for n in (1, 2, 3)]
    made = table(
        route("m", Target(1, ups[0], "up-m")),
        route("second", Target(2, ups[1], "up-2"), Target(3, ups[2], "up-3", priority=1), id=2),
    )
    named = {tenant.name: tenant for tenant in made.tenants.values()}
    return replace(made, named=named, hooks=Hooks(made=[hook]))
