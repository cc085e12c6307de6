"""``manage.py serve``: what stops it from starting, how it ends, and what it bears, on both servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live import LIMIT, SERVERS, Gateway, database, environment, free_port, get, wait_until
from tests.recordings import REPOSITORY

SECONDS = 4  # of a stream that outlives the listener
WORDS_PER_SECOND = 100  # the demo model's
DRAIN_DELAY = 1.0


@dataclass(frozen=True, slots=True)
class Installation:
    data: Path
    key: str


@pytest.fixture(scope="module")
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
            self.connection.close()


def row(at: Installation, request_id: str) -> tuple[int, str]:
    """Status and error kind of the request's usage row."""
    query = "SELECT status, error_kind FROM tenants_usage WHERE request_id = ?"
    with contextlib.closing(database(at.data)) as connection:
        rows = connection.execute(query, (request_id,)).fetchall()
    assert len(rows) == 1
    return rows[0]["status"], rows[0]["error_kind"]


def children(pid: int) -> list[int]:
    """The workers of a parent: multiprocessing also keeps a process that tracks resources."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


# Starting


def refusal(data: Path, *arguments: str, **extra: str) -> str:
    command = [sys.executable, "manage.py", "serve", "--port", "0", *arguments]
    env = environment(data, {"GATEWAY_ENV_FILE": "", **extra})
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode != 0
    return done.stderr


def test_a_database_that_is_not_up_to_date(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "CommandError: The database is not up to date. Run:  python manage.py migrate\n"


def test_a_port_that_is_taken(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in refusal(installation.data, "--port", port)


@pytest.mark.parametrize("arguments", [("--workers", "2", "--server", "daphne"), ("--workers", "0"), ("--listen", "here"), ("--listen", "host:port")])
def test_options_that_make_no_sense(installation: Installation, arguments: tuple[str, ...]) -> None:
    assert refusal(installation.data, *arguments).startswith(f"CommandError: {arguments[0]}: ")


def test_another_secret_than_the_database_was_written_with(installation: Installation) -> None:
    told = refusal(installation.data, GATEWAY_KEY_PEPPERS="another-pepper-of-some-length")
    assert told.startswith("CommandError: GATEWAY_KEY_PEPPERS is not the one")


def test_anonymous_requests_off_loopback(installation: Installation) -> None:
    with contextlib.closing(database(installation.data, "rw")) as connection, connection:
        connection.execute("UPDATE tenants_tenant SET anonymous = 1")
    assert "gateway.E001" in refusal(installation.data, "--host", "0.0.0.0")


def test_a_bad_config_file(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\nroutes: 5\n")
    assert "routes" in refusal(installation.data, "--config", str(file))


def test_config_and_env_file(installation: Installation, tmp_path: Path) -> None:
    config, env = tmp_path / "gateway.yaml", tmp_path / "gateway.env"
    config.write_text("version: 1\nroutes: [{model: from-file, targets: [{provider: demo, model: demo}]}]\n")
    env.write_text("GATEWAY_METRICS_TOKEN=from-file\nGATEWAY_PUBLIC_URL=https://from-file.example\n")
    with serving(installation, "--config", str(config), "--env-file", str(env)) as (_, gateway):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {installation.key}"})
        assert "from-file" in {model["id"] for model in json.load(connection.getresponse())["data"]}
        connection.close()
        assert "https://from-file.example/admin/" in gateway.log


# Ending


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_drains(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server) as (process, gateway):
        stream = Stream(gateway.port, installation.key)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(gateway.port) == 503, "/ready says that it ends")
        late = Stream(gateway.port, installation.key, 0.1)
        assert b"[DONE]" in late.rest()
        wait_until(lambda: ready(gateway.port) == 0, "the listener is closed")
        assert process.poll() is None
        assert stream.rest().endswith(b"data: [DONE]\n\n")
        assert process.wait(LIMIT) == 0
    assert row(installation, stream.id) == row(installation, late.id) == (200, "")


@pytest.mark.parametrize("server", SERVERS)
def test_streams_are_cut_when_their_time_is_up(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server, GATEWAY_DRAIN_DELAY="0", GATEWAY_DRAIN_TIMEOUT="1") as (process, gateway):
        stream = Stream(gateway.port, installation.key, 60)
        process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in stream.rest()
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, stream.id)[1] == "cancelled"


@pytest.mark.parametrize("arguments", [("--server", "uvicorn"), ("--server", "daphne"), ("--workers", "2")])
def test_a_second_signal_ends_it_at_once(installation: Installation, arguments: tuple[str, ...]) -> None:
    with serving(installation, *arguments) as (process, gateway):
        stream = Stream(gateway.port, installation.key, 60)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(gateway.port) == 503, "/ready says that it ends")
        process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in stream.rest()
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, stream.id)[1] == "cancelled"


@pytest.mark.parametrize("server", SERVERS)
def test_a_keyboard_does_not_wait_for_load_balancers(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server, GATEWAY_DRAIN_DELAY="300") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0


# Several workers


def test_workers_drain_together_though_all_hear_the_signal(installation: Installation) -> None:
    """As service managers do it: every process of the group gets SIGTERM, and the parent passes its own on, too."""
    with serving(installation, "--workers", "2") as (process, gateway):
        streams = [Stream(gateway.port, installation.key) for _ in range(8)]
        os.killpg(process.pid, signal.SIGTERM)
        assert all(stream.rest().endswith(b"data: [DONE]\n\n") for stream in streams)
        assert process.wait(LIMIT) == 0
        assert not ready(gateway.port)
    assert {row(installation, stream.id) for stream in streams} == {(200, "")}
    assert list(installation.data.glob("metrics-*")) == []


def test_a_dead_worker_is_replaced(installation: Installation) -> None:
    with serving(installation, "--workers", "2") as (process, gateway):
        before = set(wait_until(lambda: children(process.pid) if len(children(process.pid)) == 2 else None, "two workers"))
        victim = before.pop()
        os.kill(victim, signal.SIGKILL)
        after = wait_until(lambda: (now := set(children(process.pid))) - {victim} - before and now, "another worker")
        assert before < after
        assert ready(gateway.port) == 200
        assert f"worker {victim} ended" in gateway.log


def test_workers_do_not_outlive_their_parent(installation: Installation) -> None:
    with serving(installation, "--workers", "2", GATEWAY_DRAIN_DELAY="0") as (process, gateway):
        stream = Stream(gateway.port, installation.key, 1)
        process.kill()
        assert stream.rest().endswith(b"data: [DONE]\n\n")
        wait_until(lambda: ready(gateway.port) == 0, "the port is free")


# Bearing


@pytest.mark.parametrize("server", SERVERS)
def test_pages_and_their_files(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server) as (_, gateway):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
        for path, kind in (("/admin/login/", "text/html"), ("/static/admin/css/base.css", "text/css"), ("/static/unfold/css/styles.css", "text/css")):
            connection.request("GET", path)
            reply = connection.getresponse()
            body = reply.read()
            assert (reply.status, reply.headers.get_content_type()) == (200, kind)
            assert len(body) > 1000
            assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        connection.request("GET", "/static/admin/css/base.css", headers={"range": "bytes=0-9"})
        assert len(connection.getresponse().read()) == 10
        connection.close()
        assert "Traceback" not in gateway.log and "Warning" not in gateway.log


def exchange(port: int, *pieces: bytes) -> bytes:
    """What comes back until the server closes; sending ends when it refuses."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as wire:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                wire.sendall(piece)
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := wire.recv(65536):
                received += data
        return received


