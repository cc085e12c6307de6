"""An upstream of which everything goes wrong: one process, real sockets, four APIs.

The first part of a request's path says how: one of FAULTS, so each is the base URL of a provider (``/stall/v1``).
``GET /_seen`` tells how many requests came for each fault and model; ``/_closed`` and ``/_open`` as tests.upstreams.
Of its ports one speaks HTTP, ``signed`` TLS with a certificate of its own, ``silent`` takes connections and says nothing,
and nobody listens at ``refused``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

from tests import upstreams
from tests.faulty_words import APIS, NONE, Api, Asked, sse
from tests.live import Upstream, started
from tests.test_media_names import certified
from tests.upstreams import Request, Send, send_json

MIB = 1024 * 1024
BIG = 9 * MIB  # more than the gateway holds before it commits
BOMB = 4096 * MIB  # what a few megabytes blow up to
BURST = 2  # requests that fail before all is well
PAUSE = 0.05  # seconds between two drops and two slow pings
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
TLS_HELLO = b"\x16"


Fault = Callable[[Asked], Awaitable[None]]


async def forever() -> None:
    await asyncio.Event().wait()


async def _healthy(asked: Asked) -> None:
    await asked.head()
    await asked.body(*asked.pieces())


async def _drip(asked: Asked) -> None:
    """All of it, in drops."""
    await asked.head()
    body = b"".join(asked.pieces())
    for start in range(0, len(body), 32):
        await asked.body(body[start : start + 32], end=False)
        await asyncio.sleep(PAUSE)
    await asked.body()


async def _status(status: int, asked: Asked, headers: Mapping[str, str] = NONE) -> None:
    await asked.text(json.dumps(asked.api.error(status)).encode(), status, headers)


async def _burst(status: int, asked: Asked) -> None:
    await (_healthy(asked) if asked.number > BURST else _status(status, asked))


async def _broken_head(asked: Asked) -> None:
    await asked.send(b"HTTP/1.1 200 OK\r\ncontent-type: appl")
    raise ConnectionAbortedError


async def _broken_body(asked: Asked) -> None:
    await asked.head()
    await asked.body(asked.begun(), end=False)
    raise ConnectionAbortedError


async def _broken_late(asked: Asked) -> None:
    await asked.head()
    await asked.body(asked.early(), end=False)
    raise ConnectionAbortedError


async def _hang_head(asked: Asked) -> None:
    await forever()


async def _hang_body(asked: Asked) -> None:
    await asked.head()
    await forever()


async def _stall(asked: Asked) -> None:
    await asked.head()
    await asked.body(asked.early(), end=False)
    await forever()


async def _cut_length(asked: Asked) -> None:
    """Less than the length that was told."""
    await asked.head(1000)
    await asked.send(asked.begun())
    raise ConnectionAbortedError


async def _cut(asked: Asked) -> None:
    """As HTTP it is complete."""
    await asked.head()
    await asked.body(asked.begun())


async def _cut_late(asked: Asked) -> None:
    await asked.head()
    await asked.body(asked.early())


async def _cut_big(asked: Asked) -> None:
    """A whole reply that breaks when more of it has come than anybody holds."""
    await asked.head(2 * BIG)
    await asked.send(b'{"id": "')
    for _ in range(BIG // 65536):
        await asked.send(b"x" * 65536)
    raise ConnectionAbortedError


async def _text(body: bytes, asked: Asked, headers: Mapping[str, str] = NONE) -> None:
    await asked.text(body, headers=headers)


async def _error_first(asked: Asked) -> None:
    """An error under the status of a success."""
    error = json.dumps(asked.api.error(500)).encode()
    await asked.text(sse(asked.api.error_event(0)) if asked.stream else error)


async def _error_json(asked: Asked) -> None:
    """As JSON, whatever was asked for."""
    await send_json(200, json.dumps(asked.api.error(500)).encode(), asked.send)


async def _error_late(asked: Asked) -> None:
    await asked.head()
    early = asked.early()
    await asked.body(early, sse(asked.api.error_event(early.count(b"data: "))))


async def _void(asked: Asked) -> None:
    """A success in which there is nothing."""
    await asked.text(b": bye\n\n" if asked.stream else json.dumps(asked.api.void()).encode())


@cache
def _zeros() -> bytes:
    """64 megabytes of zeros, compressed; what is put behind it inflates, too."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(bytes(64 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)


