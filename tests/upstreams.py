"""An upstream for tests: one process, real sockets, no HTTP library.

The model name of a request (in its JSON body, or in its path for Gemini) says what is answered: ``rec-*`` a recording,
``fault-NAME-*`` one of FAULTS. Streams leave in pieces of random size, the same on every run.
``GET /_seen/MODEL`` tells the request that arrived for a model, ``GET /_closed`` when clients left unfinished replies,
``GET /_open`` how many connections are open. Times are CLOCK_MONOTONIC, comparable between processes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from tests.recordings import Json, Recording, load

RECORDINGS = {recording.model: recording for recording in load()}
UNSENT = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding"})
PATH_MODEL = re.compile(r"/models/([^/?:]+):")
STREAM = {"content-type": "text/event-stream"}
CHUNKS = 200
BIG = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived, byte for byte."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float

    @property
    def model(self) -> str:
        if found := PATH_MODEL.search(self.target):
            return unquote(found[1])
        with contextlib.suppress(ValueError, AttributeError):
            return str(json.loads(self.body).get("model", ""))
        return ""

    def told(self) -> bytes:
        body = base64.b64encode(self.body).decode()
        return json.dumps({**{name: getattr(self, name) for name in self.__slots__}, "body": body}).encode()


Send = Callable[[bytes], Awaitable[None]]

seen: dict[str, Request] = {}
closed: dict[str, float] = {}
connections: set[asyncio.StreamReaderProtocol] = set()


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    fields = dict(headers)
    if "chunked" in fields.get("transfer-encoding", ""):
        body = b"".join([piece async for piece in _dechunk(reader)])
    else:
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Request(method, target, headers, body, time.monotonic())


async def _dechunk(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")


def head_of(status: int, headers: dict[str, str], length: int | None) -> bytes:
    framing = {"content-length": str(length)} if length is not None else {"transfer-encoding": "chunked"}
    lines = [f"{name}: {value}" for name, value in {**headers, **framing}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Recorded", *lines, "", ""]).encode("latin-1")


def framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def pieces(text: bytes, seed: str) -> Iterator[bytes]:
    """``text`` cut at random places, through lines, events and UTF-8 sequences, now and then into single bytes."""
    random_ = random.Random(seed)
    typical = max(1, len(text) // random_.randint(1, 16))
    start = 0
    while start < len(text):
        size = 1 if random_.random() < 0.1 else random_.randint(1, 2 * typical)
        yield text[start : start + size]
        start += size


async def replay(recording: Recording, send: Send) -> None:
    headers = {name: value for name, value in recording.response_headers.items() if name.lower() not in UNSENT}
    length = None if recording.stream else len(recording.reply)
    await send(head_of(recording.status, headers, length))
    for piece in pieces(recording.reply, recording.id) if recording.stream else [recording.reply]:
        await send(framed(piece) if recording.stream else piece)
        await asyncio.sleep(0)
    if recording.stream:
        await send(framed(b""))


def chunk(number: int, words: str = "word ") -> bytes:
    delta = {"index": 0, "delta": {"role": "assistant", "content": words}, "finish_reason": None}
    event = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": number, "choices": [delta]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def last_chunks(tokens: int) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": tokens + 7}
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events: list[Json] = [{"choices": [stop]}, {"choices": [], "usage": usage}]
    written = [json.dumps({"id": "chatcmpl-test", **event}) for event in events]
    return "".join(f"data: {text}\n\n" for text in [*written, "[DONE]"]).encode()


async def _silent(send: Send) -> None:
    """Takes the request and never answers."""
    await asyncio.Event().wait()


async def _headers_only(send: Send) -> None:
    """Answers with a head and never with a byte of body."""
    await send(head_of(200, STREAM, None))
    await asyncio.Event().wait()


async def _endless(send: Send) -> None:
    """A stream that only its reader can end."""
    await send(head_of(200, STREAM, None))
    number = 0
    while True:
        await send(framed(chunk(number := number + 1)))
        await asyncio.sleep(0.02)


async def _flood(send: Send) -> None:
    """As endless, and as fast as the reader takes it: for readers that stop."""
    await send(head_of(200, STREAM, None))
    event = chunk(0, "x" * 16_000)
    while True:
        await send(framed(event))


async def _counted(send: Send) -> None:
    """A stream of CHUNKS events, each sent by itself, with its usage."""
    await send(head_of(200, STREAM, None))
    for number in range(CHUNKS):
        await send(framed(chunk(number)))
        await asyncio.sleep(0.005)
    await send(framed(last_chunks(CHUNKS)) + framed(b""))


async def _cut(send: Send) -> None:
    """A stream that ends properly as HTTP but without its terminator."""
    await send(head_of(200, STREAM, None) + framed(chunk(0)) + framed(chunk(1)) + framed(b""))


async def _broken(send: Send) -> None:
    """A stream whose connection breaks off in the middle."""
    await send(head_of(200, STREAM, None) + framed(chunk(0)) + framed(chunk(1)))
    raise ConnectionAbortedError


async def _big(send: Send) -> None:
    """A whole reply of 64 MiB."""
    await send(head_of(200, {"content-type": "application/json"}, BIG))
    for _ in range(BIG // 65536):
        await send(b" " * 65536)


FAULTS: dict[str, Callable[[Send], Awaitable[None]]] = {
    "silent": _silent,
    "headers": _headers_only,
    "endless": _endless,
    "flood": _flood,
    "counted": _counted,
    "cut": _cut,
    "broken": _broken,
    "big": _big,
}


async def answer(request: Request, send: Send) -> None:
    if request.target.startswith("/_"):
        return await send_json(200, about(request.target), send)
    model = request.model
    seen[model] = request
    if recording := RECORDINGS.get(model):
        return await replay(recording, send)
    fault = FAULTS.get(model.removeprefix("fault-").partition("-")[0])
    if fault is not None:
        return await fault(send)
    body = {"error": {"message": f"no recording {model!r}", "type": "test"}}
    return await send_json(418, json.dumps(body).encode(), send)


def about(path: str) -> bytes:
    """What a test may ask of this upstream itself."""
    if path == "/_closed":
        return json.dumps(closed).encode()
    if path == "/_open":
        return str(len(connections)).encode()
    found = seen.get(path.removeprefix("/_seen/"))
    return found.told() if found else b"null"


async def send_json(status: int, body: bytes, send: Send) -> None:
    await send(head_of(status, {"content-type": "application/json"}, len(body)) + body)


class Connection(asyncio.StreamReaderProtocol):
    """A stream protocol that also tells, without reading, that the client has gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        super().__init__(asyncio.StreamReader(limit=2**20), self.serve)

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        connections.discard(self)
        super().connection_lost(exc)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(self)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.answer_one(await read_request(reader), writer):
                pass
        writer.transport.abort()

    async def answer_one(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer, but stop at once and note the time if the client goes first. Whether another request may follow."""

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        answering, leaving = asyncio.ensure_future(answer(request, send)), asyncio.ensure_future(self.gone.wait())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finished = answering.done() and answering.exception() is None
        if self.gone.is_set() and not finished:
            closed[request.model] = time.monotonic()
        answering.cancel()
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await answering
        return finished and not self.gone.is_set()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent holds our stdin: when it goes, we go, however it went.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # whatever still hangs here was asked to


if __name__ == "__main__":
    asyncio.run(main())
