"""The load generator for a machine without wrk: `python -m tests.bench.loadgen` as `load.py` calls it.

Slower than wrk (about 15,000 requests a second), which is enough for a server in Python on another core.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Plan:
    """What all connections share: the next request, the time to stop, and what was seen."""

    def __init__(self, template: str, keys: int, routes: int, active: float, turn: int) -> None:
        self.template, self.keys, self.routes, self.turn = template, keys, routes, turn
        self.stop_at = time.perf_counter() + active
        self.times: list[float] = []
        self.errors = 0

    def next_request(self) -> bytes:
        self.turn += 1
        return (self.template % (self.turn % self.keys, self.turn % self.routes)).encode()


class Caller(asyncio.Protocol):
    """One keep-alive connection that sends its next request when a reply is whole."""

    def __init__(self, plan: Plan, over: asyncio.Future[None]) -> None:
        self.plan, self.over = plan, over
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.plan.errors += 1
            self.over.set_result(None)

    def send(self) -> None:
        self.started = time.perf_counter()
        if self.started < self.plan.stop_at:
            self.transport.write(self.plan.next_request())
        elif not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_whole():
            return
        self.plan.times.append(time.perf_counter() - self.started)
        self.plan.errors += self.buffer[9:12] != b"200"
        self.buffer.clear()
        self.send()

    def is_whole(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if length := _LENGTH.search(self.buffer, 0, end):
            return len(self.buffer) >= end + 4 + int(length[1])
        return self.buffer.endswith(b"\r\n0\r\n\r\n")


async def drive(plan: Plan, port: int, connections: int, drain: float) -> None:
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for over in ends:
        await loop.create_connection(lambda over=over: Caller(plan, over), "127.0.0.1", port)  # type: ignore[misc]
    _, late = await asyncio.wait(ends, timeout=plan.stop_at - time.perf_counter() + drain)
    plan.errors += len(late)


def main(port: str, connections: str, drain: str, template: str, *numbers: str) -> None:
    keys, routes, active, turn = numbers
    plan = Plan(Path(template).read_bytes().decode(), int(keys), int(routes), float(active), int(turn))
    asyncio.run(drive(plan, int(port), int(connections), float(drain)))
    times = sorted(plan.times) or [0.0]
    told = {
        "requests": len(plan.times),
        "errors": plan.errors,
        "p50_us": round(times[len(times) // 2] * 1e6),
        "p99_us": round(times[len(times) * 99 // 100] * 1e6),
    }
    print("BENCH", json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
