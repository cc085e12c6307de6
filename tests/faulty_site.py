"""A gateway before the faulty upstream, and how its clients see what comes of each fault."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.faulty import FAULTS
from tests.live import KEY, LIMIT, TENANT, Gateway, Row, Upstream
from tests.recordings import Json
from tests.wire import Wire

APIS = ("chat", "messages", "generate", "responses")
#: The API that the client speaks and the one that is spoken to the upstream.
PAIRS = (*((api, api) for api in APIS), ("chat", "messages"), ("messages", "chat"), ("generate", "chat"))
HASTE = 1.0  # seconds of patience with what hangs
CONNECTING = {"refused": "http", "dns": "http", "tls-plain": "https", "tls-signed": "https", "tls-silent": "https"}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
AT_ONCE = 48
SECRET = "sk-upstream-secret-of-the-fault-tests"


@dataclass(frozen=True, slots=True)
class Case:
    """One request. ``mode``: alone, the faulty provider is the route's only target; pair, a healthy one stands behind it."""

    mode: str
    fault: str
    client: str
    api: str
    stream: bool

    @property
    def name(self) -> str:
        """The model that is asked for, and the request's id."""
        return f"{self.mode}.{self.fault}.{self.api}.{self.client}-{'stream' if self.stream else 'whole'}"

    def path(self) -> str:
        action = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
        return PATHS.get(self.client) or f"/v1beta/models/{self.name}:{action}"

    def body(self) -> bytes:
        messages = [{"role": "user", "content": "hi"}]
        doc: Json = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        if self.client == "responses":
            doc = {"input": "hi", "store": False}
        elif self.client != "generate":
            doc = {"messages": messages, "max_tokens": 99}
        return json.dumps(
            doc if self.client == "generate" else {**doc, "model": self.name, "stream": self.stream}
        ).encode()


@dataclass(slots=True)
class Outcome:
    """What the client saw. ``whole``: the reply ended as HTTP says it must."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    seconds: float = 0

    def events(self) -> list[tuple[str, Any]]:
        """Name and JSON of each event that has data; [DONE] as it is."""
        found = []
        for text in self.body.decode().replace("\r\n", "\n").split("\n\n"):
            lines = [line.partition(":") for line in text.split("\n")]
            named = {name: value.strip() for name, _, value in lines}
            if data := named.get("data"):
                found.append((named.get("event", ""), data if data == "[DONE]" else json.loads(data)))
        return found


async def ask(gateway: Gateway, case: Case, enough: int = 0) -> Outcome:
    """Ask, and leave when ``enough`` bytes of the reply have come."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "x-request-id": case.name}
    outcome, began = Outcome(), time.monotonic()
    async with asyncio.timeout(LIMIT), Wire.open(gateway.port) as wire:
        await wire.send("POST", case.path(), headers, case.body())
        outcome.status, outcome.headers = await wire.head()
        try:
            async for piece in wire.pieces(outcome.headers):
                outcome.body += piece
                if enough and len(outcome.body) > enough:
                    return outcome
            outcome.whole = True
        except asyncio.IncompleteReadError as cut:
            outcome.body += cut.partial
    outcome.seconds = time.monotonic() - began
    return outcome


async def ask_all(gateway: Gateway, cases: Iterable[Case]) -> dict[Case, Outcome]:
    places, found = asyncio.Semaphore(AT_ONCE), dict[Case, Outcome]()

    async def one(case: Case) -> None:
        async with places:
            found[case] = await ask(gateway, case)

    await asyncio.gather(*map(one, cases))
    return found


Seen = dict[Case, tuple[Outcome, Row]]


def asked(gateway: Gateway, cases: list[Case]) -> Seen:
    """All of them at once, with their rows."""
    outcomes = asyncio.run(ask_all(gateway, cases))
    rows: dict[str, Row] = {}
    for mode in {case.mode for case in cases}:
        for fault in {case.fault for case in cases}:
            count = sum((case.mode, case.fault) == (mode, fault) for case in cases)
            rows |= gateway.wait_rows(f"{mode}.{fault}.", count) if count else {}
    return {case: (outcome, rows[case.name]) for case, outcome in outcomes.items()}


def said(outcome: Outcome, row: Row) -> str:
    """In few words."""
    if row["error_kind"] == "":
        return f"200 of {row['provider']}"
    if outcome.status >= 400:
        return f"{outcome.status} {row['error_kind']}"
    return f"{'event' if outcome.whole else 'ends'}: {row['error_kind']}"


def _provider(name: str, base_url: str) -> Json:
    hasty = name.startswith(("hang", "stall", "endless", "tls-silent"))
    times = {"first_byte_timeout": HASTE, "idle_timeout": HASTE, "connect_timeout": HASTE} if hasty else {}
    if name == "drip":
        times = {"idle_timeout": HASTE}
    made = {"name": name, "kind": "openai-compatible", "base_url": base_url, "apis": list(APIS), "api_key": SECRET}
    return {**made, "max_retries": 2 if name.startswith("burst") else 0, **times}


def config(upstream: Upstream, ports: dict[str, int]) -> Json:
    """``MODE.FAULT.API.*`` is asked of the provider FAULT by its API."""
    bases = {fault: f"{upstream.origin}/{fault}" for fault in FAULTS}
    bases |= {f"tls-{name}": f"https://127.0.0.1:{ports[name]}" for name in ("signed", "silent")}
    bases["tls-plain"] = f"https://127.0.0.1:{upstream.port}"
    bases |= {"refused": f"http://127.0.0.1:{ports['refused']}", "dns": "http://nobody.invalid"}
    providers = [_provider(name, base) for name, base in bases.items()]
    routes: list[Json] = []
    for fault in bases:
        for api in APIS:
            first: Json = {"provider": fault, "api": api, "priority": 0}
            second: Json = {"provider": "healthy", "api": api, "priority": 1}
            routes.append({"model": f"alone.{fault}.{api}.*", "targets": [first]})
            if fault != "healthy":
                routes.append({"model": f"pair.{fault}.{api}.*", "targets": [first, second]})
    late: Json = {"model": "deadline.hang-head.chat.*", "targets": [{"provider": "patient", "api": "chat"}]}
    providers.append({**_provider("patient", bases["hang-head"]), "max_retries": 2})
    routes.append({**late, "deadline": HASTE})
    tenants = [{"name": TENANT, "keys": [{"name": "live", "key": KEY}]}]
    return {"version": 1, "providers": providers, "routes": routes, "tenants": tenants}
