"""Attempts through the gateway: what is tried again and when, what goes to the next target, and what bounds it all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from routing.table import Target
from tests.inprocess import route, table, upstream
from tests.simulated import CHUNK, EPOCH, Reply, Script, after, ask, leave, now, ok, run, simulated, status

RETRIES = 2


def two(first: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A route to ``up``, and to ``other`` where that fails."""
    up = upstream(1, "up", **{"max_retries": RETRIES, **(first or {})})
    other = upstream(2, "other", max_retries=0)
    return table(route("gpt", Target(1, up), Target(2, other, priority=1), **changes))


def one(**first: Any) -> Any:
    return table(route("gpt", upstream(1, "up", **{"max_retries": RETRIES, **first})))


def broken(*pieces: bytes, kind: str = "text/event-stream") -> Reply:
    """A reply that breaks off after these pieces."""

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece
            raise httpx.ReadError("reset")

    return lambda request: httpx.Response(200, headers={"content-type": kind}, stream=Pieces())


def text(body: bytes, kind: str = "application/json") -> Reply:
    return lambda request: httpx.Response(200, headers={"content-type": kind}, content=body)


EVENTS = "text/event-stream"
BEGUN = f"data: {CHUNK}\n\n".encode()
ANY: dict[str, Reply] = {
    "connection": httpx.ConnectError("refused"),
    "read": httpx.ReadError("reset"),
    "garbage": httpx.RemoteProtocolError("not HTTP"),
    **{str(code): status(code) for code in (408, 429, 500, 502, 503, 504, 529)},
}
WHOLE: dict[str, Reply] = {
    "empty": text(b""),
    "void": text(b'{"choices": []}'),
    "truncated": text(b'{"choices": [{"ind'),
    "cut": broken(b'{"choices": [{"ind', kind="application/json"),
    "page": text(b"<html>", "text/html"),
    "error": text(b'{"error": {"message": "no"}}'),
}
STREAM: dict[str, Reply] = {
    "empty": text(b"", EVENTS),
    "comment": text(b": hello\n\n", EVENTS),
    "truncated": text(b'data: {"id": "c", "cho', EVENTS),
    "cut": broken(b'data: {"id": "c", "cho'),
    "done": text(b"data: [DONE]\n\n", EVENTS),
    "error": text(b'data: {"error": {"message": "no"}}\n\n', EVENTS),
    "page": text(b"<html>", "text/html"),
}
FAILURES = [
    *((False, name, reply) for name, reply in {**ANY, **WHOLE}.items()),
    *((True, name, reply) for name, reply in {**ANY, **STREAM}.items()),
]


@pytest.mark.parametrize(
    ("stream", "reply"), [each[::2] for each in FAILURES], ids=[f"{s}-{n}" for s, n, _ in FAILURES]
)
def test_what_fails_before_the_first_byte_is_tried_again(stream: bool, reply: Reply) -> None:
    async def story() -> None:
        script = Script(up=[reply, reply, ok], other=ok)
        async with simulated(two(), script) as p:
            answer = await ask(p, stream)
            assert answer.status_code == 200 and "ho" in answer.text and "error" not in answer.text
            assert script.counts() == {"up": 3} and answer.headers["x-gateway-attempts"] == "3"
            first, second = script.gaps("up")
            assert 0 <= first <= 0.5 and 0 <= second <= 1.0  # anywhere up to a ceiling that doubles
            [row] = p.rows
            assert (row.status, row.error_kind, row.attempts, row.provider) == (200, "", 3, "up")

    run(story)


@pytest.mark.parametrize(
    ("stream", "reply"), [each[::2] for each in FAILURES], ids=[f"{s}-{n}" for s, n, _ in FAILURES]
)
def test_then_it_goes_to_the_next_target(stream: bool, reply: Reply) -> None:
    async def story() -> None:
        script = Script(up=reply, other=ok)
        async with simulated(two(), script) as p:
            answer = await ask(p, stream)
            assert answer.status_code == 200 and "ho" in answer.text and "error" not in answer.text
            assert script.counts() == {"up": 1 + RETRIES, "other": 1}
            assert (p.rows[0].attempts, p.rows[0].provider, p.rows[0].target_id) == (4, "other", 2)

    run(story)


@pytest.mark.parametrize("code", [400, 404, 409, 413, 415, 422])
def test_what_is_the_clients_own_doing_is_tried_nowhere_else(code: int) -> None:
    async def story() -> None:
        script = Script(up=status(code), other=ok)
        async with simulated(two(), script) as p:
            answer = await ask(p)
            assert answer.status_code == code and answer.json()["error"]["message"] == "no"
            assert script.counts() == {"up": 1} and p.rows[0].attempts == 1

    run(story)


@pytest.mark.parametrize("code", [401, 402, 403])
def test_a_refused_account_is_not_tried_again_but_elsewhere(code: int) -> None:
    async def story() -> None:
        script = Script(up=status(code), other=ok)
        async with simulated(two(), script) as p:
            assert (await ask(p)).status_code == 200 and script.counts() == {"up": 1, "other": 1}
        script = Script(up=status(code))
        async with simulated(one(), script) as p:
            answer = await ask(p)
            assert answer.status_code == 502 and answer.headers["x-should-retry"] == "false"
            assert script.counts() == {"up": 1}

    run(story)


def test_no_first_byte_in_time_is_not_waited_for_again() -> None:
    async def story() -> None:
        script = Script(up=after(1e6, ok), other=ok)
        async with simulated(two({"first_byte_timeout": 50}), script) as p:
            assert (await ask(p)).status_code == 200
            assert script.counts() == {"up": 1, "other": 1} and 50 <= now() <= 51

    run(story)


