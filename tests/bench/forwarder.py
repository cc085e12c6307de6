"""The yardstick: the least that a forwarder in ASGI does. uvicorn calls it, aiohttp carries it, nothing else.

It reads the body, sends it to the upstream, and relays the status, the content type and the body as it comes.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_WHOLE_URL = os.environ.get("BENCH_WHOLE_URL", "")
_STREAM_URL = os.environ.get("BENCH_STREAM_URL", "")
_HEADERS = {"content-type": "application/json", "authorization": "Bearer bench-upstream"}
_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:
        # auto_decompress and the cookie jar are off, as in any forwarder that cares for speed.
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        _sessions.append(aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False))
    return _sessions[0]


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    body = await _body(receive)
    url = _STREAM_URL if b'"stream":true' in body else _WHOLE_URL
    async with _session().post(url, data=body, headers=_HEADERS) as reply:
        headers = [(b"content-type", reply.headers["content-type"].encode())]
        length = reply.headers.get("content-length")
        if length is not None:
            headers.append((b"content-length", length.encode()))
        start = {"type": "http.response.start", "status": reply.status, "headers": headers}
        if length is not None:
            whole = await reply.read()
            await send(start)
            await send({"type": "http.response.body", "body": whole})
            return
        await send(start)
        async for part in reply.content.iter_any():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
