"""This gateway with everything on, as an operator would start it: key check, routing, metrics, log line, usage rows.

Two sizes are set up: `small`, by `manage.py apply`, and `large`, a copy of it that `seed.py` fills. `programmed` is the
small one with all of routing configured, and hooks, none of which has anything to do. `money` is the small one with three
limits for each key and hard budgets of tenant, project and key, all far away. All of them know the price of their models.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import KEY, MODEL, STREAM_MODEL
from tests.bench.servers import ROOT, Server, free_port

METRICS_TOKEN = "bench-metrics-not-a-secret"
_DROPPED = ("GATEWAY_", "SERVER_", "LLM_GATEWAY_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "OLLAMA_", "DJANGO_")


@dataclass(frozen=True)
class Size:
    routes: int
    keys: int
    tenants: int


SMALL = Size(routes=20, keys=40, tenants=4)
LARGE = Size(routes=10_000, keys=100_000, tenants=200)


@dataclass(frozen=True)
class Rows:
    """What the gateway stored: rows in all, rows of status 200, and their tokens."""

    all: int
    good: int
    input_tokens: int
    output_tokens: int


def environment(data: Path) -> dict[str, str]:
    """The caller's environment without what would change the gateway (a database, a provider, a port)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        kept.pop(name, None)
    if "GATEWAY_COMPILED" in os.environ:
        kept["GATEWAY_COMPILED"] = os.environ["GATEWAY_COMPILED"]
    return kept | {"GATEWAY_DATA_DIR": str(data), "GATEWAY_METRICS_TOKEN": METRICS_TOKEN}


#: What routing has, configured so that it is asked and has nothing to do.
_PROVIDER = {
    "max_concurrent": 10_000,
    "max_waiting": 1000,
    "models": [{"name": "bench", "abilities": {"tools": False}}],
}
ROUTE: dict[str, Any] = {"strategy": "least_in_flight", "keep_alive": 30, "deadline": 300}
CONDITIONS = {"max_input_tokens": 100_000, "images": False, "not_tags": ["batch"], "not_tenants": ["idle"]}
_SPARE = {"provider": "spare", "model": "bench", "fallback_for": "both"}
_HOOKS = [
    {"name": "Redact", "tenant": "idle", "options": {"restore": True}},
    {"name": "BlockSecrets", "route": "idle", "options": {}},
    {"name": "RequestLog", "tenant": "idle", "options": {}},
]


def program(document: dict[str, Any], whole_url: str) -> None:
    """Configure all of routing beside what is there."""
    provider = {"kind": "openai-compatible", "base_url": whole_url, "api_key": "bench-upstream"}
    document["providers"] = [{**each, **_PROVIDER} for each in document["providers"]]
    document["providers"] += [{"name": name, **provider} for name in ("second", "spare")]
    for route in document["routes"]:
        first = {**route["targets"][0], "conditions": CONDITIONS}
        others = [{**first, "provider": "second", "priority": 1}, _SPARE]
        route |= {**ROUTE, "targets": [first, *others]}
    document["routes"].append({"model": "idle", "targets": [{"provider": "second"}]})
    document["tenants"].append({"name": "idle"})
    document["hooks"] = _HOOKS


_LIMITS = {"requests_per_minute": 900_000_000, "tokens_per_minute": 1_000_000_000, "concurrent_requests": 100_000}
RATES = {"input_tokens": "1.25", "output_tokens": "10"}
_FORTUNE = 900_000_000  # dollars: no reservation is refused


def fund(document: dict[str, Any]) -> None:
    """Give every key limits, and it, its project and its tenant a hard budget."""
    for tenant in document["tenants"]:
        for key in tenant["keys"]:
            key |= _LIMITS
        budgets = [{"name": "all"}, {"name": "web", "of": "project", "project": "web"}]
        budgets += [{"name": key["name"], "of": "key", "key": key["name"]} for key in tenant["keys"]]
        tenant["budgets"] = [{**budget, "amount": _FORTUNE, "period": "month"} for budget in budgets]


#: What is added to the small gateway's configuration, by the server's name.
ADDED: dict[str, Callable[[dict[str, Any], str], None]] = {
    "programmed": program,
    "money": lambda document, _: fund(document),
}


def configure(name: str, data: Path, whole_url: str, stream_url: str) -> None:
    """Make the database of the small gateway, or of one with more."""
    provider = {"kind": "openai-compatible", "api_key": "bench-upstream"}
    document: dict[str, Any] = {
        "version": 1,
        "providers": [
            {"name": "whole", "base_url": whole_url, **provider},
            {"name": "streams", "base_url": stream_url, **provider},
        ],
        "routes": [
            {"model": name.format(number), "targets": [{"provider": place, "model": "bench"}]}
            for number in range(SMALL.routes)
            for name, place in ((MODEL, "whole"), (STREAM_MODEL, "streams"))
        ],
        "prices": [{"model": "*", "rates": RATES, "context_window": 128_000}],
        "tenants": [
            {"name": f"tenant-{tenant}", "projects": [{"name": "web"}], "keys": _keys(tenant)}
            for tenant in range(SMALL.tenants)
        ],
    }
    if name in ADDED:
        ADDED[name](document, whole_url)
    data.mkdir(mode=0o700)
    path = data.parent / f"{data.name}.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML
    manage(environment(data), "migrate", "--verbosity", "0")
    manage(environment(data), "apply", str(path))


def _keys(tenant: int) -> list[dict[str, str]]:
    numbers = range(tenant, SMALL.keys, SMALL.tenants)
    return [{"name": f"key-{number}", "key": KEY.format(number), "project": "web"} for number in numbers]


def enlarge(small: Path, large: Path, whole_url: str, stream_url: str) -> None:
    """Make the database of the large gateway from the small one's, which must not run."""
    shutil.copytree(small, large)
    _seed(environment(large), "fill", str(LARGE.routes), str(LARGE.keys), str(LARGE.tenants), whole_url, stream_url)


def start(name: str, data: Path, core: int) -> Server:
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return Server.start(name, command, port, core, data.parent / f"{name}.log", environment(data))


def rows(data: Path, expected: int, patience: float = 20) -> Rows:
    """The stored rows; waits until there are `expected` good ones, since they are written off the request path."""
    deadline = time.monotonic() + patience
    while True:
        found = Rows(**json.loads(_seed(environment(data), "count")))
        if found.good >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def log_lines(server: Server) -> int:
    """How many requests its log tells of."""
    with server.log.open("rb") as lines:
        return sum(b'"status_code"' in line and b"chat" in line for line in lines)


def manage(env: Mapping[str, str], *arguments: str) -> str:
    return _run([sys.executable, "manage.py", *arguments], env)


def _seed(env: Mapping[str, str], *arguments: str) -> str:
    return _run([sys.executable, "-m", "tests.bench.seed", *arguments], env)


def _run(command: list[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.stdout
