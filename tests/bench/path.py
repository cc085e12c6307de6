"""What one request costs in this process: ``python -m tests.bench.path [--profile]``.

It calls the ASGI view of /v1/chat/completions itself, eight requests at a time, with the log line, the metrics and the
crash-safe ledger on; then with limits of the key and budgets of three levels, too. Below is the native engine on
connections without sockets, so that its parser counts too; the server above and the database are left out. CPU time of windows of half a second, the best of several, whole and streamed (20 events, each
a read of its own): on a machine with neighbours go by the best. Compare commits by turns, in two work trees: ``git worktree add /tmp/before COMMIT``, copy this file
there. With ``--profile`` the functions that take longest are listed instead.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import json
import math
import pstats
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import uvloop

import gateway_project  # noqa: F401  # it decides whether what was compiled is used
from providers.abilities import Ability
from providers.guard import Guard
from providers.native_connection import Connection
from providers.native_engine import NativeTransport
from providers.presets import PRESETS
from providers.upstream import Connections, Credential, Upstream
from routing.conditions import read_conditions
from routing.gateway import Gateway
from routing.hooks import Hooks, Row
from routing.log import Log
from routing.paths import CHAT
from routing.shipped.block_secrets import BlockSecrets
from routing.shipped.redact import Redact
from routing.table import Route, Table, Target, with_routes
from tenants import keys
from tenants.keys import Key, Project, Tenant
from tenants.leases import Ask, Counter, Grant, Trailing
from tenants.leases import Key as LeaseKey
from tenants.periods import Period
from tenants.price_table import Override, Prices, Source
from tenants.pricing import Price, Rates, Tariff
from tenants.refills import Refills
from tenants.spooled import SpooledLedger
from tenants.terms import Rule
from tenants.wallet import Wallet
from tests.bench.gateway import CONDITIONS, ROUTE
from tests.bench.load import KEY, PROMPT
from tests.bench.upstream import WHOLE

PEPPER = b"bench pepper"
CONNECTIONS = 8
WINDOWS, SECONDS = 10, 0.5
PROFILED = 20_000
EVENTS = 20
_HEAD = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1741569952, "model": "gpt-4.1"}
_USAGE = {"prompt_tokens": 24, "completion_tokens": EVENTS, "total_tokens": 24 + EVENTS}


def _event(text: str, reason: str | None, usage: dict[str, int] | None = None) -> bytes:
    choices = [] if usage else [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}]
    doc = json.dumps({**_HEAD, "choices": choices, "usage": usage}, separators=(",", ":"))
    return f"data: {doc}\n\n".encode()


_STREAM = [_event(f" word{n}", None) for n in range(EVENTS - 3)]
_STREAM += [_event("", "stop"), _event("", None, _USAGE), b"data: [DONE]\n\n"]
WHOLE_REPLY = [
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 06 Oct 2025 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nx-request-id: req_bench\r\n\r\n%s" % (len(WHOLE), WHOLE)
]
STREAM_REPLY = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    *[b"%x\r\n%s\r\n" % (len(event), event) for event in _STREAM],
    b"0\r\n\r\n",
]


class Wire(asyncio.Transport):
    """The socket of an upstream that answers everything alike, piece by piece."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.loop = connection.loop
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        self.loop.call_soon(self._give, deque(STREAM_REPLY if b'"stream":true' in data else WHOLE_REPLY))

    def _give(self, pieces: deque[bytes]) -> None:
        self.connection.data_received(pieces.popleft())
        if pieces:
            self.loop.call_soon(self._give, pieces)

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("a reply was not taken in whole")


def engine() -> NativeTransport:
    """The native one, with all the connections that it will need."""
    made = NativeTransport(Guard(()), cast(Any, None))
    for _ in range(CONNECTIONS):
        connection = Connection()
        Wire(connection)
        connection.reusable, connection.idle_since = True, math.inf
        made.pools.setdefault(("http", "127.0.0.1", 9), deque()).append(connection)
    return made


def gateway(root: Path) -> Gateway:
    preset = PRESETS["openai"]
    upstream = Upstream(
        id=1,
        name="bench",
        kind="openai",
        base_url="http://127.0.0.1:9",
        apis=frozenset(preset.apis),
        credentials=(Credential(1, (b"authorization", b"Bearer bench-upstream")),),
        stream_usage=preset.stream_usage,
    )
    table = Table(
        revision=7,
        keys={keys.digest(KEY.format(0), PEPPER): Key(11, "main", 1)},
        tenants={1: Tenant(1, "acme")},
        upstreams={1: upstream},
        peppers=(PEPPER,),
        loaded_at=1.0,
    )
    transports: dict[str, httpx.AsyncBaseTransport] = {"*": engine()}
    return Gateway(
        Connections(transports=transports),
        table=with_routes(table, {"bench": Route(1, "bench", (Target(1, upstream),))}),
        ledger=SpooledLedger(root),
        log=Log(out=io.BytesIO()),
    )


