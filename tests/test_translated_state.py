"""What translation keeps and fetches, over real sockets: stored responses over restarts and workers, pictures by URL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.live import KEY, LIMIT, TENANT, Gateway, Upstream, manage, prepare, serve, wait_until
from tests.serving import Installation, serving
from tests.translated_site import config, sdk
from tests.translated_upstream import TEXT, scripted_upstream

PASSWORD = "canary-Password-78"
SAID = "the-canary-sentence-that-only-its-tenant-may-read"
ANSWERED = "".join(TEXT)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with scripted_upstream() as (found, _):
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    prepare(folder, config(upstream))
    code = (
        f"from django.contrib.auth import get_user_model as u; u().objects.create_superuser('boss', '', '{PASSWORD}')"
    )
    manage(folder, "shell", "-c", code)
    return folder


def turn(origin: str, model: str, text: str, **more: Any) -> Any:
    return sdk("openai", origin).responses.create(model=model, input=text, **more)


def said(upstream: Upstream, model: str) -> list[tuple[str, str]]:
    """Role and text of the messages that an Ollama upstream got."""
    body = json.loads(b64decode(upstream.seen(model)["body"]))
    return [(message["role"], message["content"]) for message in body["messages"]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_conversation_goes_on_after_a_restart_and_nobody_can_read_it(
    stream: bool, data: Path, upstream: Upstream
) -> None:
    model = f"ollama-plain-next-{stream}"
    with serve("uvicorn", data) as gateway:
        made = turn(gateway.origin, "messages-plain-first", SAID, stream=stream)
        first = list(made)[-1].response if stream else made
    files = [file.read_bytes() for file in data.glob("gateway.sqlite3*")]
    assert any(first.id.encode() in content for content in files)
    assert not any(text.encode() in content for content in files for text in (SAID, ANSWERED))
    with serve("uvicorn", data) as gateway:
        again = sdk("openai", gateway.origin).responses.retrieve(first.id)
        assert again.output_text == ANSWERED == first.output_text
        second = turn(gateway.origin, model, "and then?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert said(upstream, model) == [("user", SAID), ("assistant", ANSWERED), ("user", "and then?")]


def workers(process: int) -> list[int]:
    """The spawned ones among the children: another of them only watches over shared memory."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_workers_share_what_is_kept(data: Path, upstream: Upstream) -> None:
    """Each turn goes to another worker than the one before: the other stands still."""
    with serving(Installation(data, KEY), "--workers", "2", "--server", "uvicorn") as (process, gateway):
        wait_until(lambda: len(workers(process.pid)) == 2, "two workers")
        pids, made = workers(process.pid), ""
        for number in range(4):
            # A connection of its own: one that is kept belongs to a worker.
            fresh = openai.OpenAI(api_key=KEY, base_url=f"{gateway.origin}/v1", max_retries=0, timeout=LIMIT)
            with stopped(pids[number % 2]), fresh as client:
                before: Any = {"previous_response_id": made} if made else {}
                model = f"ollama-plain-shared-{number}"
                reply: Any = client.responses.create(model=model, input=f"turn {number}", **before)
                assert not made or client.responses.retrieve(made).output_text == ANSWERED
                made = reply.id
    told = [text for role, text in said(upstream, "ollama-plain-shared-3") if role == "user"]
    assert told == [f"turn {number}" for number in range(4)]


def operator(gateway: Gateway) -> httpx.Client:
    """Signed in to the admin, whose session the REST API takes too."""
    client = httpx.Client(base_url=gateway.origin, timeout=LIMIT, follow_redirects=True)
    client.get("/admin/login/")
    form = {"username": "boss", "password": PASSWORD, "next": "/admin/"}
    signed_in = client.post("/admin/login/", data={**form, "csrfmiddlewaretoken": client.cookies["csrftoken"]})
    assert signed_in.url.path == "/admin/"
    client.headers["x-csrftoken"] = client.cookies["csrftoken"]
    return client


def test_the_tenants_switch_is_in_force_at_once(data: Path) -> None:
    with serve("uvicorn", data) as gateway, contextlib.closing(operator(gateway)) as boss:

        def stores(expected: bool) -> bool:
            reply = turn(gateway.origin, "ollama-plain-switch", "hi")
            found = httpx.get(
                f"{gateway.origin}/v1/responses/{reply.id}", headers={"authorization": f"Bearer {KEY}"}, timeout=LIMIT
            )
            assert found.status_code == (200 if reply.store else 404)
            return bool(reply.store) is expected

        assert stores(True)
        for wanted in (False, True):
            changed = boss.patch(f"/api/v1/tenants/{TENANT}/", json={"store_responses": wanted})
            assert changed.status_code == 200, changed.text
            since = time.monotonic()
            wait_until(partial(stores, wanted), f"responses are stored: {wanted}")
            print(f"\nthe tenant's switch was in force after {time.monotonic() - since:.2f} s")


# ---------------------------------------------------------------- media

PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@contextlib.contextmanager
def pictures() -> Iterator[str]:
    """The URL of a picture on loopback."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/picture.png"
        finally:
            server.shutdown()
            thread.join()


def _with_picture(gateway: Gateway, url: str, model: str) -> Any:
    content = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return sdk("openai", gateway.origin).chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}]
    )


def test_a_picture_on_loopback_is_fetched_only_where_the_operator_allows_it(data: Path, upstream: Upstream) -> None:
    with pictures() as url:
        with serve("uvicorn", data) as gateway, pytest.raises(openai.BadRequestError) as refused:
            _with_picture(gateway, url, "ollama-plain-refused")
        assert refused.value.param == "messages[0].content[1]" and upstream.seen("ollama-plain-refused") is None
        with serve("uvicorn", data, GATEWAY_MEDIA_ALLOW="127.0.0.0/8") as gateway:
            reply = _with_picture(gateway, url, "ollama-plain-picture")
    assert reply.choices[0].message.content == "".join(TEXT)
    body = json.loads(b64decode(upstream.seen("ollama-plain-picture")["body"]))
    assert b64decode(body["messages"][0]["images"][0]) == PNG
