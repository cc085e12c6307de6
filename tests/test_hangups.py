"""Who leaves, and what is left of it: clients, upstreams and readers that stop, on both servers, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import replay
from tests.live import KEY, SERVERS, Gateway, Upstream, get, prepare, replay_upstream, serve, wait_until
from tests.upstreams import CHUNKS, chunk
from tests.wire import Wire, exchange

HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
PATH = "/v1/chat/completions"
MANY = 1000
AT_ONCE = 50
MIB = 1024 * 1024
SEND_TIMEOUT = 2


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with replay_upstream() as found:
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hangups")
    prepare(folder, replay.config([], upstream))
    return folder


@pytest.fixture(scope="module", params=SERVERS)
def gateway(request: pytest.FixtureRequest, data: Path) -> Iterator[Gateway]:
    with serve(request.param, data, GATEWAY_SEND_TIMEOUT=str(SEND_TIMEOUT)) as found:
        yield found


def body(model: str) -> bytes:
    return json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}).encode()


async def seen(upstream: Upstream, model: str) -> None:
    """Until the request for ``model`` has reached the upstream."""
    while (await exchange(upstream.port, "GET", f"/_seen/{model}", {})).body == b"null":
        await asyncio.sleep(0.005)


async def hang_up(gateway: Gateway, upstream: Upstream, model: str) -> float:
    """Ask for a stream and leave: after three pieces of it, or before its head if the upstream is not to answer. When."""
    async with Wire.open(gateway.port) as wire:
        await wire.send("POST", PATH, {**HEADERS, "x-request-id": model}, body(model))
        if "endless" in model:
            status, headers = await wire.head()
            pieces = wire.pieces(headers)
            assert status == 200 and [await anext(pieces) for _ in range(3)]
        else:
            await seen(upstream, model)
        wire.close()
        return time.monotonic()


def _is_closed(upstream: Upstream, model: str) -> bool:
    return model in upstream.closed()


@pytest.mark.parametrize("fault", ["endless", "silent", "headers"])
def test_a_hang_up_reaches_the_upstream(fault: str, gateway: Gateway, upstream: Upstream) -> None:
    took = []
    for number in range(5):
        model = f"fault-{fault}-{gateway.server}-{number}"
        left = asyncio.run(hang_up(gateway, upstream, model))
        wait_until(partial(_is_closed, upstream, model), f"{model} is closed")
        took.append(upstream.closed()[model] - left)
    rows = gateway.wait_rows(f"fault-{fault}-{gateway.server}-", 5).values()
    print(
        f"\n{fault} on {gateway.server}: hang-up reached the upstream after {sorted(round(1000 * t, 1) for t in took)} ms"
    )
    assert {row["error_kind"] for row in rows} == {"cancelled"}
    generated = [row["output_tokens"] > 0 for row in rows]
    assert all(generated) if fault == "endless" else not any(generated)


def test_many_hang_ups_leave_nothing(gateway: Gateway, upstream: Upstream) -> None:
    def round_of(name: str, count: int) -> None:
        models = [f"fault-{('endless', 'silent', 'headers')[n % 3]}-{name}-{gateway.server}-{n}" for n in range(count)]

        async def all_of_them() -> None:
            places = asyncio.Semaphore(AT_ONCE)

            async def one(model: str) -> None:
                async with places:
                    await hang_up(gateway, upstream, model)

            await asyncio.gather(*map(one, models))

        asyncio.run(all_of_them())
        wait_until(lambda: set(models) <= set(upstream.closed()), f"all of {name} are closed")
        rows = [row for fault in ("endless", "silent", "headers") for row in _rows(gateway, fault, name, models)]
        assert Counter(row["error_kind"] for row in rows) == {"cancelled": count}
        wait_until(lambda: active(gateway) == 0, "no request is active")

    round_of("warm", 200)
    files, memory, held = gateway.open_files(), gateway.rss(), upstream.open()
    round_of("many", MANY)
    wait_until(lambda: gateway.open_files() <= files + 5, f"open files are back from {gateway.open_files()} to {files}")
    wait_until(lambda: upstream.open() <= held + 5, "upstream connections are closed")
    grown = gateway.rss() - memory
    print(
        f"\n{MANY} hang-ups on {gateway.server}: files {files} → {gateway.open_files()}, memory {grown / MIB:+.1f} MiB"
    )
    assert grown < 16 * MIB


def _rows(gateway: Gateway, fault: str, name: str, models: list[str]) -> list[dict[str, object]]:
    prefix = f"fault-{fault}-{name}-{gateway.server}-"
    return list(gateway.wait_rows(prefix, sum(model.startswith(prefix) for model in models)).values())


def active(gateway: Gateway) -> float:
    """The requests that the gateway itself counts as running."""
    status, text = get(gateway.port, "/metrics")
    found = re.findall(r"^proxy_active_requests\{[^}]*\} (\S+)$", text.decode(), re.MULTILINE)
    assert status == 200 and found, "no proxy_active_requests in /metrics"
    return sum(map(float, found))


@pytest.mark.parametrize("fault", ["cut", "broken"])
def test_an_upstream_that_leaves_is_told(fault: str, gateway: Gateway) -> None:
    model = f"fault-{fault}-{gateway.server}"
    reply = asyncio.run(exchange(gateway.port, "POST", PATH, {**HEADERS, "x-request-id": model}, body(model)))
    sent = chunk(0) + chunk(1)
    assert reply.status == 200 and reply.body.startswith(sent)
    told = reply.body.removeprefix(sent)
    assert b'"error"' in told and b"[DONE]" not in told, told
    assert json.loads(told.partition(b"data:")[2])["error"]["message"]
    row = gateway.wait_rows(model, 1)[model]
    assert row["error_kind"] and row["error_kind"] != "cancelled", dict(row)


@pytest.mark.parametrize("gateway", ["uvicorn"], indirect=True)
def test_a_reader_that_stops_costs_no_memory(gateway: Gateway, upstream: Upstream) -> None:
    """The upstream sends as fast as it can; the client takes the head and nothing more.

    Not on daphne, which takes whatever it is given: the README's table and a system check say so.
    """
    model = f"fault-flood-{gateway.server}"
    before = gateway.rss()
    highest = [before]

    def ended() -> bool:
        highest.append(gateway.rss())
        assert max(highest) - before < 256 * MIB, "memory grows without bound"
        return model in upstream.closed()

    async def stop_reading() -> None:
        async with Wire.open(gateway.port) as wire:
            wire.writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await wire.send("POST", PATH, {**HEADERS, "x-request-id": model}, body(model))
            await wire.head()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.to_thread(wait_until, ended, "the blocked send was given up")

    asyncio.run(stop_reading())
    row = gateway.wait_rows(model, 1)[model]
    print(
        f"\na stopped reader on {gateway.server}: memory {(max(highest) - before) / MIB:+.1f} MiB, row {row['error_kind']!r}"
    )
    assert row["error_kind"]
    assert max(highest) - before < 32 * MIB


def test_the_gateway_still_works(gateway: Gateway) -> None:
    model = f"fault-counted-{gateway.server}"
    reply = asyncio.run(exchange(gateway.port, "POST", PATH, {**HEADERS, "x-request-id": model}, body(model)))
    events = reply.body.count(b"data:")
    assert (reply.status, events) == (200, CHUNKS + 2)  # the finish and [DONE]; usage was not asked for
    assert gateway.wait_rows(model, 1)[model]["output_tokens"] == CHUNKS