def programmed(root: Path) -> Gateway:
    """The same with all of routing configured and hooks of another tenant, as ``tests.bench.gateway`` has it: asked, and
    never of use."""
    made = gateway(root)
    upstream = replace(made.table.upstreams[1], max_concurrent=10_000, max_waiting=1000)
    others = [replace(upstream, id=number, name=name) for number, name in ((2, "second"), (3, "spare"))]
    conditions = read_conditions(CONDITIONS)
    first = Target(1, upstream, "bench", conditions=conditions)
    targets = (
        first,
        Target(2, others[0], "bench", conditions=conditions, priority=1),
        Target(3, others[1], "bench", fallback_for="both"),
    )
    route = Route(1, "bench", targets, **ROUTE)
    classes = {"Redact": Redact, "BlockSecrets": BlockSecrets}
    rows = [Row("Redact", '{"restore": true}', tenant_id=2), Row("BlockSecrets", route_id=2)]
    table = replace(
        made.table,
        upstreams={each.id: each for each in (upstream, *others)},
        abilities={(each.id, "bench"): Ability((("tools", False),)) for each in (upstream, *others)},
        hooks=Hooks(rows, classes),
    )
    made.install(with_routes(table, {"bench": route}))
    return made


def funded(root: Path) -> Gateway:
    """The same, with a price, three limits of the key and a hard budget of each level: none is ever reached. What
    ``tests.money`` has for that needs Django, which is left out here."""
    made = gateway(root)
    price = Price("v1", {"": Tariff(Rates({"input_tokens": 1_250_000_000, "output_tokens": 10_000_000_000}))})
    far = 10**17
    budgets = {level: Rule(Counter(f"b.{level}", far, Period("month"))) for level in ("tenant", "project", "key")}
    limits = [
        Rule(Counter(f"{unit}.k11", far, Trailing(0 if unit == "concurrent" else 60), unit))
        for unit in ("requests", "tokens", "concurrent")
    ]
    table = made.table
    (digest, key), *_ = table.keys.items()
    made.table = replace(
        table,
        keys={digest: replace(key, project_id=5)},
        projects={5: Project(5, "web", 1)},
        prices=Prices(overrides=[Override("", "", "*", replace(price, context_window=128_000))]),
        sources={1: Source("bench", "openai", "")},
        rules={
            ("tenant", 1): (budgets["tenant"],),
            ("project", 5): (budgets["project"],),
            ("key", 11): (*limits, budgets["key"]),
        },
    )

    async def exchange(asks: list[Ask]) -> list[Grant]:
        return [Grant(each.number, each.sequence, each.keep + each.want, far, 0) for each in asks]

    async def shortages() -> list[LeaseKey]:
        return []

    made.refills = Refills(Wallet(), exchange, shortages)
    return made


class Caller:
    """``send`` of a server that writes nothing, and what it has seen."""

    def __init__(self, scope: dict[str, Any], message: dict[str, Any]) -> None:
        self.scope = scope
        self.message: dict[str, Any] | None = message
        self.status = 0
        self.ended = False

    async def receive(self) -> dict[str, Any]:
        if self.message is None:
            await asyncio.Event().wait()  # it never hangs up
        message, self.message = self.message, None
        assert message is not None
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.ended = not message.get("more_body")


def _asked(stream: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    doc: dict[str, Any] = {"model": "bench", "messages": [{"role": "user", "content": PROMPT}], "temperature": 0.5}
    if stream:
        doc |= {"stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps(doc, separators=(",", ":")).encode()
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"user-agent", b"bench"),
        (b"accept", b"application/json"),
        (b"content-type", b"application/json"),
        (b"authorization", f"Bearer {KEY.format(0)}".encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}
    return {**scope, "client": ("127.0.0.1", 5)}, {"type": "http.request", "body": body, "more_body": False}


async def _requests(made: Gateway, stream: bool, more: Callable[[], bool]) -> int:
    """Answer requests while there are ``more``; how many they were."""
    scope, message = _asked(stream)
    count = 0

    async def one() -> None:
        nonlocal count
        while more():
            caller = Caller({**scope, "headers": list(scope["headers"])}, message)
            await made.serve(CHAT, caller.scope, caller.receive, caller.send)
            assert caller.status == 200 and caller.ended
            count += 1
            if not count % 1000:
                _write(made)

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    _write(made)
    return count


def _write(made: Gateway) -> None:
    """What threads of a running gateway do: write the log's lines."""
    assert made.log is not None
    made.log.flush()
    made.log.out.seek(0)


async def window_us(made: Gateway, stream: bool) -> float:
    """µs of CPU time for one request, over one window."""
    end, begun = time.perf_counter() + SECONDS, time.process_time()
    count = await _requests(made, stream, lambda: time.perf_counter() < end)
    return 1e6 * (time.process_time() - begun) / count


async def _profile(made: Gateway, stream: bool) -> None:
    left = iter(range(PROFILED))
    with cProfile.Profile() as profile:
        await _requests(made, stream, lambda: next(left, None) is not None)
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("plain", gateway), ("routing", programmed), ("money", funded)):
            made = make(Path(folder, name))
            for stream in (False, True):
                await _one(f"{name}, {EVENTS} events" if stream else f"{name}, whole", made, stream)


async def _one(name: str, made: Gateway, stream: bool) -> None:
    await window_us(made, stream)  # to warm up
    if "--profile" in sys.argv:
        await _profile(made, stream)
        return
    found = sorted([await window_us(made, stream) for _ in range(WINDOWS)])
    print(f"{Path.cwd().name:<10} {name:<24}{found[0]:>8.1f} µs a request, median {found[len(found) // 2]:.1f}")


if __name__ == "__main__":
    uvloop.run(main())
