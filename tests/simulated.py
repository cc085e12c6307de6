"""The data plane on an event loop whose time jumps to whatever is next: hours pass in no time, and always the same way."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson

from routing.table import Table
from tests.inprocess import KEY, Answer, Plane, plane, sse
from tests.test_gateway import CHAT, REPLY
from tests.test_queue import run as run

PATH = "/v1/chat/completions"
EPOCH = 1_800_000_000.0
CHUNK = '{"id":"c","choices":[{"index":0,"delta":{"content":"ho"},"finish_reason":null}]}'
LAST = '{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
Reply = Callable[[httpx.Request], Any] | Exception


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def simulated(made: Table, answer: Answer, seed: int = 5) -> AsyncIterator[Plane]:
    """A plane all of whose clocks are the loop's."""
    async with plane(made, answer) as p:
        p.gateway.rng = random.Random(seed)
        p.gateway.traffic.clock = now
        p.gateway.traffic.wall = lambda: EPOCH + now()
        p.gateway.install(made)
        yield p


def ok(request: httpx.Request) -> httpx.Response:
    """The good reply of the chat API, whole or streamed."""
    return sse(CHUNK, LAST, "[DONE]") if b'"stream":true' in request.content else httpx.Response(200, json=REPLY)


def status(code: int, doc: Any = None, **headers: str) -> Reply:
    body = {"error": {"message": "no", "type": "error", "code": None}} if doc is None else doc
    return lambda request: httpx.Response(code, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def after(seconds: float, reply: Reply) -> Reply:
    async def late(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(seconds)
        return await given(reply, request)

    return late


async def given(reply: Reply, request: httpx.Request) -> httpx.Response:
    if isinstance(reply, Exception):
        raise reply
    made = reply(request)
    found: httpx.Response = await made if isinstance(made, Awaitable) else made
    return found


class Script:
    """The replies of each provider, one after the other; the last one again and again. ``at`` are the times of their
    requests."""

    def __init__(self, **replies: Reply | list[Reply]) -> None:
        self.replies = {name: each if isinstance(each, list) else [each] for name, each in replies.items()}
        self.at: defaultdict[str, list[float]] = defaultdict(list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host.removesuffix(".test")
        self.at[name].append(now())
        replies = self.replies[name]
        return await given(replies[min(len(self.at[name]), len(replies)) - 1], request)

    def counts(self) -> dict[str, int]:
        return {name: len(times) for name, times in self.at.items()}

    def gaps(self, name: str) -> list[float]:
        return [later - before for before, later in zip(self.at[name], self.at[name][1:], strict=False)]


async def ask(p: Plane, stream: bool = False, model: str = "gpt", **more: Any) -> httpx.Response:
    body = {**CHAT, "model": model, **({"stream": True} if stream else {})}
    return await p.client.post(PATH, json=body, **more)


def _scope(length: int, key: str) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", b"%d" % length)]
    return {"type": "http", "method": "POST", "path": PATH, "headers": headers, "query_string": b""}


def request_of(stream: bool = False, **more: Any) -> bytes:
    return orjson.dumps({**CHAT, **({"stream": True} if stream else {}), **more})


async def asked(p: Plane, body: bytes, key: str = KEY) -> tuple[int, dict[str, str], bytes]:
    """As ``ask``, without the HTTP library, which takes longer than the gateway: status, headers and body."""
    head: dict[str, Any] = {}
    data = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal data
        data += message.get("body", b"")
        head.update(message if message["type"] == "http.response.start" else {})

    await p.app(_scope(len(body), key), _once(receive), send)
    return head["status"], {name.decode(): value.decode() for name, value in head["headers"]}, data


def _once(receive: Callable[[], Awaitable[dict[str, Any]]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    """After what is received once, nothing more comes."""
    given = False

    async def receiving() -> dict[str, Any]:
        nonlocal given
        if given:
            await asyncio.sleep(1e9)
        given = True
        return await receive()

    return receiving


async def leave(p: Plane, after: float, key: str = KEY) -> None:
    """Ask, and hang up after so many seconds."""
    body = request_of()
    began, left = now(), False

    async def receive() -> dict[str, Any]:
        nonlocal left
        if left:
            await asyncio.sleep(began + after - now())
            return {"type": "http.disconnect"}
        left = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        raise AssertionError("something was sent to a client that has left")

    await p.app(_scope(len(body), key), receive, send)
