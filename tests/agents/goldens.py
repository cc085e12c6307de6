"""Requests as known clients send them, byte for byte but for ids and secrets: a file each, sent through the gateway."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import zstandard

from routing.table import Target
from tests.agents import reading
from tests.agents.upstreams import PROVIDERS, streams
from tests.inprocess import plane, route, table, upstream
from tests.matrix import fixtures

Json = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "golden" / "agents"
#: Headers that every request has, or that are another's each time.
PLAIN = ("host", "accept", "accept-encoding", "connection", "content-length", "x-gateway-request-id", "authorization")


@dataclass(frozen=True, slots=True)
class Case:
    """``client`` is the API that it speaks; ``raw`` the body on the wire."""

    name: str
    client: str
    path: str
    headers: dict[str, str]
    body: Json
    raw: bytes

    @property
    def model(self) -> str:
        return self.body["model"] if "model" in self.body else self.path.partition("models/")[2].partition(":")[0]

    @property
    def searches(self) -> bool:
        """Whether its vendor is to search the web for it."""
        return any(tool.get("type", "").startswith("web_search") for tool in self.body.get("tools", ()))

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream")) or "streamGenerateContent" in self.path


@cache
def case(name: str) -> Case:
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    raw, headers = json.dumps(found["body"], ensure_ascii=False).encode(), found["headers"]
    if found.get("encoding") == "zstd":
        raw, headers = zstandard.ZstdCompressor().compress(raw), {**headers, "content-encoding": "zstd"}
    return Case(name, found["client"], found["path"], headers, found["body"], raw)


NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if "." not in path.stem)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a request: the client's reply, and what each upstream call was."""

    reply: httpx.Response
    requests: list[httpx.Request]

    @property
    def doc(self) -> Json:
        found: Json = json.loads(self.requests[0].content)
        return found

    @property
    def dropped(self) -> list[str]:
        told = self.reply.headers.get("x-gateway-dropped", "")
        return told.split(", ") if told else []

    def golden(self) -> Json:
        """What is kept in the file."""
        if not self.requests:
            return {"status": self.reply.status_code, "error": without_id(self.reply.json())}
        request = self.requests[0]
        headers = {name: value for name, value in sorted(request.headers.items()) if name not in PLAIN}
        path = unquote(request.url.raw_path.decode())
        return {"path": path, "headers": headers, "dropped": self.dropped, "body": self.doc}


def without_id(doc: Any) -> Any:
    if isinstance(doc, dict):
        return {name: without_id(value) for name, value in doc.items() if name != "request_id"}
    return doc


async def send(asked: Case, name: str, docs: Any) -> Sent:
    """``docs``: what the upstream says to the request, given it and whether it asked for a stream."""
    kind, model = PROVIDERS[name]
    own = asked.client == name
    provider = replace(upstream(), kind=kind, apis=frozenset({name}))

    def answer(request: httpx.Request) -> httpx.Response:
        doc = json.loads(request.content)
        stream = streams(name, request, doc)
        made = fixtures.made(name, docs(doc, stream), stream)
        return httpx.Response(200, headers={"content-type": made.content_type}, content=made.body)

    target = Target(1, provider, model="" if own else model)
    async with plane(table(route(asked.model, target)), answer) as running:
        reply = await running.client.post(asked.path, content=asked.raw, headers=asked.headers)
        return Sent(reply, running.requests)


# ---------------------------------------------------------------- what the client itself says


def names(asked: Case) -> list[str]:
    """Of its own tools; of a namespace's, with its name before them."""
    if asked.client != "responses":
        return list(reading.tools(asked.client, asked.body))
    found = []
    for tool in asked.body["tools"]:
        if tool["type"] == "namespace":
            found += [f"{tool['name']}__{inner['name']}" for inner in tool["tools"]]
        elif tool["type"] in ("function", "custom"):
            found.append(tool["name"])
    return found


def system(asked: Case) -> list[str]:
    """The pieces of what its system says, in their order."""
    body = asked.body
    if asked.client == "generate":
        return [part["text"] for part in body["systemInstruction"]["parts"]]
    if asked.client == "messages":
        return [block["text"] for block in body["system"]]
    rows = body["input"] if asked.client == "responses" else body["messages"]
    told = [reading.words(row["content"]) for row in rows if row.get("role") in ("system", "developer")]
    return [body["instructions"], *told] if body.get("instructions") else told


def marks(value: Any) -> int:
    """How many cache marks there are, Anthropic's or Bedrock's."""
    if isinstance(value, list):
        return sum(map(marks, value))
    if not isinstance(value, dict):
        return 0
    return sum(map(marks, value.values())) + ("cache_control" in value) + ("cachePoint" in value)