def test_heads_are_bounded_in_size_and_time(installation: Installation) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: gateway\r\n"
    with serving(installation, SERVER_READ_TIMEOUT="1") as (_, gateway):
        bombs = [head + b"x: " + b"a" * 2**20, head + b"a: b\r\n" * 200_000]
        for bomb in bombs:
            pieces = [bomb[start : start + 65536] for start in range(0, len(bomb), 65536)]
            assert exchange(gateway.port, *pieces)[:12] in (b"HTTP/1.1 431", b"")
        assert exchange(gateway.port, head).startswith(b"HTTP/1.1 408 ")
        assert exchange(gateway.port) == b""
        # One that comes in pieces but in time is served.
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT) as wire:
            for piece in (head[:9], head[9:], b"connection: close\r\n", b"\r\n"):
                wire.sendall(piece)
                time.sleep(0.01)
            assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_head_larger_than_allowed_is_told_so(installation: Installation) -> None:
    with serving(installation) as (_, gateway):
        big = b"GET /health HTTP/1.1\r\nhost: gateway\r\nx: " + b"a" * 70_000
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT) as wire:
            wire.sendall(big)
            reply = b""
            while data := wire.recv(65536):
                reply += data
        assert reply.startswith(b"HTTP/1.1 431 ")
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"
