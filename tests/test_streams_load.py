"""Many at once: streams that must all arrive whole and be counted, uploads that must cost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import replay
from tests.live import KEY, SERVERS, Gateway, Upstream, prepare, replay_upstream, serve
from tests.test_byte_fidelity import without_unasked_usage
from tests.upstreams import CHUNKS, chunk, last_chunks
from tests.wire import Reply, Wire, exchange

#: httpx's own pool looks through all connections for each one: a machine that is busy needs minutes for 500.
STREAMS = 100 if os.environ.get("GATEWAY_UPSTREAM_TRANSPORT") == "httpx" else 500
UPLOADS = 1000
STUBBORN = 8
BODY = 64 * 1024 * 1024
MIB = 1024 * 1024
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with replay_upstream() as found:
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    prepare(folder, replay.config([], upstream))
    return folder


@pytest.mark.parametrize("server", SERVERS)
def test_many_streams_at_once(server: str, data: Path) -> None:
    whole = b"".join(map(chunk, range(CHUNKS))) + last_chunks(CHUNKS)
    wanted = {True: whole, False: without_unasked_usage(whole)}  # who asks for usage gets it
    with serve(server, data) as gateway:
        start = time.monotonic()
        replies = asyncio.run(_streams(gateway))
        took = time.monotonic() - start
        rows = gateway.wait_rows(f"load.{server}.", STREAMS)
    wrong = [n for n, reply in enumerate(replies) if (reply.status, reply.body) != (200, wanted[n % 2 == 0])]
    print(f"\n{STREAMS} streams of {CHUNKS} events on {server}: {took:.1f} s, {STREAMS * CHUNKS / took:.0f} events/s")
    assert not wrong, f"{len(wrong)} streams are not whole: {replies[wrong[0]]}"
    names = ("status", "error_kind", "input_tokens", "output_tokens", "estimated", "stream", "attempts")
    found = Counter(tuple(row[name] for name in names) for row in rows.values())
    assert found == {(200, "", 7, CHUNKS, 0, 1, 1): STREAMS}


async def _streams(gateway: Gateway) -> list[Reply]:
    async def one(number: int) -> Reply:
        options = {"stream_options": {"include_usage": True}} if number % 2 == 0 else {}
        model = f"fault-counted-{gateway.server}-{number}"
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}], **options}
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"load.{gateway.server}.{number}"}
        return await exchange(gateway.port, "POST", PATH, headers, json.dumps(body).encode())

    return list(await asyncio.gather(*map(one, range(STREAMS))))


def test_uploads_without_a_key_cost_nothing(data: Path) -> None:
    """On uvicorn only: daphne reads every body to its end before it asks the application, as the README says."""
    with serve("uvicorn", data) as gateway:
        asyncio.run(_uploads(gateway, 50, stubborn=False))  # whatever is allocated once
        before = gateway.rss()
        quick, sent = asyncio.run(_uploads(gateway, UPLOADS, stubborn=False))
        after_quick = gateway.rss()
        slow, pushed = asyncio.run(_uploads(gateway, STUBBORN, stubborn=True))
        after_slow, highest = gateway.rss(), gateway.peak()
    print(
        f"\n{UPLOADS} uploads of {BODY // MIB} MiB without a key: {quick}, {sent / MIB:.0f} MiB sent,"
        f" memory {(after_quick - before) / MIB:+.1f} MiB; {STUBBORN} that go on sending: {slow}, {pushed / MIB:.0f} MiB,"
        f" memory {(after_slow - before) / MIB:+.1f} MiB, at most {(highest - before) / MIB:+.1f} MiB"
    )
    assert quick == {401: UPLOADS}
    assert set(slow) <= {401}
    assert max(after_quick, after_slow) - before < 8 * MIB
    assert highest - before < 32 * MIB


async def _uploads(gateway: Gateway, count: int, *, stubborn: bool) -> tuple[dict[int, int], int]:
    """How often each status came back, and how many bytes left us. A stubborn client sends on after its 401."""
    places, statuses, sent = asyncio.Semaphore(STUBBORN), Counter[int](), 0
    piece = b"x" * 65536

    async def one() -> None:
        nonlocal sent
        async with places, Wire.open(gateway.port) as wire:
            await wire.send("POST", PATH, {"content-type": "application/json"}, b"", length=BODY)
            head = asyncio.ensure_future(wire.head())
            with contextlib.suppress(ConnectionError):  # the server may close, once it has answered
                for _ in range(BODY // len(piece)):
                    if head.done() and not stubborn:
                        break
                    wire.writer.write(piece)
                    sent += len(piece)
                    await wire.writer.drain()
                    await asyncio.sleep(0)
            statuses[(await head)[0]] += 1

    await asyncio.gather(*(one() for _ in range(count)))
    return dict(statuses), sent