async def _bomb(asked: Asked, late: bool = False) -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    begun = packer.compress(asked.early() if late else b" ") + packer.flush(zlib.Z_FULL_FLUSH)
    await asked.head(headers={"content-encoding": "gzip"})
    await asked.body(GZIP_HEAD + begun, end=False)
    await asyncio.sleep(4 * PAUSE)  # so that this much is read by itself
    await asked.body(*[_zeros()] * (BOMB // (64 * MIB)))


async def _endless(begun: bytes, piece: bytes, pause: float, asked: Asked) -> None:
    await asked.head()
    await asked.body(begun, end=False)
    while True:
        await asked.body(piece, end=False)
        await asyncio.sleep(pause)


async def _endless_events(asked: Asked) -> None:
    """A good beginning without end: in a whole reply, one of its strings."""
    if asked.stream:
        await _endless(asked.early(), asked.pieces()[1] * 10, 0, asked)
    else:
        await _endless(b'{"id": "', b"x" * 65536, 0, asked)


async def _big_head(asked: Asked) -> None:
    await asked.text(b"".join(asked.pieces()), headers={f"x-padding-{n}": "x" * 1000 for n in range(1024)})


JUNK = random.Random(4).randbytes(2000).replace(b"\n", b"")
FAULTS: dict[str, Fault] = {
    "healthy": _healthy,
    "drip": _drip,
    **{str(n): partial(_status, n) for n in (401, 403, 429, 500, 502, 503, 529)},
    "429-soon": partial(_status, 429, headers={"retry-after": "1"}),
    "429-late": partial(_status, 429, headers={"retry-after": "3600"}),
    **{f"burst-{n}": partial(_burst, n) for n in (429, 500, 502, 503, 529)},
    "reset-head": _broken_head,
    "reset-body": _broken_body,
    "reset-late": _broken_late,
    "cut-head": _broken_head,
    "cut-length": _cut_length,
    "cut-chunked": _broken_body,
    "cut": _cut,
    "cut-late": _cut_late,
    "cut-big": _cut_big,
    "hang-head": _hang_head,
    "hang-body": _hang_body,
    "stall": _stall,
    "empty": partial(_text, b""),
    "void": _void,
    "junk": partial(_text, JUNK),
    "junk-data": partial(_text, b'data: {"id": "no end\n\ndata: \xff\xfe\n\n'),
    "html": partial(_text, b"<!doctype html><title>Sign in</title>" * 20, headers={"content-type": "text/html"}),
    "error-first": _error_first,
    "error-json": _error_json,
    "error-late": _error_late,
    "bomb": _bomb,
    "bomb-late": partial(_bomb, late=True),
    "endless-comments": partial(_endless, b":", b" nothing yet\n\n:" * 100, 0),
    "endless-pings": partial(_endless, b":\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', PAUSE),
    "endless-line": partial(_endless, b"data: ", b"x" * 65536, 0),
    "endless-events": _endless_events,
    "big-head": _big_head,
}
seen: defaultdict[str, Counter[str]] = defaultdict(Counter)


def _split(request: Request) -> tuple[str, type[Api] | None]:
    fault, _, path = request.target.removeprefix("/").partition("/")
    return fault, next((api for part, api in APIS.items() if part in f"/{path}" and request.body), None)


async def answer(request: Request, send: Send) -> None:
    if request.target.startswith("/_"):
        told = json.dumps(seen).encode() if request.target == "/_seen" else upstreams.about(request.target)
        return await send_json(200, told, send)
    fault, api = _split(request)
    if api is None or fault not in FAULTS:  # a list of models
        return await send_json(404, b"{}", send)
    seen[fault][request.model] += 1
    streams = ":streamGenerateContent" in request.target or bool(json.loads(request.body).get("stream"))
    return await FAULTS[fault](Asked(api, streams, seen[fault][request.model], send))


class Connection(upstreams.Connection):
    def data_received(self, data: bytes) -> None:
        if data.startswith(TLS_HELLO):  # as web servers answer whoever comes with TLS to a port without
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")  # type: ignore[attr-defined]
            self._transport.close()  # type: ignore[attr-defined]
        else:
            super().data_received(data)

    async def answer_one(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        # Else the end of a connection is told in order, behind all that was sent.
        reset = struct.pack("ii", request.target.startswith("/reset-"), 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.transport.set_write_buffer_limits(0)  # what was sent before a cut is in the kernel
        return await super().answer_one(request, writer)


def _bound() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    with tempfile.TemporaryDirectory() as folder:
        certificate, _ = certified(Path(folder), "localhost")
    signed = await loop.create_server(Connection, "127.0.0.1", 0, ssl=certificate)
    sockets = {"http": server.sockets[0], "signed": signed.sockets[0], "refused": _bound(), "silent": _bound()}
    sockets["silent"].listen(1024)
    print(json.dumps({name: each.getsockname()[1] for name, each in sockets.items()}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # the parent holds our stdin
    os._exit(0)


@contextlib.contextmanager
def faulty_upstream() -> Iterator[tuple[Upstream, dict[str, int]]]:
    with started("tests.faulty") as (line, _):
        ports: dict[str, int] = json.loads(line)
        yield Upstream(ports["http"]), ports


if __name__ == "__main__":
    upstreams.answer = answer
    asyncio.run(main())
