"""``manage.py serve`` on a freshly bootstrapped installation, for tests of how it starts, bears and ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live import LIMIT, Gateway, database, environment, free_port, get, wait_until
from tests.recordings import REPOSITORY

SECONDS = 4  # of a stream that outlives the listener
WORDS_PER_SECOND = 100  # the demo model's
DRAIN_DELAY = 1.0


@dataclass(frozen=True, slots=True)
class Installation:
    data: Path
    key: str


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    data = tmp_path_factory.mktemp("serve")
    command = [sys.executable, "manage.py", "bootstrap", "--migrate", "--json"]
    env = environment(data, {"PRINT_SECRETS": "1", "GATEWAY_ENV_FILE": ""})
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True, timeout=LIMIT)
    return Installation(data, json.loads(done.stdout)["key"])


@pytest.fixture
def installation(made: Installation, tmp_path: Path) -> Installation:
    """A copy of one's own."""
    return Installation(Path(shutil.copytree(made.data, tmp_path / "data")), made.key)


@contextlib.contextmanager
def serving(at: Installation, *arguments: str, **extra: str) -> Iterator[tuple[subprocess.Popen[bytes], Gateway]]:
    """``serve`` in a process group of its own, from ready on; whatever is left of the group is killed at the end."""
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--listen", f"127.0.0.1:{port}", *arguments]
    env = environment(at.data, {"GATEWAY_ENV_FILE": "", "GATEWAY_DRAIN_DELAY": str(DRAIN_DELAY), **extra})
    with (at.data / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=log, stderr=log, process_group=0)
    gateway = Gateway(port, process.pid, "", at.data)
    try:
        wait_until(lambda: process.poll() is not None or ready(port) == 200, "ready")
        assert process.poll() is None, gateway.log
        yield process, gateway
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ready(port: int) -> int:
    """The status of /ready; 0 where nobody listens, or no more."""
    try:
        return get(port, "/ready")[0]
    except (ConnectionError, http.client.HTTPException):
        return 0


class Stream:
    """A streamed answer of the demo model, which has begun."""

    def __init__(self, port: int, key: str, seconds: float = SECONDS) -> None:
        words = "word " * int(seconds * WORDS_PER_SECOND)
        body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": words}]}
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        self.reply = self.connection.getresponse()
        self.first = self.reply.readline()
        self.id = self.reply.headers["x-request-id"]
        assert self.reply.status == 200, self.first

    def rest(self) -> bytes:
        """All that still comes; what came if it was cut."""
        try:
            return self.reply.read()
        except http.client.IncompleteRead as cut:
            return cut.partial
        except ConnectionResetError:
            return b""
        finally:
            self.reply.close()
            self.connection.close()


def row(at: Installation, request_id: str) -> tuple[int, str]:
    """Status and error kind of the request's usage row."""
    query = "SELECT status, error_kind FROM tenants_usage WHERE request_id = ?"
    with contextlib.closing(database(at.data)) as connection:
        rows = connection.execute(query, (request_id,)).fetchall()
    assert len(rows) == 1
    return rows[0]["status"], rows[0]["error_kind"]


def refusal(data: Path, *arguments: str, **extra: str) -> str:
    command = [sys.executable, "manage.py", "serve", "--port", "0", *arguments]
    env = environment(data, {"GATEWAY_ENV_FILE": "", **extra})
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode != 0
    return done.stderr
