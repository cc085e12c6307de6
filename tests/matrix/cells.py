"""One cell of the matrix, run: a client's SDK, the gateway, and an upstream that checks and answers."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import httpx

from routing.table import Target
from tests.inprocess import plane, route, table, upstream
from tests.matrix import cases, fixtures
from tests.matrix.answers import Heard, ask
from tests.matrix.cases import FIRST, MIDST
from tests.matrix.meaning import Asked, Told
from tests.matrix.recorded import Reply
from tests.matrix.replies import answers, broken, read, recorded, refused
from tests.matrix.seen import READ
from tests.matrix.seen_openai import schema
from tests.matrix.valid import PATHS, VALID

#: Upstream dialect -> kind of provider, and a model of it.
PROVIDERS = {
    "chat": ("openai", "gpt-5.1"),
    "responses": ("openai", "gpt-5.1"),
    "messages": ("anthropic", "claude-sonnet-4-5"),
    "generate": ("gemini", "gemini-2.5-flash"),
    "ollama": ("ollama", "qwen3:4b"),
    "converse": ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": ("cohere", "command-a-reasoning-08-2025"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    client: str
    upstream: str
    case: str
    stream: bool

    @property
    def name(self) -> str:
        mode = "stream" if self.stream else "whole"
        return "-".join((self.client, self.upstream, self.case.replace(" ", "_"), mode))

    @property
    def empty(self) -> str:
        """Why it cannot be run; "" where it can."""
        lacks = (cases.CLIENT_LACKS.get((self.client, self.case)), cases.UPSTREAM_LACKS.get((self.upstream, self.case)))
        return next(filter(None, lacks), "")

    @property
    def refused(self) -> str:
        """The field that its upstream cannot be asked, "" where it can."""
        return "" if self.client == self.upstream else cases.REFUSED.get((self.upstream, self.case), "")

    @property
    def wrong(self) -> str:
        """What is known to be wrong with the gateway here."""
        found = (why for c, us, cs, why in cases.KNOWN if c == self.client and self.upstream in us and self.case in cs)
        return next(found, "")

    @property
    def letter(self) -> str:
        if self.empty or self.refused:
            return "–"
        return "F" if self.reply()[0].fixture else "R"

    def reply(self) -> tuple[Reply, Told | None]:
        """What the upstream answers, and what that tells."""
        if self.case == FIRST:
            made = fixtures.made(self.upstream, [fixtures.REFUSALS[self.upstream]], False, 404)
            return refused(self.upstream) or made, None
        if self.case == MIDST:
            return (broken(self.upstream) if self.stream else None) or cut(self.upstream, self.stream)
        found = recorded(self.upstream, self.case, self.stream)
        fixed = fixtures.reply(self.upstream, self.case, self.stream)
        return found or (fixed, fixtures.told(self.upstream, self.case))


def cut(name: str, stream: bool) -> tuple[Reply, Told | None]:
    """A reply that breaks off: a whole one in the middle of its body, a stream with an error amid its text."""
    found = (
        (reply, told)
        for reply, told in read(name)
        if reply.stream == stream and answers(told) and not told.thinking and (len(reply.docs) > 12 or not stream)
    )
    fixed = (fixtures.reply(name, "text", stream), fixtures.told(name, "text"))
    reply, told = next(found, fixed)
    if stream:
        return fixtures.broken(name, reply), told
    return replace(reply, body=reply.body[: len(reply.body) // 2]), told


class Pieces(httpx.AsyncByteStream):
    """A body in pieces of any size; ``breaks``: the connection ends before it does."""

    def __init__(self, body: bytes, breaks: bool) -> None:
        self.body = body
        self.breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rng, at = random.Random(len(self.body)), 0
        while at < len(self.body):
            size = rng.choice((1, 7, 64, 4096))
            yield self.body[at : at + size]
            at += size
        if self.breaks:
            raise httpx.ReadError("the connection is gone")


@dataclass(slots=True)
class Ran:
    """What became of a cell. ``faults`` are of the request that the upstream got, which read as ``got``."""

    asked: Asked
    heard: Heard
    row: Any
    reply: Reply
    told: Told | None
    requests: int
    faults: list[str] = field(default_factory=list)
    got: Asked | None = None


def wanted(asked: Asked) -> Asked:
    """``asked`` as an upstream may see it: schemas without the members that may be left out."""
    tools = tuple(replace(tool, schema=schema(tool.schema)) for tool in asked.tools)
    return replace(asked, tools=tools, schema=schema(asked.schema))


def path_faults(cell: Cell, request: httpx.Request) -> list[str]:
    path = PATHS[cell.upstream][cell.stream].format(PROVIDERS[cell.upstream][1])
    found = unquote(request.url.path)
    own = cell.client == cell.upstream and found == path.replace("/v1beta/", "/v1/")  # as the SDK asked
    if found != path and not own:
        return [f"asked at {found} and not {path}"]
    sse = cell.upstream == "generate" and cell.stream
    return ["no alt=sse"] if sse and request.url.params.get("alt") != "sse" else []


async def run(cell: Cell) -> Ran:
    kind, model = PROVIDERS[cell.upstream]
    reply, told = cell.reply()
    asked = cases.asked(cell.case, tuple(name for name, _ in told.calls) if told else (), cell.stream)
    provider = replace(upstream(), kind=kind, apis=frozenset({cell.upstream}))

    def answer(request: httpx.Request) -> httpx.Response:
        body = Pieces(reply.body, cell.case == MIDST and not cell.stream)
        return httpx.Response(reply.status, headers={"content-type": reply.content_type}, stream=body)

    async with plane(table(route("m", Target(1, provider, model=model))), answer) as running:
        heard = await ask(cell.client, running.app, asked)
        ran = Ran(asked, heard, running.rows[-1], reply, told, len(running.requests))
        for request in running.requests[:1]:
            doc = json.loads(request.content)
            ran.faults = path_faults(cell, request) + VALID[cell.upstream](doc, cell.stream)
            ran.got = READ[cell.upstream](doc, request.url.path)
    return ran
