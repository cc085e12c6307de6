"""What the README says of the gateway as a library, run as it stands there."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.live import LIMIT
from tests.readme_blocks import blocks, project, run, served

BLOCKS = blocks("As a library")
ASKED = {"model": "fast", "messages": [{"role": "user", "content": "Hello!"}]}
SAID = "You said: Hello!"


def ask(port: int, path: str, doc: Any = None, **headers: str) -> tuple[int, str]:
    """Status and body: of a POST if there is a ``doc``."""
    body = None if doc is None else json.dumps(doc).encode()
    told = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, told)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_every_example_is_run_here_or_in_the_test_of_the_django_apps() -> None:
    here = {"app.py", "starlette_app.py", "fastapi_app.py", "django_asgi.py", "in_process.py", "hooks.py"}
    assert set(BLOCKS) == here | {"settings.py", "urls.py", "asgi.py"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def test_a_plain_application(folder: Path) -> None:
    with served(folder, "app:app", OPENAI_API_KEY="sk-none") as port:
        status, body = ask(port, "/v1/chat/completions", ASKED, authorization="Bearer sk-website-0123456789abcdef")
        assert status == 200 and SAID in body
        assert ask(port, "/v1/chat/completions", ASKED)[0] == 401
        assert json.loads(ask(port, "/ready")[1])["providers"] == ["demo", "openai"]


def test_starlette(folder: Path) -> None:
    with served(folder, "starlette_app:app") as port:
        assert ask(port, "/") == (200, "my own")
        status, body = ask(port, "/v1/chat/completions", {**ASKED, "stream": True})
        assert status == 200 and body.endswith("data: [DONE]\n\n")


def test_fastapi(folder: Path) -> None:
    with served(folder, "fastapi_app:app") as port:
        status, body = ask(port, "/llm/v1/chat/completions", ASKED)
        assert status == 200 and SAID in body
        status, body = ask(port, "/summary?text=Hello", {})
        assert status == 200 and "Summarise: Hello" in json.loads(body)


def test_a_django_project_of_ones_own(folder: Path) -> None:
    (project(folder) / "asgi.py").write_text(BLOCKS["django_asgi.py"])
    run(folder, "manage.py", "migrate", "-v0")
    with served(folder, "shop.asgi:application") as port:
        status, body = ask(port, "/llm/v1/chat/completions", ASKED)
        assert status == 200 and SAID in body
        status, body = ask(port, "/admin/login/")
        assert status == 200 and "Django administration" in body


def test_in_the_same_process(folder: Path) -> None:
    lines = run(folder, "-W", "error", "in_process.py").splitlines()
    reply = "Hello from the demo model. You said: Hello!"
    row = "200 fast demo 2 11"
    assert lines == [row, reply, row, reply, "404 slow  0 0", "unknown_model 404 model"]


def test_hooks(folder: Path) -> None:
    said = run(folder, "-W", "error", "hooks.py")
    assert "Write to [" in said and "ann@" not in said
