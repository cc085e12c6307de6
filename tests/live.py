"""The real gateway and the replay upstream as processes of their own, for tests that need sockets, servers and rows."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.recordings import REPOSITORY

KEY = "gw-live-tests-0123456789abcdefghijklmnopqrstuv"
TENANT = "tester"
LIMIT = 180.0  # seconds after which a condition counts as never met: generous, the machine may be busy
SERVERS = ("uvicorn", "daphne")
#: What a developer's shell may hold and a test's gateway must not see.
FOREIGN = (
    "GATEWAY_",
    "LLM_GATEWAY_",
    "SERVER_",
    "OPENAI_",
    "ANTHROPIC_",
    "GEMINI_",
    "GOOGLE_",
    "OLLAMA_",
    "DATABASE_",
    "DJANGO_",
    "SECRET_",
)
KEPT = frozenset({"GATEWAY_COMPILED", "GATEWAY_UPSTREAM_TRANSPORT", "GATEWAY_PRICES_FILE"})

Row = dict[str, Any]


def wait_until(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """The first true value of ``condition``; fails with ``what`` when there is none in time."""
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        time.sleep(0.02)
    return value


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Upstream:
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self, model: str) -> Any:
        return json.loads(get(self.port, f"/_seen/{model}")[1])

    def closed(self) -> dict[str, float]:
        return dict(json.loads(get(self.port, "/_closed")[1]))

    def open(self) -> int:
        """Connections that somebody else than the asker holds."""
        return int(get(self.port, "/_open")[1]) - 1


@contextlib.contextmanager
def started(module: str) -> Iterator[tuple[bytes, subprocess.Popen[bytes]]]:
    """The module as a process that tells a line when it serves, and ends with its stdin; that line and the process."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline(), process
    finally:
        process.stdin.close()
        process.wait(LIMIT)
        process.stdout.close()


@contextlib.contextmanager
def replay_upstream() -> Iterator[Upstream]:
    with started("tests.upstreams") as (line, _):
        yield Upstream(int(line))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. ``rows`` reads what it stored about requests, straight from its database."""

    port: int
    pid: int
    server: str
    data: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data / "serve.log").read_text(errors="replace")

    def rows(self, prefix: str) -> dict[str, list[Row]]:
        """The usage rows whose request id starts with ``prefix``, by request id."""
        found: dict[str, list[Row]] = defaultdict(list)
        with contextlib.closing(database(self.data)) as connection:
            query = "SELECT * FROM tenants_usage WHERE kind = 'charge' AND request_id >= ? AND request_id < ?"
            for row in connection.execute(query, (prefix, prefix + "\x7f")):
                found[row["request_id"]].append(dict(row))
        return found

    def wait_rows(self, prefix: str, count: int) -> dict[str, Row]:
        """Exactly one row for each of ``count`` requests."""
        try:
            wait_until(lambda: len(self.rows(prefix)) >= count, "rows")
        except AssertionError:
            raise AssertionError(f"{len(self.rows(prefix))} rows of {count} requests {prefix}*") from None
        found = self.rows(prefix)
        doubled = [name for name, rows in found.items() if len(rows) != 1]
        assert not doubled and len(found) == count, (
            f"{len(found)} rows for {count} requests, more than one: {doubled[:9]}"
        )
        return {name: rows[0] for name, rows in found.items()}

    def rss(self) -> int:
        """Resident memory of the serving process in bytes."""
        return _status(self.pid, "VmRSS") * 1024

    def peak(self) -> int:
        """The most that was ever resident, in bytes."""
        return _status(self.pid, "VmHWM") * 1024

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def database(data: Path, mode: str = "ro") -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{data / 'gateway.sqlite3'}?mode={mode}", uri=True, timeout=LIMIT)
    connection.row_factory = sqlite3.Row
    return connection


def environment(data: Path, extra: dict[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(FOREIGN)}
    return {**clean, "GATEWAY_ENV_FILE": "", "GATEWAY_DATA_DIR": str(data), "GATEWAY_DRAIN_DELAY": "0", **extra}


def manage(data: Path, *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(data, {}), capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"


def prepare(data: Path, config: Row, objects: Iterable[tuple[str, str, str]] = ()) -> None:
    """A database with ``config`` applied, in which the tenant owns ``objects`` (provider, kind, id)."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    manage(data, "migrate", "--verbosity", "0")
    (data / "config.yaml").write_text(json.dumps(config, indent=1))  # JSON is YAML
    manage(data, "apply", str(data / "config.yaml"))
    with contextlib.closing(database(data, "rw")) as connection, connection:
        tenant = connection.execute("SELECT id FROM tenants_tenant WHERE name = ?", (TENANT,)).fetchone()[0]
        providers = {row["name"]: row["id"] for row in connection.execute("SELECT id, name FROM providers_provider")}
        connection.executemany(
            "INSERT OR IGNORE INTO tenants_storedobject"
            " (tenant_id, object_id, kind, provider_id, credential_id, target_id, route, model, created_at)"
            " VALUES (?, ?, ?, ?, 0, 0, '', '', datetime('now'))",
            [(tenant, name, kind, providers[provider]) for provider, kind, name in objects],
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serve(server: str, data: Path, **extra: str) -> Iterator[Gateway]:
    """``manage.py serve`` on a prepared ``data`` directory, from ready until terminated."""
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port), "--server", server]
    with (data / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(data, extra), stdout=log, stderr=log)
    gateway = Gateway(port, process.pid, server, data)

    def ready() -> bool:
        assert process.poll() is None, f"the gateway ended: {gateway.log[-4000:]}"
        with contextlib.suppress(OSError):
            return get(port, "/ready")[0] == 200
        return False

    try:
        wait_until(ready, "the gateway is ready")
        yield gateway
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the gateway did not end on SIGTERM") from None
