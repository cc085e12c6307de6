"""Upstreams that play the script: each answers the n-th request with its turn n, in its own API's words."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.agents import reading
from tests.agents.script import SCRIPT, TOOLS
from tests.agents.speech import Said, said
from tests.agents.speech_vendors import SPEECH
from tests.matrix import fixtures

Json = Any
#: Upstream dialect -> kind of provider, and a model of it that thinks and, of Google's, wants its signatures back.
PROVIDERS = {
    "chat": ("openai", "deepseek-reasoner"),
    "responses": ("openai", "gpt-5.1"),
    "messages": ("anthropic", "claude-sonnet-4-5"),
    "generate": ("gemini", "gemini-3-pro-preview"),
    "ollama": ("ollama", "qwen3:4b"),
    "converse": ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": ("cohere", "command-a-reasoning-08-2025"),
}
ENCRYPTED = "reasoning.encrypted_content"


def streams(upstream: str, request: httpx.Request, doc: Json) -> bool:
    """Whether a stream is asked for, by body or path."""
    return bool(doc.get("stream")) or request.url.path.endswith((":streamGenerateContent", "/converse-stream"))


class Player:
    """``asked`` are the requests that it got, as a whole where it keeps a state; ``said`` its calls, turn by turn."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.asked: list[Json] = []
        self.said: list[list[Said]] = []
        self.names: dict[str, str] = {}
        self.kept: dict[str, list[Json]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        doc = json.loads(request.content)
        turn = SCRIPT[len(self.asked)]
        described = {told: name for name, told in reading.tools(self.upstream, doc).items()}
        self.names = {tool.name: described[tool.description] for tool in TOOLS}
        self.said.append(said(self.upstream, turn, self.names))
        stream = streams(self.upstream, request, doc)
        docs = SPEECH[self.upstream](turn, self.said[-1], stream)
        if self.upstream == "responses":
            docs = self._state(doc, docs)
        self.asked.append(doc)
        reply = fixtures.made(self.upstream, docs, stream)
        return httpx.Response(200, headers={"content-type": reply.content_type}, content=reply.body)

    def _state(self, doc: Json, docs: list[Json]) -> list[Json]:
        """Puts what was stored before the request's own input, stores its turn, and encrypts only where asked to."""
        given = doc["input"] if isinstance(doc["input"], list) else [{"role": "user", "content": doc["input"]}]
        doc["input"] = self.kept.get(doc.pop("previous_response_id", ""), []) + given
        whole = docs[-1].get("response", docs[-1])
        if doc.get("store") is not False:
            self.kept[whole["id"]] = doc["input"] + whole["output"]
        told = ENCRYPTED in doc.get("include", ())
        return docs if told else json.loads(json.dumps(docs), object_hook=_plain)


def _plain(doc: Json) -> Json:
    return {name: value for name, value in doc.items() if name != "encrypted_content"}
