"""What an operator changes is in force at once, everywhere; metrics sum over workers; and no secret leaks anywhere."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import live
from tests.live import KEY, TENANT, Gateway, Upstream, manage, replay_upstream, serve, wait_until

SECRET = "sk-canary-upstream-secret-5f2a9c77"
BODY = "canary-body-text-81d0e3"
WRONG_KEY = "gw-canary-wrong-key-0a1b2c3d4e5f6a7b"
PASSWORD = "canary-Password-77"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": BODY}]}


def config(upstream: Upstream) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [
            {"name": "demo", "kind": "demo"},
            {"name": "replay", "kind": "openai-compatible", "base_url": f"{upstream.origin}/v1", "api_key": SECRET},
            {"name": "dead", "kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "api_key": SECRET},
        ],
        "routes": [
            {"model": "demo", "targets": [{"provider": "demo"}]},
            {"model": "dead", "targets": [{"provider": "dead"}]},
            {"model": "rec-*", "targets": [{"provider": "replay"}]},
        ],
        "tenants": [{"name": TENANT, "keys": [{"name": "k", "key": KEY}, {"name": "second", "key": KEY + "-2"}]}],
    }


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with replay_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Path:
    made = tmp_path_factory.mktemp("control") / "data"
    live.prepare(made, config(upstream))
    code = (
        f"from django.contrib.auth import get_user_model as u; u().objects.create_superuser('boss', '', '{PASSWORD}')"
    )
    manage(made, "shell", "-c", code)
    return made


def ask(gateway: Gateway, key: str = KEY, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{gateway.origin}/v1/chat/completions",
        json=body or CHAT,
        headers={"authorization": f"Bearer {key}", **headers},
        timeout=live.LIMIT,
    )


def apply(data: Path, **part: Any) -> None:
    file = data / "part.yaml"
    file.write_text(json.dumps({"version": 1, **part}))
    manage(data, "apply", str(file))


def test_a_change_by_another_process_is_in_force_without_a_restart(data: Path) -> None:
    with serve("uvicorn", data) as gateway:
        assert ask(gateway, KEY + "-2").status_code == 200
        apply(data, tenants=[{"name": TENANT, "keys": [{"name": "second", "enabled": False}]}])
        revoked = time.monotonic()
        wait_until(lambda: ask(gateway, KEY + "-2").status_code == 401, "the revoked key is refused")
        print(f"\nrevoked key refused {time.monotonic() - revoked:.2f} s after the change was committed")
        apply(data, routes=[{"model": "brand-new", "targets": [{"provider": "demo", "model": "demo"}]}])
        wait_until(
            lambda: ask(gateway, body={**CHAT, "model": "brand-new"}).status_code == 200, "the new route answers"
        )
        apply(data, tenants=[{"name": TENANT, "keys": [{"name": "second", "enabled": True}]}])
        wait_until(lambda: ask(gateway, KEY + "-2").status_code == 200, "the key is back")


def _total(text: str) -> float:
    return sum(
        float(value) for value in re.findall(r'(?m)^proxy_requests_total\{[^}]*status="200"[^}]*\} (\S+)$', text)
    )


def test_metrics_sum_over_workers_and_need_a_token_from_elsewhere(data: Path) -> None:
    with serve("uvicorn", data, GATEWAY_METRICS_TOKEN="metrics-token-1") as gateway:
        for _ in range(5):
            assert ask(gateway).status_code == 200
        url = f"{gateway.origin}/metrics"
        wait_until(lambda: _total(httpx.get(url).text) >= 5, "all requests are counted")
        text = httpx.get(url).text
        assert "django_http_requests_before_middlewares_total" in text  # one registry for both planes
        assert 'format="openai",model="demo",provider="demo"' in text
        proxied = {"x-forwarded-for": "203.0.113.7"}
        assert httpx.get(url, headers=proxied).status_code == 403
        good = {**proxied, "authorization": "Bearer metrics-token-1"}
        assert httpx.get(url, headers=good).status_code == 200


def crawl(gateway: Gateway) -> str:
    """Every page of the admin that a superuser can reach by links, and the REST API's answers."""
    with httpx.Client(base_url=gateway.origin, follow_redirects=True, timeout=live.LIMIT) as browser:
        page = browser.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token
        form = {"username": "boss", "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": "/admin/"}
        assert browser.post("/admin/login/", data=form).url.path == "/admin/"
        seen: dict[str, str] = {}
        queue = ["/admin/", "/admin/usage-report/", "/api/v1/providers/", "/api/v1/keys/", "/api/v1/requests/"]
        while queue and len(seen) < 150:
            path = queue.pop(0)
            if path in seen or "logout" in path or "/static/" in path:
                continue
            reply = browser.get(path)
            seen[path] = reply.text
            links = [urllib.parse.urljoin(path, link) for link in re.findall(r'href="([^"#]+)"', reply.text)]
            queue += [link for link in links if link.startswith("/admin/") and "?" not in link]
            queue += [path.replace("/change/", "/history/")] if path.endswith("/change/") else []
    assert sum("/change/" in path for path in seen) > 5
    assert sum("/history/" in path for path in seen) > 2
    return "\n".join(seen.values())


def test_no_secret_and_no_body_leaks(data: Path) -> None:
    with serve("uvicorn", data) as gateway:
        replies = [
            ask(gateway),
            ask(gateway, WRONG_KEY),
            ask(gateway, body={**CHAT, "model": "dead"}),
            ask(gateway, body={**CHAT, "stream": "no", "x": BODY}),
            ask(gateway, body={**CHAT, "model": "rec-nothing"}),
            httpx.post(
                f"{gateway.origin}/v1/messages",
                content=f'{{"x": "{BODY}", ',
                headers={"x-api-key": KEY, "content-type": "application/json"},
            ),
            httpx.get(f"{gateway.origin}/v1beta/models?key={KEY}"),
            httpx.get(f"{gateway.origin}/v1/chat/completions?key={KEY}"),
        ]
        errors = "\n".join(reply.text for reply in replies[1:]) + str([dict(reply.headers) for reply in replies])
        wait_until(lambda: len(gateway.rows("")) >= len(replies), "rows")
        pages = crawl(gateway)
        metrics = httpx.get(f"{gateway.origin}/metrics").text
    peppers = (data / "gateway_key_peppers").read_text().split()
    assert peppers
    stored = b"".join(path.read_bytes() for path in data.glob("gateway.sqlite3*")).decode("latin-1")
    places = {"log": gateway.log, "errors": errors, "pages": pages, "metrics": metrics, "database": stored}
    for what in (KEY, WRONG_KEY, SECRET, BODY, PASSWORD, *peppers):
        found = [name for name, text in places.items() if what in text]
        assert not found, f"{what[:12]}… stands in {found}"


def test_a_request_line_that_is_no_http_is_no_crash(data: Path) -> None:
    with serve("uvicorn", data) as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=live.LIMIT)
        connection.putrequest("POST", "/v1/chat/completions", skip_accept_encoding=True)
        connection.putheader("x-bomb", "b" * 200_000)
        connection.endheaders()
        assert connection.getresponse().status == 431
        connection.close()
        assert ask(gateway).status_code == 200
