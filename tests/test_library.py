"""The gateway as a library: declared in code, called in this process, mounted in other applications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.routing import Route as Path
from starlette.testclient import TestClient

from providers.light import Header
from providers.upstream import Connections
from routing.apply_kinds import kinds
from routing.errors import GatewayError
from routing.gateway import Gateway
from routing.hooks import Answer, HookCall, Identity, Refusal
from routing.library import Credential, Defaults, Hook, Model, Provider, Route, Target
from routing.mounting import Mounted
from tenants.ledger import Entry
from tests.inprocess import sse

HELLO = [{"role": "user", "content": "Hello there"}]
DEMO = {"name": "demo", "kind": "demo"}
SERVER = {"name": "server", "kind": "openai-compatible", "base_url": "http://server.test/v1"}
SPARE = {"name": "spare", "kind": "openai-compatible", "base_url": "http://spare.test/v1"}
AZURE = {"name": "azure", "kind": "azure-openai", "api_key": "k", "api_version": "2024-10-21"}
TO_DEMO = {"model": "demo", "targets": [{"provider": "demo"}]}
TO_SERVER = {"model": "m", "targets": [{"provider": "server"}, {"provider": "spare", "priority": 1}]}
KEY = "a-key-of-somebody-0123456789"
REPLY = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}
CHUNK = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Yes"}, "finish_reason": None}]}
LAST = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def demo(**declared: Any) -> Gateway:
    return Gateway(**{"providers": [DEMO], "routes": [TO_DEMO], **declared})


def served(answer: Callable[[httpx.Request], httpx.Response], **declared: Any) -> Gateway:
    """A gateway whose two servers are ``answer``."""
    connections = Connections(transports={"*": httpx.MockTransport(answer)})
    return Gateway(connections, **{"providers": [SERVER, SPARE], "routes": [TO_SERVER], **declared})


def content(reply: dict[str, Any]) -> str:
    return str(reply["choices"][0]["message"]["content"])


# what is declared


@pytest.mark.parametrize(
    ("word", "made"),
    [(made.__name__.lower(), made) for made in (Provider, Credential, Model, Route, Target, Hook, Defaults)],
)
def test_declarations_have_the_words_of_a_file_for_apply(word: str, made: Any) -> None:
    assert {field.name for field in fields(made)} == set(kinds()[word].names) | set(kinds()[word].nested)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"providers": []}, "providers: at least one must be declared"),
    ({"providers": DEMO}, "providers: must be a list"),
    ({"providers": [{"name": "demo"}]}, "providers[0].kind: is required"),
    ({"providers": [{**DEMO, "bse_url": "x"}]}, "providers[0].bse_url: There is no such field. Did you mean base_url?"),
    ({"providers": [{**DEMO, "kind": "opnai"}]}, "providers[0].kind: 'opnai' is none of"),
    ({"providers": [DEMO, DEMO]}, "providers[1].name: demo stands here twice; the first is providers[0]."),
    ({"providers": [{**DEMO, "name": "De mo"}]}, "providers[0].name: Use 1 to 63"),
    ({"providers": [{"name": "a", "kind": "openai"}]}, "providers[0].api_key: OpenAI needs a key."),
    ({"providers": [{"name": "a", "kind": "openai", "api_key": "a\nb"}]}, "providers[0].api_key: A key is printable"),
    ({"providers": [{"name": "a", "kind": "openai", "api_key": "env:NO_SUCH_API_KEY"}]}, "NO_SUCH_API_KEY is not set"),
    ({"providers": [{"name": "a", "kind": "openai", "api_key": "env:HOME"}]}, "must end in _API_KEY or _TOKEN"),
    (
        {"providers": [{"name": "a", "kind": "openai-compatible"}]},
        "providers[0].base_url: OpenAI-compatible server has no",
    ),
    ({"providers": [{**SERVER, "base_url": "ftp://x"}]}, "providers[0].base_url: Start with https:// or http://."),
    ({"providers": [{**SERVER, "base_url": "http://169.254.169.254"}]}, "providers[0].base_url: This is a link-local"),
    ({"providers": [{**DEMO, "max_retries": 11}]}, "providers[0].max_retries: Give a number from 0 to 10."),
    ({"providers": [{**DEMO, "max_retries": True}]}, "providers[0].max_retries: must be a whole number."),
    ({"providers": [{**DEMO, "idle_timeout": -1}]}, "providers[0].idle_timeout: Give seconds"),
    ({"providers": [{**DEMO, "extra_headers": {"authorization": "x"}}]}, "providers[0].extra_headers: The header"),
    ({"providers": [{**DEMO, "apis": ["chat", "chatt"]}]}, "providers[0].apis: Unknown API: chatt."),
    ({"providers": [{**DEMO, "api_version": "2024"}]}, "providers[0].api_version: Only Azure"),
    (
        {"providers": [{**AZURE, "base_url": "https://a.test/openai"}]},
        "providers[0].base_url: With an API version, give",
    ),
    ({"routes": [{"model": "a b", "targets": []}]}, "routes[0].model: A model name"),
    ({"routes": [{"model": "a", "targets": []}]}, "routes[0].targets: must have a target"),
    ({"routes": [TO_DEMO, TO_DEMO]}, "routes[1].model: demo stands here twice"),
    ({"routes": [{**TO_DEMO, "strategy": "prio"}]}, "routes[0].strategy: 'prio' is none of"),
    ({"routes": [{**TO_DEMO, "sticky_by": "moon"}]}, "routes[0].sticky_by: must be one of"),
    ({"routes": [{**TO_DEMO, "keep_alive": 0.5}]}, "routes[0].keep_alive: Give 0, or from 1"),
    (
        {"routes": [{**TO_DEMO, "targets": [{"provider": "other"}]}]},
        "routes[0].targets[0].provider: There is no enabled",
    ),
    ({"routes": [{**TO_DEMO, "targets": ["demo"]}]}, "routes[0].targets[0]: must be a Target or a mapping"),
    (
        {"routes": [{**TO_DEMO, "targets": [{"provider": "demo", "api": "messages"}]}]},
        "routes[0].targets[0].api: demo does",
    ),
    ({"routes": [{**TO_DEMO, "targets": [{"provider": "demo", "weight": -1}]}]}, "routes[0].targets[0].weight: Give a"),
    (
        {"routes": [{**TO_DEMO, "targets": [{"provider": "demo", "conditions": {"tols": True}}]}]},
        "routes[0].targets[0].conditions.tols: is not known",
    ),
    ({"defaults": {"provider": "other"}}, "defaults.provider: There is no enabled provider 'other'."),
    ({"defaults": {"model": "other"}}, "defaults.model: No route answers to 'other'."),
    ({"keys": KEY}, "keys: must be a list"),
    (
        {"providers": [{**SERVER, "api_key": "a", "credentials": [Credential("b")]}]},
        "providers[0].credentials: The api_key",
    ),
    ({"providers": [{**SERVER, "credentials": [{"name": "b"}]}]}, "providers[0].credentials[0].secret: is required."),
    (
        {"providers": [{**DEMO, "models": [{"name": "b", "abilities": {"x": 1}}]}]},
        "models[0].abilities.x: is not known",
    ),
    ({"keys": ["short"]}, "keys[0]: A key is a text of at least 20"),
    ({"hooks": [object()]}, "hooks[0]: object cannot be a hook"),
    ({"hooks": [{"name": "Nothing"}]}, "hooks[0].name: Nothing:"),
    ({"hooks": [{"name": "Redact", "options": {"emale": True}}]}, "hooks[0].options: emale"),
    ({"hooks": [{"name": "Redact", "route": "other"}]}, "hooks[0].route: There is no route 'other'."),
    ({"hooks": [{"name": "Redact", "rout": "demo"}]}, "hooks[0].rout: There is no such field."),
    ({"hook_addresses": ["here"]}, "hook_addresses: 'here'"),
]


@pytest.mark.parametrize(("declared", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_named(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=":") as told:
        demo(**declared)
    assert message in str(told.value)


def test_a_gateway_that_declares_nothing_is_no_library() -> None:
    with pytest.raises(TypeError, match="providers="):
        asyncio.run(Gateway().chat(model="demo", messages=HELLO))
    with pytest.raises(TypeError, match="unexpected"):
        demo(provider=[])


def test_a_key_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_API_KEY", "sk-of-the-environment")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=REPLY)

    said = Provider("server", "openai-compatible", "env:SERVER_API_KEY", "http://server.test/v1")
    asyncio.run(served(answer, providers=[said, SPARE]).chat(model="m", messages=HELLO))
    assert seen[0].headers["authorization"] == "Bearer sk-of-the-environment"
    assert "sk-of-the" not in repr(Provider("server", "openai", "sk-of-the-environment"))


def test_several_credentials_and_models_are_known() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(401) if "first" in seen[-1] else httpx.Response(200, json=REPLY)

    credentials = [Credential("sk-first"), {"name": "second", "secret": "sk-second", "weight": 0}]
    off = Credential("sk-off", "off", enabled=False)
    server = {**SERVER, "credentials": [*credentials, off], "models": [Model("m", {"images": False})]}
    gateway = served(answer, providers=[server], routes=[{"model": "m", "targets": [{"provider": "server"}]}])
    assert asyncio.run(gateway.chat(model="m", messages=HELLO)) == REPLY
    assert seen == ["Bearer sk-first", "Bearer sk-second"]
    seeing = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]
    with pytest.raises(GatewayError, match="no images") as told:
        asyncio.run(gateway.chat(model="m", messages=[{"role": "user", "content": seeing}]))
    assert told.value.param == "model"


# in the same process


@pytest.mark.asyncio
async def test_a_whole_reply_is_a_document_and_one_entry() -> None:
    entries: list[Entry] = []
    async with served(lambda request: httpx.Response(200, json=REPLY), on_usage=entries.append) as gateway:
        found = await gateway.chat(model="m", messages=HELLO, temperature=0, headers={"x-gateway-tags": "night"})
        assert found == REPLY
        (entry,) = entries
    assert (entry.status, entry.model, entry.provider, entry.tenant, entry.key) == (
        200,
        "m",
        "server",
        "default",
        "in-process",
    )
    assert (entry.input_tokens, entry.output_tokens, entry.tags, entry.stream) == (7, 2, ["night"], False)


@pytest.mark.asyncio
async def test_a_stream_is_its_documents_and_one_entry() -> None:
    entries: list[Entry] = []
    reply = sse(json.dumps(CHUNK), json.dumps(LAST), "[DONE]")
    async with served(lambda request: reply, on_usage=entries.append) as gateway:
        assert [event async for event in gateway.stream(model="m", messages=HELLO)] == [CHUNK, LAST]
        assert [(entry.status, entry.stream, entry.error_kind) for entry in entries] == [(200, True, "")]


@pytest.mark.asyncio
async def test_a_reply_is_translated_as_for_any_client() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Oui."}]}
    message: dict[str, Any] = {"id": "m1", "model": "c", "stop_reason": "end_turn", **said}
    message["usage"] = {"input_tokens": 3, "output_tokens": 1}
    claude = {"name": "claude", "kind": "anthropic", "api_key": "sk-ant"}
    to_claude = {"model": "c", "targets": [{"provider": "claude", "max_tokens": 99}]}
    async with served(lambda _: httpx.Response(200, json=message), providers=[claude], routes=[to_claude]) as gateway:
        assert content(await gateway.chat(model="c", messages=HELLO)) == "Oui."


@pytest.mark.asyncio
async def test_an_entry_may_be_awaited_and_is_before_the_end() -> None:
    told: list[str] = []

    async def tell(entry: Entry) -> None:
        await asyncio.sleep(0)
        told.append(entry.model)

    async with demo(on_usage=tell) as gateway:
        await gateway.chat(model="demo", messages=HELLO)
    assert told == ["demo"]


@pytest.mark.parametrize("awaited", [False, True])
def test_who_cannot_be_told_hurts_no_request(awaited: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> None:
        raise ZeroDivisionError

    def tell(entry: Entry) -> Any:
        if not awaited:
            raise ZeroDivisionError
        return later()

    async def run() -> dict[str, Any]:
        async with demo(on_usage=tell) as gateway:
            return await gateway.chat(model="demo", messages=HELLO)

    assert "Hello there" in content(asyncio.run(run()))
    assert "on_usage has failed" in caplog.text


def refused(request: httpx.Request) -> httpx.Response:
    error = {"message": "No such tool.", "type": "invalid_request_error", "param": "tools[0]", "code": "bad_tool"}
    return httpx.Response(400, json={"error": error})


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "asked", "expected"),
    [
        (refused, {"model": "n"}, ("unknown_model", 404, "model", "model_not_found")),
        (refused, {"key": "x" * 30}, ("auth", 401, None, "invalid_api_key")),
        (refused, {}, ("invalid_request", 400, "tools[0]", "bad_tool")),
        (lambda _: httpx.Response(429), {}, ("rate_limit", 429, None, "rate_limit_exceeded")),
        (lambda _: httpx.Response(500), {}, ("server_error", 502, None, None)),
        (lambda _: httpx.Response(401), {}, ("server_error", 502, None, None)),
    ],
)
async def test_an_error_has_its_kind_status_and_field(stream: bool, answer: Any, asked: Any, expected: Any) -> None:
    entries: list[Entry] = []
    routes = [{"model": "m", "targets": [{"provider": "server"}]}]
    providers = [{**SERVER, "max_retries": 0}]
    async with served(answer, providers=providers, routes=routes, on_usage=entries.append) as gateway:
        request = {"model": "m", "messages": HELLO, **asked}
        with pytest.raises(GatewayError) as told:
            if stream:
                [event async for event in gateway.stream(**request)]
            else:
                await gateway.chat(**request)
        assert (told.value.kind, told.value.status, told.value.param, told.value.code) == expected
        assert [(entry.status, entry.error_kind) for entry in entries] == [(told.value.status, told.value.kind)]


@pytest.mark.asyncio
async def test_a_stream_that_breaks_raises_after_what_came() -> None:
    entries: list[Entry] = []
    async with served(lambda request: sse(json.dumps(CHUNK)), on_usage=entries.append) as gateway:
        stream = gateway.stream(model="m", messages=HELLO)
        assert await anext(stream) == CHUNK
        with pytest.raises(GatewayError) as told:
            await anext(stream)
    assert told.value.kind == "server_error"
    assert [entry.error_kind for entry in entries] == ["truncated"]


@pytest.mark.asyncio
async def test_another_target_stands_in() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=REPLY) if request.url.host == "spare.test" else httpx.Response(503)

    entries: list[Entry] = []
    providers = [{**SERVER, "max_retries": 0}, SPARE]
    async with served(answer, providers=providers, on_usage=entries.append) as gateway:
        assert await gateway.chat(model="m", messages=HELLO) == REPLY
    assert [(entry.provider, entry.attempts) for entry in entries] == [("spare", 2)]


@pytest.mark.asyncio
async def test_who_leaves_a_stream_ends_the_request() -> None:
    entries: list[Entry] = []
    async with demo(on_usage=entries.append) as gateway:
        stream = gateway.stream(model="demo", messages=[{"role": "user", "content": "word " * 5000}])
        await anext(stream)
        await stream.aclose()
        assert [(entry.status, entry.error_kind) for entry in entries] == [(499, "cancelled")]
        assert gateway.active == 0


@pytest.mark.asyncio
async def test_who_is_cancelled_ends_the_request() -> None:
    entries: list[Entry] = []
    begun = asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with served(hang, on_usage=entries.append) as gateway:  # type: ignore[arg-type]
        task = asyncio.create_task(gateway.chat(model="m", messages=HELLO))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [entry.error_kind for entry in entries] == ["cancelled"]


@pytest.mark.asyncio
async def test_closing_ends_what_is_under_way() -> None:
    entries: list[Entry] = []
    gateway = demo(on_usage=entries.append)
    stream = gateway.stream(model="demo", messages=[{"role": "user", "content": "word " * 5000}])
    await anext(stream)
    await gateway.close()
    assert [entry.error_kind for entry in entries] == ["cancelled"]
    with pytest.raises(GatewayError):
        [event async for event in stream]
    assert "Hello there" in content(await gateway.chat(model="demo", messages=HELLO))
    await gateway.close()


@pytest.mark.asyncio
async def test_a_reply_waits_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.inprocess.MOST_WAITING", 100)
    chunks = [{**CHUNK, "n": n} for n in range(50)]
    reply = sse(*(json.dumps(chunk) for chunk in chunks), json.dumps(LAST), "[DONE]")
    async with served(lambda request: reply) as gateway:
        assert [event async for event in gateway.stream(model="m", messages=HELLO)] == [*chunks, LAST]


def test_it_lives_in_one_event_loop_after_another() -> None:
    gateway = demo()
    for _ in range(2):
        assert "Hello there" in content(asyncio.run(gateway.chat(model="demo", messages=HELLO)))

    async def other() -> None:
        await asyncio.to_thread(lambda: asyncio.run(gateway.chat(model="demo", messages=HELLO)))

    async def both() -> None:
        await gateway.chat(model="demo", messages=HELLO)
        with pytest.raises(RuntimeError, match="another event loop"):
            await other()

    asyncio.run(both())


# hooks, and whose a request is


class Upper:
    def before_request(self, call: HookCall) -> Answer | None:
        if call.doc["messages"][0]["content"] == "stop":
            raise Refusal("Not that.", "permission")
        call.doc["messages"][0]["content"] += ", says the hook"
        return None


class Staff:
    """Knows people by a header."""

    @dataclass(frozen=True)
    class Options:
        names: tuple[str, ...] = ()

    def __init__(self, options: Options, means: Any) -> None:
        self.names = options.names

    def authenticate(self, headers: Sequence[Header]) -> Identity | None:
        name = dict(headers).get(b"x-staff", b"").decode()
        return Identity("staff", key=name) if name in self.names else None


@pytest.mark.asyncio
async def test_hooks_are_objects_or_words() -> None:
    hooks = [Upper(), {"name": "Redact", "options": {"kinds": ["email"]}, "route": "demo"}]
    async with demo(hooks=hooks) as gateway:
        asked = [{"role": "user", "content": "write to ann@example.com"}]
        said = content(await gateway.chat(model="demo", messages=asked))
        assert "says the hook" in said and "ann@example.com" not in said
        with pytest.raises(GatewayError, match=r"Not that\.") as told:
            await gateway.chat(model="demo", messages=[{"role": "user", "content": "stop"}])
        assert (told.value.kind, told.value.status) == ("permission", 403)


@pytest.mark.parametrize(
    ("declared", "headers", "status", "who"),
    [
        ({}, {}, 200, ("default", "anonymous")),
        ({"keys": [KEY]}, {}, 401, ("", "")),
        ({"keys": [KEY]}, {"x-api-key": KEY}, 200, ("default", "key 1")),
        ({"keys": {"website": KEY}}, {"authorization": f"Bearer {KEY}"}, 200, ("default", "website")),
        ({"hooks": [{"name": Staff, "options": {"names": ["ann"]}}]}, {}, 401, ("", "")),
        ({"hooks": [{"name": Staff, "options": {"names": ["ann"]}}]}, {"x-staff": "ann"}, 200, ("staff", "ann")),
    ],
)
def test_whose_a_request_is(declared: Any, headers: dict[str, str], status: int, who: tuple[str, str]) -> None:
    entries: list[Entry] = []
    client = TestClient(demo(on_usage=entries.append, **declared))
    reply = client.post("/v1/chat/completions", json={"model": "demo", "messages": HELLO}, headers=headers)
    assert reply.status_code == status, reply.text
    assert [(entry.tenant, entry.key) for entry in entries] == [who]


# as an application


def starlette(place: str, gateway: Gateway) -> Any:
    return Starlette(routes=[Path("/", lambda request: PlainTextResponse("own")), Mount(place, gateway)])


def fastapi(place: str, gateway: Gateway) -> Any:
    app = FastAPI()
    app.add_api_route("/", lambda: PlainTextResponse("own"))
    app.mount(place, gateway)
    return app


def deep(place: str, gateway: Gateway) -> Any:
    """Mounted in what is mounted."""
    first, _, rest = place.removeprefix("/").partition("/")
    if not rest:
        return starlette(place, gateway)
    inner = Starlette(routes=[Mount(f"/{rest}", gateway)])
    return Starlette(routes=[Path("/", lambda request: PlainTextResponse("own")), Mount(f"/{first}", inner)])


def mounted(place: str, gateway: Gateway) -> Any:
    return Mounted(Starlette(routes=[Path("/", lambda request: PlainTextResponse("own"))]), {place: gateway})


@pytest.mark.parametrize("root", ["", "/base"])
@pytest.mark.parametrize("mount", [starlette, fastapi, deep, mounted])
@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/llm", "/llm/v1/chat/completions"),
        ("/llm", "/llm/openai/v1/chat/completions"),
        ("/llm/v1", "/llm/v1/chat/completions"),
        ("/api/openai/v1", "/api/openai/v1/chat/completions"),
    ],
)
def test_it_answers_wherever_it_is_mounted(mount: Any, place: str, path: str, root: str) -> None:
    client = TestClient(mount(place, demo()), root_path=root)
    assert client.get(f"{root}/").text.strip('"') == "own"
    reply = client.post(root + path, json={"model": "demo", "messages": HELLO})
    assert "Hello there" in content(reply.json()), reply.text
    wrong = client.post(root + path.replace("/v1", "/v1/v1"), json={})
    assert wrong.status_code == 404 and f"did you mean {root}{path}?" in wrong.json()["error"]["message"]


@pytest.mark.parametrize("mount", [starlette, fastapi, mounted])
@pytest.mark.parametrize("root", ["/base", "/base/v1"])
def test_a_proxy_before_it_may_cut_the_path(mount: Any, root: str) -> None:
    client = TestClient(mount("/llm/v1", demo()), root_path=root)
    reply = client.post("/llm/v1/chat/completions", json={"model": "demo", "messages": HELLO})
    assert "Hello there" in content(reply.json()), reply.text


@pytest.mark.parametrize("place", ["/v1beta", "/llm", "/models/llm"])
def test_a_model_in_the_path_is_found_under_a_mount(place: str) -> None:
    client = TestClient(starlette(place, demo(routes=[{"model": "a/b", "targets": [{"provider": "demo"}]}])))
    path = f"{place.removesuffix('/v1beta')}/v1beta/models/a%2Fb:generateContent"
    reply = client.post(path, json={"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]})
    assert "Hello there" in reply.json()["candidates"][0]["content"]["parts"][0]["text"], reply.text


def test_models_and_health_are_under_a_mount() -> None:
    client = TestClient(starlette("/llm", demo()))
    assert [model["id"] for model in client.get("/llm/v1/models").json()["data"]] == ["demo"]
    assert client.get("/llm/health").json()["status"] == "healthy"
    assert client.get("/llm/ready").json()["providers"] == ["demo"]


def test_streams_pass_a_mount() -> None:
    client = TestClient(starlette("/v1", demo()))
    doc = {"model": "demo", "stream": True, "messages": HELLO}
    with client.stream("POST", "/v1/chat/completions", json=doc) as reply:
        assert list(reply.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_models_that_no_route_names_go_where_the_defaults_say() -> None:
    gateway = demo(routes=[], defaults={"provider": "demo"})
    assert "Hello there" in content(asyncio.run(gateway.chat(model="any", messages=HELLO)))
    gateway = demo(defaults={"model": "demo"})
    assert "Hello there" in content(asyncio.run(gateway.chat(model="any", messages=HELLO)))


class Closing:
    closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=REPLY)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("inner", [False, True])
def test_the_end_of_the_server_closes_it(inner: bool) -> None:
    transport: Any = Closing()
    gateway = Gateway(Connections(transports={"*": transport}), providers=[SERVER, SPARE], routes=[TO_SERVER])
    app: Any = Mounted(Starlette(), {"/llm": gateway}) if inner else gateway
    with TestClient(app) as client:
        path = "/llm/v1/chat/completions" if inner else "/v1/chat/completions"
        assert client.post(path, json={"model": "m", "messages": HELLO}).json() == REPLY
        assert transport.closed == 0
    assert transport.closed == 1


@pytest.mark.parametrize("place", ["llm", "/llm/", "/", ""])
def test_a_place_begins_with_a_slash_and_ends_with_none(place: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        Mounted(Starlette(), {place: demo()})


def test_a_websocket_is_refused() -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), TestClient(demo()).websocket_connect("/v1/responses"):
        pass
