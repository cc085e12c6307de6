"""Hooks of a real gateway, with its admin's rows, its threads and its sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.live import KEY, LIMIT, TENANT, Gateway, database, manage, prepare, serve, wait_until

HOOKS = [
    {"name": "RequestLog", "options": {"days": 3}, "order": 9},
    {"name": "Redact", "options": {"kinds": ["email"]}},
    {"name": "Inject", "options": {"text": "Speak up."}, "title": "Tone"},
]


class Who(BaseHTTPRequestHandler):
    """Knows one token, and who has it."""

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))["headers"]
        known = told.get("authorization") == "Bearer from-elsewhere"
        body = json.dumps({"tenant": TENANT, "key": "sso"}).encode() if known else b""
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextlib.contextmanager
def who() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Who)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data = tmp_path_factory.mktemp("hooks") / "data"
    with who() as url:
        config = {
            "version": 1,
            "providers": [{"name": "demo", "kind": "demo"}],
            "routes": [{"model": "demo", "targets": [{"provider": "demo"}]}],
            "tenants": [{"name": TENANT, "keys": [{"name": "live", "key": KEY}]}],
            "hooks": [*HOOKS, {"name": "WebhookAuth", "options": {"url": url, "secret": "hook-secret"}}],
        }
        prepare(data, config)
        with serve("uvicorn", data, GATEWAY_HOOK_ADDRESSES="127.0.0.0/8") as found:
            yield found


def ask(gateway: Gateway, text: str, key: str = KEY, **more: Any) -> tuple[int, str, str]:
    """Status, body and request id."""
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], **more}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
    with contextlib.closing(connection):
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(), reply.headers["x-request-id"]


def logged(gateway: Gateway, request_id: str) -> dict[str, Any]:
    query = "SELECT * FROM tenants_loggedrequest WHERE request_id = ?"

    def rows() -> list[Any]:
        with contextlib.closing(database(gateway.data)) as connection:
            return connection.execute(query, (request_id,)).fetchall()

    (row,) = wait_until(rows, "the request is logged")
    return dict(row)


@pytest.mark.parametrize("stream", [False, True])
def test_hooks_of_rows_run_in_a_served_gateway(running: Gateway, stream: bool) -> None:
    status, text, request_id = ask(running, "Write to ann@example.com, please.", stream=stream)
    assert status == 200
    row, usage = logged(running, request_id), running.wait_rows(request_id, 1)[request_id]
    assert row["usage_id"] == usage["id"] and row["status"] == 200 and row["endpoint"] == "chat"
    assert b"ann" not in row["content"] and b"Write" not in row["content"]
    asked, answered = opened(running.data, row)
    assert "Speak up." in asked and "[EMAIL]" in asked and "ann@" not in asked
    assert "EMAIL" in answered and "ann@" not in answered and (answered == text or stream)


def opened(data: Path, row: dict[str, Any]) -> tuple[str, str]:
    """What a row holds, opened without any of our code but zlib's."""

    key = (data / "gateway_encryption_keys").read_text().strip()
    plain = zlib.decompress(Fernet(key).decrypt(urlsafe_b64encode(row["content"]))).partition(b"\n")[2]
    lengths = [int.from_bytes(plain[at : at + 8], "big") for at in (0, 8)]
    return plain[16 : 16 + lengths[0]].decode(), plain[16 + lengths[0] : 16 + sum(lengths)].decode()


def test_who_has_another_s_word_is_let_in(running: Gateway) -> None:
    assert ask(running, "hello", "from-nowhere")[0] == 401
    status, _, request_id = ask(running, "hello", "from-elsewhere")
    assert status == 200
    row = running.wait_rows(request_id, 1)[request_id]
    assert (row["tenant"], row["key"]) == (TENANT, "sso")


def test_a_change_is_in_force_without_a_restart(running: Gateway) -> None:
    file = running.data / "more.yaml"
    refusing = {"name": "BlockSecrets", "options": {"kinds": ["github"]}}
    file.write_text(json.dumps({"version": 1, "hooks": [refusing]}))
    token = "ghp_" + "a" * 36
    assert ask(running, token)[0] == 200
    manage(running.data, "apply", str(file))
    wait_until(lambda: ask(running, token)[0] == 400, "the hook is in force")
    file.write_text(json.dumps({"version": 1, "hooks": [{**refusing, "enabled": False}]}))
    manage(running.data, "apply", str(file))
    wait_until(lambda: ask(running, token)[0] == 200, "it is turned off")
