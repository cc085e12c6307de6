"""``manage.py serve``: what stops it from starting, and what it bears, on both servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from pathlib import Path

import pytest

from tests.live import LIMIT, SERVERS, database
from tests.serving import Installation, refusal, serving


def test_a_database_that_is_not_up_to_date(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "CommandError: The database is not up to date. Run:  python manage.py migrate\n"


def test_a_port_that_is_taken(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in refusal(
            installation.data, "--port", port
        )


@pytest.mark.parametrize(
    "arguments",
    [("--workers", "2", "--server", "daphne"), ("--workers", "0"), ("--listen", "here"), ("--listen", "host:port")],
)
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


@pytest.mark.parametrize("server", SERVERS)
def test_pages_and_their_files(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server) as (_, gateway):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
        for path, kind in (
            ("/admin/login/", "text/html"),
            ("/static/admin/css/base.css", "text/css"),
            ("/static/unfold/css/styles.css", "text/css"),
        ):
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
