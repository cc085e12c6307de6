"""The WebSocket mode of the Responses API over real sockets, on both servers, with the clients that people use."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests import replay, sdks
from tests.live import KEY, LIMIT, SERVERS, Gateway, Upstream, prepare, replay_upstream, serve, wait_until
from tests.recordings import Json, Recording, load
from tests.serving import WORDS_PER_SECOND, Installation, ready, row, serving
from tests.upstreams import CHUNKS

MIB = 2**20
MOST = 8 * MIB
LAST = ("response.completed", "response.incomplete", "response.failed", "error")
RECORDED = [
    one
    for one in load()
    if one.api == "openai.responses"
    and one.stream
    and one.status == 200
    and not one.request_body.get("background")
    and not list(replay.named_objects(one))
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with replay_upstream() as found:
        yield found


def config(upstream: Upstream) -> Json:
    """Recordings at their native upstreams, faults at one that has the chat API only."""
    found = replay.config(RECORDED, upstream)
    chatty = {"name": "chatty", "kind": "openai-compatible", "base_url": f"{upstream.origin}/v1", "api_key": "x"}
    found["providers"].append({**chatty, "apis": ["chat"], "max_retries": 0})
    faults = {"model": "fault-*", "targets": [{"provider": "chatty"}]}
    found["routes"] = [route for route in found["routes"] if route["model"] != "fault-*"] + [faults]
    return found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sockets")
    prepare(folder, config(upstream))
    return folder


@pytest.fixture(scope="module", params=SERVERS)
def gateway(request: pytest.FixtureRequest, data: Path) -> Iterator[Gateway]:
    with serve(request.param, data, GATEWAY_MAX_BODY_BYTES=str(MOST), LLM_GATEWAY_LOG_LEVEL="debug") as found:
        yield found
        assert KEY not in found.log and "Traceback" not in found.log


def opened(port: int, key: str = KEY, path: str = "/v1/responses", **headers: str) -> ClientConnection:
    told = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    url = f"ws://127.0.0.1:{port}{path}"
    return connect(url, additional_headers=told, max_size=None, open_timeout=LIMIT, legacy=True)


def create(wire: ClientConnection, model: str, text: str = "hi", **fields: Any) -> None:
    wire.send(json.dumps({"type": "response.create", "model": model, "input": text, **fields}))


def events(wire: ClientConnection) -> list[Json]:
    found = [json.loads(wire.recv(LIMIT))]
    while found[-1]["type"] not in LAST:
        found.append(json.loads(wire.recv(LIMIT)))
    return found


def test_a_conversation(gateway: Gateway, upstream: Upstream) -> None:
    model = f"fault-counted-{gateway.server}-talk"
    with opened(gateway.port, x_request_id=f"talk-{gateway.server}") as wire:
        create(wire, model, "one", store=False)
        first = events(wire)[-1]["response"]
        create(wire, model, "two", store=False, previous_response_id=first["id"])
        assert events(wire)[-1]["type"] == "response.completed"
        create(wire, model, store=False, previous_response_id=first["id"])
        assert events(wire)[-1]["error"]["code"] == "previous_response_not_found"
    body = json.loads(base64.b64decode(upstream.seen(model)["body"]))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == "word " * CHUNKS
    rows = gateway.wait_rows(f"talk-{gateway.server}-", 3)
    assert [(one["status"], one["output_tokens"]) for _, one in sorted(rows.items())] == [
        (200, CHUNKS),
        (200, CHUNKS),
        (400, 0),
    ]


@pytest.mark.parametrize("recording", RECORDED, ids=lambda one: one.id)
def test_a_recorded_stream_passes_event_by_event(recording: Recording, gateway: Gateway) -> None:
    body = {name: value for name, value in recording.body(recording.model).items() if name != "stream"}
    with opened(gateway.port) as wire:
        wire.send(json.dumps({"type": "response.create", **body}))
        found = events(wire)
    expected = recording.events()
    assert found[0]["type"] == expected[0]["type"], found[0]
    assert found[:-1] == expected[: len(found) - 1] and found[-1]["type"] == expected[len(found) - 1]["type"]
    if found[-1]["type"] != "error":
        assert found == expected


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")  # by the library
def test_the_client_library(gateway: Gateway) -> None:
    model, client = f"fault-counted-{gateway.server}-sdk", sdks.client("openai", gateway.origin, False)
    with client.responses.connect() as connection:
        connection.response.create(model=model, input="one", store=False)
        first = _last(connection)
        connection.response.create(model=model, input="two", store=False, previous_response_id=first.response.id)
        assert _last(connection).response.output_text == "word " * CHUNKS
        connection.response.create(model="nothing-here", input="x", stream_id="other")
        failed = _last(connection)
        assert (failed.type, failed.status, failed.stream_id) == ("error", 404, "other")
        assert failed.error.code == "model_not_found" and failed.error.headers["x-request-id"]


def _last(connection: Any) -> Any:
    for event in connection:
        if event.type in LAST:
            return event
    raise AssertionError("the connection was closed")


def test_the_asynchronous_client_library(gateway: Gateway) -> None:
    async def story() -> tuple[str, ...]:
        client: openai.AsyncOpenAI = sdks.client("openai", gateway.origin, True)
        async with client.responses.connect() as connection:
            for lane in ("a", "b"):
                model = f"fault-counted-{gateway.server}-{lane}"
                await connection.response.create(model=model, input="x", stream_id=lane)
            ended = []
            async for event in connection:
                if event.type == "response.completed":
                    ended.append(str(event.stream_id))
                    if len(ended) == 2:
                        break
            return tuple(sorted(ended))

    assert asyncio.run(asyncio.wait_for(story(), LIMIT)) == ("a", "b")


@pytest.mark.parametrize("how", ["closed", "lost"])
def test_leaving_cancels_the_upstream(how: str, gateway: Gateway, upstream: Upstream) -> None:
    model = f"fault-endless-{gateway.server}-{how}"
    wire = opened(gateway.port, x_request_id=model)
    create(wire, model)
    while json.loads(wire.recv(LIMIT))["type"] != "response.output_text.delta":
        pass
    if how == "closed":
        wire.close()
    else:
        wire.socket.shutdown(2)
    wait_until(lambda: model in upstream.closed(), "the upstream is left")
    [one] = gateway.wait_rows(f"{model}-", 1).values()
    assert one["error_kind"] == "cancelled" and one["output_tokens"] > 0 and one["estimated"]


@pytest.mark.parametrize(("key", "path"), [("gw-wrong", "/v1/responses"), (KEY, "/v1/realtime"), (KEY, "/ws")])
def test_who_is_refused(key: str, path: str, gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        opened(gateway.port, key, path)
    reply = refusal.value.response
    if key == KEY or gateway.server == "daphne":  # which has no words for it
        assert reply.status_code == 403
    else:
        assert reply.status_code == 401 and reply.headers["x-request-id"]
        assert json.loads(reply.body)["error"]["code"] == "invalid_api_key"


def test_how_large_a_message_may_be(gateway: Gateway) -> None:
    model = f"fault-counted-{gateway.server}-big"
    with opened(gateway.port) as wire:
        create(wire, model, "x" * (MOST - 1000))
        assert events(wire)[-1]["type"] == "response.completed"
        with pytest.raises(ConnectionClosed) as closed:
            create(wire, model, "x" * MOST)
            wire.recv(LIMIT)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


# ---------------------------------------------------------------- ends


def ask_demo(port: int, key: str, seconds: float) -> ClientConnection:
    """A turn of the demo model that has begun and takes so long."""
    wire = opened(port, key, x_request_id="drain")
    create(wire, "demo", "word " * int(seconds * WORDS_PER_SECOND))
    while json.loads(wire.recv(LIMIT))["type"] != "response.output_text.delta":
        pass
    return wire


def close_code(wire: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        wire.recv(LIMIT)
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_lets_the_turn_end(installation: Installation, server: str) -> None:
    with serving(installation, "--server", server, GATEWAY_DRAIN_DELAY="0") as (process, gateway):
        idle, wire = opened(gateway.port, installation.key), ask_demo(gateway.port, installation.key, 2)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(gateway.port) == 0, "the listener is closed")
        assert close_code(idle) == 1001, gateway.log
        assert events(wire)[-1]["type"] == "response.completed"
        assert close_code(wire) == 1001
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, "drain-1") == (200, "")


@pytest.mark.parametrize("server", SERVERS)
def test_a_turn_is_cut_when_its_time_is_up(installation: Installation, server: str) -> None:
    limits = {"GATEWAY_DRAIN_DELAY": "0", "GATEWAY_DRAIN_TIMEOUT": "1"}
    with serving(installation, "--server", server, **limits) as (process, gateway):
        wire = ask_demo(gateway.port, installation.key, 60)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            events(wire)
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in gateway.log
    assert row(installation, "drain-1") == (499, "cancelled")
