"""The upstream that streams, and answers whole where nginx is absent: `python -m tests.bench.upstream PORT`.

`POST /NAME/v1/chat/completions` answers at once, or, if the body asks to stream, with 100 chunk events, a usage
chunk and `[DONE]`, each written by one send of its own. Calls are counted by NAME, and `GET /count` tells them.
`GET /pace/MS` sets a pause between events; without one they come as fast as the event loop turns.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from typing import Any, ClassVar, cast

CHUNKS = 100
EVENTS = CHUNKS + 2
USAGE = {"prompt_tokens": 24, "completion_tokens": CHUNKS, "total_tokens": 24 + CHUNKS}

_HEAD = {"id": "chatcmpl-Bk3vQ0XJq7bench0000000000001", "created": 1741569952, "model": "gpt-4.1-2025-04-14"}
_TEXT = "It felt wonderfully light at first, then a little tired, and by the evening it was glad of the long rest."
_MESSAGE: dict[str, Any] = {"role": "assistant", "content": _TEXT, "refusal": None, "annotations": []}
_CHOICE = {"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}
WHOLE = json.dumps({**_HEAD, "object": "chat.completion", "choices": [_CHOICE], "usage": USAGE}).encode()

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
    chunk = {**_HEAD, "object": "chat.completion.chunk", "service_tier": "default", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _events() -> list[bytes]:
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": f" word{n}"}, None) for n in range(CHUNKS - 1)]
    deltas.append(({}, "stop"))
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason} for delta, reason in deltas]
    return [_event([choice], None) for choice in choices] + [_event([], USAGE), b"data: [DONE]\n\n"]


def _reply(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_WHOLE_REPLY = _reply(WHOLE)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_STREAM_SENDS = [b"%x\r\n%b\r\n" % (len(event), event) for event in _events()] + [b"0\r\n\r\n"]


class Upstream(asyncio.Protocol):
    """A raw protocol, because anything above it would be slower than the servers that are measured."""

    counts: ClassVar[Counter[str]] = Counter()
    pause = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self.buffer, 0, end)
        if length and len(self.buffer) < end + 4 + int(length[1]):
            return
        # A body in chunks has no length; its end is the empty chunk.
        if not length and b"chunked" in self.buffer[:end] and not self.buffer.endswith(b"\r\n0\r\n\r\n"):
            return
        request, self.buffer = bytes(self.buffer), bytearray()
        self.answer(request)

    def answer(self, request: bytes) -> None:
        method, path, _ = request.split(b" ", 2)
        name, _, rest = path.decode().removeprefix("/").partition("/")
        if method == b"POST" and path.endswith(b"/v1/chat/completions"):
            Upstream.counts[name] += 1
            if _STREAM.search(request):
                self.transport.write(_STREAM_HEAD)
                self.send(0)
            else:
                self.transport.write(_WHOLE_REPLY)
        elif name == "count":
            self.transport.write(_reply(json.dumps(Upstream.counts).encode()))
        elif name == "pace":
            Upstream.pause = float(rest) / 1000
            self.transport.write(_reply(b"{}"))
        else:
            self.transport.write(_reply(b"{}", "404 Not Found"))

    def send(self, index: int) -> None:
        if index == len(_STREAM_SENDS) or self.transport.is_closing():
            return
        self.transport.write(_STREAM_SENDS[index])
        asyncio.get_running_loop().call_later(Upstream.pause, self.send, index + 1)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
