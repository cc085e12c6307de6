"""An upstream that draws tokens by chance and writes down what it bills, before it answers.

``python -m routing.proofs.upstream LOG`` is a process of its own; it prints its port. Of a request without a cap it makes
as much as it likes, at most MOST tokens. The first word of the first message is the label under which it is written down.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from routing.proofs.replies import Reply, reply_of

MOST = 8_192
BYTES_A_TOKEN = 4
CAPS = ("max_completion_tokens", "max_tokens")

Headers = dict[str, str]


@dataclass(slots=True)
class Log:
    """One line of JSON for each fact, appended whole."""

    fd: int
    attempts: Counter[str] = field(default_factory=Counter)

    def served(self, headers: Headers, doc: dict[str, Any], tokens: tuple[int, int], arrived: float) -> str:
        served = headers.get("x-gateway-request-id", "")
        self.attempts[served] += 1
        admitted = headers.get("x-gateway-admitted", "")
        line = {
            "id": served,
            "attempt": self.attempts[served],
            "admitted": float(admitted) if admitted else None,
            "arrived": arrived,
            "label": _label(doc),
            "model": doc.get("model"),
            "input": tokens[0],
            "output": tokens[1],
        }
        self.write(line)
        return served

    def write(self, line: dict[str, Any]) -> None:
        os.write(self.fd, json.dumps(line).encode() + b"\n")


def _label(doc: dict[str, Any]) -> str:
    content = doc["messages"][0]["content"]
    return str(content).partition(" ")[0]


class Upstream:
    """``seconds`` is what an answer takes on average; ``cut`` is the share of those that are billed and never come."""

    def __init__(self, log: Log, rng: random.Random, seconds: float, cut: float) -> None:
        self.log, self.rng, self.seconds, self.cut = log, rng, seconds, cut

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection ends."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        arrived = time.time()
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if not first.startswith("POST "):
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return True
        doc = json.loads(body)
        cap = next((doc[name] for name in CAPS if isinstance(doc.get(name), int)), MOST)
        tokens = (1 + len(body) // BYTES_A_TOKEN, self.draw(cap))
        name = self.log.served(headers, doc, tokens, arrived)
        if self.rng.random() < self.cut:
            return False
        reply = reply_of(first.split(" ")[1], doc, *tokens, full=tokens[1] >= cap)
        answered = await self._answer(writer, reply)
        self.log.write({"id": name, "answered": answered})
        return True

    def draw(self, cap: int) -> int:
        """Log-uniform, from 1 to the cap."""
        return max(1, min(cap, int(math.exp(self.rng.uniform(0, math.log(cap + 1))))))

    async def _answer(self, writer: asyncio.StreamWriter, reply: Reply) -> float:
        """When the end of it was about to be sent: from then on the gateway may send another request."""
        seconds, answered = self.rng.uniform(0, 2 * self.seconds), 0.0
        if not reply.events:
            await asyncio.sleep(seconds)
            answered = time.time()
            writer.write(_head(f"content-type: application/json\r\ncontent-length: {len(reply.body)}") + reply.body)
            await writer.drain()
            return answered
        writer.write(_head("content-type: text/event-stream\r\ntransfer-encoding: chunked"))
        for chunk in _chunks(reply.events):
            await asyncio.sleep(seconds / len(reply.events))
            answered = time.time()
            writer.write(chunk)
            await writer.drain()
        return answered


def _head(fields: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()


def _chunks(events: list[bytes]) -> Iterator[bytes]:
    for number, event in enumerate(events, 1):
        end = b"0\r\n\r\n" if number == len(events) else b""
        yield b"%x\r\n%s\r\n" % (len(event), event) + end


async def serve(options: Namespace) -> None:
    log = Log(os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    upstream = Upstream(log, random.Random(options.seed), options.seconds, options.cut)
    server = await asyncio.start_server(upstream.connected, "127.0.0.1", options.port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # It ends with whoever has started it.
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--cut", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
