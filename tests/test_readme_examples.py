"""Every request that the predecessors' documents show, as it stands there, to a gateway that has only the demo provider."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import KEY, LIMIT, TENANT, Gateway, environment, prepare, serve
from tests.readme_replies import Answer, Example, check
from tests.recordings import REPOSITORY, Json

KEY_HEADERS = {"authorization": "Bearer {}", "x-api-key": "{}", "x-goog-api-key": "{}"}
KEY_OF = {"messages": "x-api-key", "generate": "x-goog-api-key"}
FILES = sorted((REPOSITORY / "tests/golden/readmes").glob("*.json"))


def examples() -> list[Example]:
    found = []
    for file in FILES:
        for each in json.loads(file.read_text())["examples"]:
            members = {name: each[name] for name in ("method", "path", "headers", "body", "reply")}
            found.append(Example(f"{file.stem}-{each['id']}", **members))
    return found


ALL = [pytest.param(example, id=example.name) for example in examples()]


def ask(gateway: Gateway, example: Example, key: str = "") -> Answer:
    """``example`` as it stands, with ``key`` where it has its own, or where its dialect has it; none where there is none."""
    headers = {name: value for name, value in example.headers.items() if name.lower() not in KEY_HEADERS}
    if key:
        own = [name.lower() for name in example.headers if name.lower() in KEY_HEADERS]
        name = own[0] if own else KEY_OF.get(example.kind.partition(".")[0], "authorization")
        headers[name] = KEY_HEADERS[name].format(key)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.request(example.method, example.path, example.body and example.body.encode(), headers)
        reply = connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())


def bootstrapped(data: Path, *arguments: str) -> str:
    """A first start, as ``make run`` makes it; its key."""
    data.mkdir(mode=0o700)
    command = [sys.executable, "manage.py", "bootstrap", "--migrate", "--json", *arguments]
    env = environment(data, {"PRINT_SECRETS": "1"})
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=LIMIT, check=True)
    return str(json.loads(done.stdout)["key"])


@pytest.fixture(scope="module")
def anonymous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """``make run ANONYMOUS=1``."""
    data = tmp_path_factory.mktemp("first") / "data"
    bootstrapped(data, "--anonymous")
    with serve("uvicorn", data) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """``make run``."""
    data = tmp_path_factory.mktemp("keyed") / "data"
    key = bootstrapped(data)
    with serve("uvicorn", data) as gateway:
        yield gateway, key


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose demo provider has the name that a client chooses by header."""
    config: Json = {
        "version": 1,
        "providers": [{"name": "openai", "kind": "demo"}],
        "routes": [{"model": "gpt-*", "targets": [{"provider": "openai"}]}],
        "tenants": [{"name": TENANT, "anonymous": True, "keys": [{"name": "live", "key": KEY}]}],
    }
    data = tmp_path_factory.mktemp("named") / "data"
    prepare(data, config)
    with serve("uvicorn", data) as gateway:
        yield gateway


def one_success_and_one_error(gateway: Gateway, key: str = "") -> None:
    """So that every metric has a sample."""
    for body, status in (('{"model": "demo", "messages": [{"role": "user", "content": "hi"}]}', 200), ("{", 400)):
        example = Example(
            "", "POST", "/v1/chat/completions", {"Content-Type": "application/json"}, body, {"kind": "chat"}
        )
        assert ask(gateway, example, key).status == status


@pytest.mark.parametrize("example", ALL)
def test_without_a_key(example: Example, anonymous: Gateway) -> None:
    if example.kind == "metrics":
        one_success_and_one_error(anonymous)
    answer = ask(anonymous, example)
    if example.needs_provider:
        assert (answer.status, answer.doc["error"]["param"]) == (400, "x-provider")
    else:
        check(example, answer)


@pytest.mark.parametrize("example", ALL)
def test_with_a_key(example: Example, keyed: tuple[Gateway, str]) -> None:
    gateway, key = keyed
    if example.kind == "metrics":
        one_success_and_one_error(gateway, key)
    if example.path.startswith(("/v1", "/openai", "/anthropic", "/gemini")):
        assert ask(gateway, example).status == 401
    if not example.needs_provider:
        check(example, ask(gateway, example, key))


@pytest.mark.parametrize("key", ["", KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("example", [each for each in ALL if each.values[0].needs_provider])  # type: ignore[union-attr]
def test_with_the_provider_that_it_names(example: Example, key: str, named: Gateway) -> None:
    answer = ask(named, example, key)
    check(example, answer)
    assert answer.headers["x-gateway-provider"] == example.headers["X-Provider"]


def test_every_predecessor_has_examples() -> None:
    assert len(FILES) == 4
    dialects = {example.kind.partition(".")[0] for example in examples()}
    assert dialects >= {"chat", "messages", "generate", "responses", "unified", "embeddings", "models", "metrics"}
    assert len({example.name for example in examples()}) == len(examples())
