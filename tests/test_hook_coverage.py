"""The matrix of where hooks run, proved cell by cell: a hook that is at every phase runs on every endpoint."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from routing.hook_classes import PHASES
from routing.hook_coverage import ENDPOINTS, WEBSOCKET, Row, endpoints
from tests.hook_site import CASES, PARAMETER, STORED, TOKEN, Case, Everywhere, ask, both
from tests.hook_upstream import answer, failing
from tests.inprocess import Plane, plane
from tests.websocket_site import connected

pytestmark = pytest.mark.asyncio
WHOLE, STREAM = 0, 1
RUNS = [
    (name, api, stream)
    for name, case in CASES.items()
    for stream in (False, True)
    for api in case.apis
    if not (stream and (case.stream is None or api == "converse"))
]


def runs(row: Row) -> set[str]:
    return {phase for phase, cell in row.items() if cell.runs}


def seen(*hooks: Everywhere) -> set[str]:
    return {phase for hook in hooks for phase in hook.seen if phase in PHASES}


# ---------------------------------------------------------------- no cell is empty


async def test_every_endpoint_of_the_table_has_its_cells() -> None:
    assert set(endpoints()) == set(ENDPOINTS), (
        "an endpoint without a row of routing.hook_coverage, or a row without one"
    )
    for name, rows in ENDPOINTS.items():
        for row in rows:
            assert set(row) == set(PHASES), name
            assert all(cell.runs or cell.note for cell in row.values()), f"{name}: a no says why"


async def test_every_row_is_proved_below() -> None:
    assert set(CASES) | {WEBSOCKET} == set(ENDPOINTS)
    for name, (_, streamed) in ENDPOINTS.items():
        if name != WEBSOCKET:
            assert bool(runs(streamed)) == (CASES[name].stream is not None), name


# ---------------------------------------------------------------- the cells


@pytest.mark.parametrize(("name", "api", "stream"), RUNS)
async def test_hooks_run_where_the_matrix_says(name: str, api: str, stream: bool) -> None:
    case = CASES[name]
    good, bad = Everywhere(case.parameter), Everywhere()
    async with plane(both(api, good), answer) as running:
        await running.gateway.objects.remember([STORED])
        reply = await ask(running.client, case, stream)
        assert reply.status_code == 200, reply.text
        _look_at_upstream(case, running.requests, good)
        _look_at_reply(case, reply, stream)
        assert {row.tenant for row in running.rows} == {"acme"} and running.rows[-1].endpoint == name
    async with plane(both(api, bad), failing) as running:
        await running.gateway.objects.remember([STORED])
        refused = await ask(running.client, case, stream)
    assert seen(good, bad) == runs(ENDPOINTS[name][STREAM if stream else WHOLE])
    assert "on_event" not in bad.seen and len(bad.seen.get("on_error", [])) == (name != "models")
    if name != "models":
        assert refused.status_code == 503 and "In a hook's words." in refused.text and "secret" not in refused.text


def _look_at_upstream(case: Case, requests: list[httpx.Request], hook: Everywhere) -> None:
    """What the hook has edited has arrived there."""
    if not requests:
        assert case.path == "models"
        return
    (request,) = requests
    assert request.headers["x-hooked"] == "yes" and TOKEN not in str(request.headers)
    if not case.doc:
        assert request.url.host == "up1.test"
        return
    asked = request.content
    assert request.url.host == "up3.test", "the targets were turned round"
    assert b"up-3" in asked or "up-3" in request.url.path
    assert b"hallo" in asked and b"hullo" not in asked and b"hello" not in asked
    if case.parameter:
        assert str(PARAMETER).encode() in asked
    assert hook.seen["choose"] == [["up2", "up3"]] and hook.seen["before_attempt"] == [("up3", "up-3", 1)]


def _look_at_reply(case: Case, reply: httpx.Response, stream: bool) -> None:
    """So have its edits of the reply."""
    if case.path == "models":
        return
    if case.binary and not stream:
        assert reply.content == b"said"
        return
    assert "said" not in reply.text
    silent = "count" in case.path or "tokens" in case.path or "compact" in case.path or "embed" in case.path.lower()
    assert "told" in reply.text or silent


async def test_every_turn_of_a_websocket() -> None:
    for api in ("responses", "chat"):
        good, bad = Everywhere(("temperature",)), Everywhere()
        async with plane(both(api, good), answer) as running, connected(running, TOKEN) as socket:
            for turn in (1, 2):
                last = await socket.turn("hello", model="m")
                assert last["type"] == "response.completed" and "told" in str(last) and "said" not in str(last)
                assert len(good.seen["before_request"]) == turn and good.seen["on_event"]
            _look_at_upstream(CASES["responses"], running.requests[:1], _first(good))
        async with plane(both(api, bad), failing) as running, connected(running, TOKEN) as socket:
            failed = await socket.turn("hello", model="m")
        assert failed["type"] == "error" and "In a hook's words." in str(failed)
        assert seen(good, bad) == runs(ENDPOINTS[WEBSOCKET][STREAM])


def _first(hook: Everywhere) -> Everywhere:
    """What it saw of the first turn."""
    found = Everywhere()
    found.seen.update({phase: each[:1] for phase, each in hook.seen.items()})
    return found


# ---------------------------------------------------------------- where the gateway answers by itself


async def test_a_count_that_is_estimated() -> None:
    hook = Everywhere()
    async with plane(both("ollama", hook), answer) as running:
        reply = await ask(running.client, CASES["messages.count_tokens"], False)
    assert reply.headers["x-gateway-estimated"] == "true" and running.requests == []
    assert seen(hook) == {"authenticate", "before_request", "choose"}


async def test_a_response_that_the_gateway_keeps() -> None:
    hook = Everywhere()
    async with plane(both("chat", hook), answer) as running:
        made = (await ask(running.client, CASES["responses"], False)).json()
        assert "told" in str(made), "what is kept is what the hook has left"
        hook.seen.clear()
        headers = {"authorization": f"Bearer {TOKEN}"}
        again = await running.client.get(f"/v1/responses/{made['id']}", headers=headers)
    assert again.json() == made and len(running.requests) == 1
    assert seen(hook) == {"authenticate", "before_request", "after_response"}


async def test_headers_of_every_call_where_one_request_needs_several() -> None:
    hook = Everywhere()

    def embed(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"embedding": [0.5], "inputTextTokenCount": 1})

    case = Case("embeddings", {"input": ["hello", "hello"]})
    async with plane(both("titan", hook), embed) as running:
        assert len((await ask(running.client, case, False)).json()["data"]) == 2
    assert [request.headers["x-hooked"] for request in running.requests] == ["yes", "yes"]
    assert len(hook.seen["before_attempt"]) == 1


# ---------------------------------------------------------------- what a stream does


@pytest.mark.parametrize(
    ("name", "api"), [("chat", "chat"), ("chat", "messages"), ("messages", "chat"), ("completions", "ollama")]
)
async def test_a_stream_that_breaks_off_is_an_error_for_hooks(name: str, api: str) -> None:
    hook = Everywhere()

    def broken(request: httpx.Request) -> httpx.Response:
        whole = answer(request)
        return httpx.Response(200, headers=whole.headers, content=_cut(whole.content))

    async with plane(both(api, hook), broken) as running:
        reply = await ask(running.client, CASES[name], True)
    assert reply.status_code == 200 and len(hook.seen["on_error"]) == 1
    assert running.rows[-1].error_kind == "truncated" and "on_end" not in hook.seen


def _cut(content: bytes) -> bytes:
    """All but what comes after the word."""
    end = content.index(b"\n", content.index(b"said"))
    return content[: end + (2 if content[end : end + 2] == b"\n\n" else 1)]


@pytest.mark.parametrize(
    ("name", "api"), [("chat", "chat"), ("responses", "chat"), ("generate", "generate"), ("completions", "ollama")]
)
async def test_a_stream_that_ends_well_is_ended_once(name: str, api: str) -> None:
    hook = Everywhere()
    async with plane(both(api, hook), answer) as running:
        await ask(running.client, CASES[name], True)
    assert len(hook.seen["on_end"]) == 1 and hook.seen["after_response"] == [(200, True, None)]


async def test_geminis_array_is_a_whole_reply_where_it_passes_and_a_stream_where_it_is_translated() -> None:
    case = Case("models/m:streamGenerateContent", CASES["generate"].doc)
    passed, made = Everywhere(), Everywhere()

    def array(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[orjson.loads(answer(request).content[6:])])

    async with plane(both("generate", passed), array) as running:
        reply = await ask(running.client, case, False)
        assert "told" in reply.text and isinstance(reply.json(), list)
    async with plane(both("chat", made), answer) as running:
        reply = await ask(running.client, case, False)
        assert "told" in reply.text and isinstance(reply.json(), list)
    assert "on_event" not in passed.seen and "on_event" in made.seen


# ---------------------------------------------------------------- one phase at a time


def plain(plane: Plane, hook: Any) -> Any:
    return ask(plane.client, CASES["chat"], False)


@pytest.mark.parametrize("phase", ["before_request", "choose", "before_attempt", "after_response", "on_error"])
async def test_a_hook_that_fails_leaks_no_words(phase: str) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret words of the hook")

    hook = Everywhere()
    hook.on_error = lambda *_: None  # type: ignore[method-assign]
    setattr(hook, phase, fail)
    async with plane(both("chat", hook), failing if phase == "on_error" else answer) as running:
        reply = await plain(running, hook)
    assert reply.status_code == (502 if phase == "on_error" else 500), reply.text
    assert "secret" not in reply.text