ASKED = [
    (429, {"retry_after": "3"}, 3),
    (503, {"retry_after": "4"}, 4),
    (429, {"retry_after_ms": "1500"}, 1.5),
    (429, {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "2s"}, 2),
    (429, {"x_ratelimit_reset": str(int(EPOCH) + 7)}, 7),
]


@pytest.mark.parametrize(("code", "headers", "seconds"), ASKED)
def test_what_the_upstream_asks_for_is_waited(code: int, headers: dict[str, str], seconds: float) -> None:
    async def story() -> None:
        script = Script(up=[status(code, **headers), ok])
        async with simulated(one(), script) as p:
            assert (await ask(p)).status_code == 200
            [gap] = script.gaps("up")
            assert seconds <= gap <= seconds + 0.51

    run(story)


def test_who_asks_for_more_than_patience_is_left() -> None:
    async def story() -> None:
        script = Script(up=status(429, retry_after="3600"), other=ok)
        async with simulated(two(), script) as p:
            assert (await ask(p)).headers["x-gateway-provider"] == "other" and now() < 1
            assert script.counts() == {"up": 1, "other": 1}
        script = Script(up=status(429, retry_after="3600"))
        async with simulated(one(), script) as p:
            answer = await ask(p)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
            assert answer.headers["x-gateway-error"] == "rate_limit" and script.counts() == {"up": 1}

    run(story)


# ---------------------------------------------------------------- one number


def drips(request: httpx.Request) -> httpx.Response:
    """A whole reply, a byte a second: never silent, and never there."""

    class Drops(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for n in range(1000):
                yield b" " if n else b"{"
                await asyncio.sleep(1)

    return httpx.Response(200, headers={"content-type": "application/json"}, stream=Drops())


SLOW: dict[str, Reply] = {"hangs": after(1e6, ok), "fails slowly": after(3.0, status(500)), "drips": drips}


@pytest.mark.parametrize("api", ["chat", "messages"])
@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_one_deadline_bounds_all_attempts(slow: Reply, api: str) -> None:
    async def story() -> None:
        script = Script(up=slow, other=slow)
        first = {"max_retries": 10, "apis": frozenset({api})}
        async with simulated(two(first, deadline=10), script) as p:
            answer = await ask(p)
            assert answer.status_code == 504 and answer.json()["error"]["type"] == "timeout"
            assert now() <= 10.1 and p.rows[0].error_kind == "timeout"
            assert all(at < 10 for times in script.at.values() for at in times)

    run(story)


def test_no_pause_and_no_target_passes_the_deadline() -> None:
    async def story() -> None:
        script = Script(up=status(503, retry_after="5"), other=ok)
        async with simulated(two(deadline=4), script) as p:
            assert (await ask(p)).headers["x-gateway-provider"] == "other" and now() < 1
        script = Script(up=after(1e6, ok), other=ok)
        async with simulated(two(deadline=4), script) as p:
            assert (await ask(p)).status_code == 504 and script.counts() == {"up": 1}

    run(story)


def test_the_wait_for_a_place_counts_too() -> None:
    async def story() -> None:
        script = Script(up=[after(6, ok), after(1e6, ok)])
        up = upstream(1, "up", max_concurrent=1, queue_wait=60, max_retries=0)
        async with simulated(table(route("gpt", up, deadline=10)), script) as p:
            first = asyncio.ensure_future(ask(p))
            await asyncio.sleep(1)
            answer = await ask(p)
            assert (answer.status_code, now() <= 11.1) == (504, True) and script.at["up"] == pytest.approx([0, 6])
            assert (await first).status_code == 200

    run(story)


def test_a_place_is_not_waited_for_beyond_the_deadline() -> None:
    async def story() -> None:
        script = Script(up=after(300, ok))
        up = upstream(1, "up", max_concurrent=1, queue_wait=60, max_retries=0)
        async with simulated(table(route("gpt", up, deadline=10, id=1), route("slow", up, id=2)), script) as p:
            first = asyncio.ensure_future(ask(p, model="slow"))
            await asyncio.sleep(1)
            assert (await ask(p)).status_code in (503, 504) and now() <= 11.1
            assert (await first).status_code == 200 and script.counts() == {"up": 1}

    run(story)


# ---------------------------------------------------------------- never after the first byte


@pytest.mark.parametrize("end", ["reset", "silence", "early"])
def test_what_has_begun_is_never_tried_again(end: str) -> None:
    async def silent(request: httpx.Request) -> httpx.Response:
        class Pieces(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield BEGUN
                await asyncio.sleep(1e6)

        return httpx.Response(200, headers={"content-type": EVENTS}, stream=Pieces())

    reply: dict[str, Reply] = {"reset": broken(BEGUN), "silence": silent, "early": text(BEGUN, EVENTS)}

    async def story() -> None:
        script = Script(up=[reply[end], ok], other=ok)
        async with simulated(two(), script) as p:
            answer = await ask(p, stream=True)
            assert answer.status_code == 200 and answer.content.startswith(BEGUN)
            assert json.loads(answer.text.split("data: ")[-1])["error"]["message"] and "[DONE]" not in answer.text
            assert script.counts() == {"up": 1}
            kind = "timeout" if end == "silence" else "truncated"
            assert (p.rows[0].error_kind, p.rows[0].attempts) == (kind, 1)

    run(story)


def test_nobody_is_asked_for_a_client_that_has_left() -> None:
    async def story() -> None:
        script = Script(up=status(503, retry_after="5"), other=ok)
        async with simulated(two(), script) as p:
            await leave(p, after=1)
            assert script.counts() == {"up": 1} and p.rows[0].error_kind == "cancelled"
            assert now() < 5

    run(story)
