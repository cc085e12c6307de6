"""Translation over real sockets: the server as a process, upstreams of other dialects as another, the official SDKs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import KEY, Gateway, Upstream, prepare, serve, wait_until
from tests.recordings import Json
from tests.translated_site import ERRORS, KINDS, SECRET, ask, config, sdk, status_of, streamed
from tests.translated_upstream import INPUT_TOKENS, OUTPUT_TOKENS, TEXT, scripted_upstream
from tests.wire import Wire, exchange

MIB = 1024 * 1024
SEND_TIMEOUT = 2
#: Dialect of the client -> path for a stream, and its body.
CLIENTS: dict[str, tuple[str, Json]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True}),
    "responses": ("/v1/responses", {"input": "hi", "stream": True}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 99, "stream": True}),
    "generate": ("/v1beta/models/{}:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]}),
}
PAIRS = [(client, api) for client in CLIENTS for api in KINDS if client != api]
#: Each client's dialect once, and each upstream's.
SOME = [("chat", "messages"), ("responses", "ollama"), ("messages", "generate"), ("generate", "chat")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with scripted_upstream() as (found, _):
        yield found


@pytest.fixture(scope="module")
def data(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translated")
    prepare(folder, config(upstream))
    return folder


@pytest.fixture(scope="module")
def gateway(data: Path) -> Iterator[Gateway]:
    with serve("uvicorn", data, GATEWAY_SEND_TIMEOUT=str(SEND_TIMEOUT)) as found:
        yield found
        assert KEY not in found.log and SECRET not in found.log and "Traceback" not in found.log


@pytest.mark.parametrize(("client", "api"), PAIRS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_each_sdk_reaches_each_upstream(client: str, api: str, stream: bool, gateway: Gateway) -> None:
    told = (streamed if stream else ask)(client, gateway.origin, f"{api}-plain-{client}")
    assert told == ("".join(TEXT), INPUT_TOKENS, OUTPUT_TOKENS)


def test_no_header_of_the_client_reaches_a_foreign_upstream(gateway: Gateway, upstream: Upstream) -> None:
    told = {"openai-organization": "org-1", "cookie": "c=1", "x-forwarded-for": "1.2.3.4", "anthropic-beta": "b"}
    made = sdk("openai", gateway.origin).with_options(default_headers=told)
    made.chat.completions.create(model="messages-plain-headers", messages=[{"role": "user", "content": "hi"}])
    headers = dict(upstream.seen("messages-plain-headers")["headers"])
    assert headers["x-api-key"] == SECRET and headers["anthropic-version"]
    assert not {*told, "authorization", "x-stainless-lang"} & set(headers) and KEY not in str(headers)


def test_loss_is_told_in_a_header(gateway: Gateway) -> None:
    create = sdk("openai", gateway.origin).chat.completions.with_raw_response.create
    reply = create(model="messages-plain-loss", frequency_penalty=0.5, messages=[{"role": "user", "content": "hi"}])
    assert reply.headers["x-gateway-dropped"] == "frequency_penalty"
    assert reply.parse().choices[0].message.content == "".join(TEXT)


# ---------------------------------------------------------------- who leaves, hangs or breaks


def sent(client: str, model: str) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of a stream's request, whose id is the model's name."""
    path, body = CLIENTS[client]
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "x-request-id": model}
    doc = body if client == "generate" else {"model": model, **body}
    return path.format(model), headers, json.dumps(doc).encode()


@pytest.mark.parametrize(("client", "api"), SOME)
def test_a_hang_up_reaches_the_upstream_and_is_charged(
    client: str, api: str, gateway: Gateway, upstream: Upstream
) -> None:
    model = f"{api}-endless-left-{client}"

    async def leave() -> None:
        async with Wire.open(gateway.port) as wire:
            await wire.send("POST", *sent(client, model))
            status, fields = await wire.head()
            seen = b""
            async for piece in wire.pieces(fields):
                seen += piece
                if seen.count(b"word") > 10:
                    break
            assert status == 200

    asyncio.run(leave())
    wait_until(lambda: model in upstream.closed(), "the upstream is left too")
    row = gateway.wait_rows(model, 1)[model]
    assert (row["error_kind"], row["status"]) == ("cancelled", 499)
    assert row["output_tokens"] >= 10 and row["estimated"] and row["input_tokens"]


def wrong(client: str, body: bytes) -> Json:
    """What the last event of a stream says of an error, in the client's dialect."""
    last = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")][-1]
    match client:
        case "chat":
            assert last["error"]["message"] and last["error"]["type"] and b"[DONE]" not in body
        case "responses":
            assert last["type"] in ("error", "response.failed")
        case "messages":
            assert last["type"] == "error" and last["error"]["type"] and b"message_stop" not in body
        case "generate":
            assert last["error"]["code"] and last["error"]["status"]
    return dict(last)


@pytest.mark.parametrize(("client", "api"), SOME)
@pytest.mark.parametrize(("fault", "kind", "status"), [("stall", "timeout", 504), ("broken", "truncated", 502)])
def test_a_stream_that_stops_is_an_error_and_is_charged(
    fault: str, kind: str, status: int, client: str, api: str, gateway: Gateway, upstream: Upstream
) -> None:
    model = f"{api}-{fault}-{client}"
    reply = asyncio.run(exchange(gateway.port, "POST", *sent(client, model)))
    assert reply.status == 200 and b"one " in reply.body and b"two " in reply.body
    wrong(client, reply.body)
    row = gateway.wait_rows(model, 1)[model]
    assert (row["error_kind"], row["status"]) == (kind, status) and row["output_tokens"]
    if fault == "stall":
        wait_until(lambda: model in upstream.closed(), "the upstream is left")


@pytest.mark.parametrize(("client", "api"), SOME)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_upstream_that_hangs_before_its_first_byte_is_a_504(
    client: str, api: str, stream: bool, gateway: Gateway, upstream: Upstream
) -> None:
    model = f"{api}-silent-{client}-{stream}"
    with pytest.raises(ERRORS) as raised:
        (streamed if stream else ask)(client, gateway.origin, model)
    assert status_of(raised.value) == 504
    wait_until(lambda: model in upstream.closed(), "the upstream is left")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", ["busy", "dead", "silent"])
def test_another_dialect_stands_in_before_the_first_byte(fault: str, client: str, gateway: Gateway) -> None:
    for told in (ask, streamed):
        assert told(client, gateway.origin, f"over-{fault}") == ("".join(TEXT), INPUT_TOKENS, OUTPUT_TOKENS)
    path, headers, body = sent(client, f"over-{fault}")
    name = f"over-{fault}-{client}"
    reply = asyncio.run(exchange(gateway.port, "POST", path, {**headers, "x-request-id": name}, body))
    assert reply.headers["x-gateway-attempts"] == "2" and reply.headers["x-gateway-provider"] == "chat"
    row = gateway.wait_rows(name, 1)[name]
    assert (row["status"], row["attempts"], row["output_tokens"]) == (200, 2, OUTPUT_TOKENS)


@pytest.mark.parametrize(("client", "api"), SOME)
def test_a_reader_that_stops_costs_no_memory(client: str, api: str, gateway: Gateway, upstream: Upstream) -> None:
    model = f"{api}-flood-{client}"
    before = gateway.rss()
    highest = [before]

    def ended() -> bool:
        highest.append(gateway.rss())
        assert max(highest) - before < 256 * MIB, "memory grows without bound"
        return model in upstream.closed()

    async def stop_reading() -> None:
        async with Wire.open(gateway.port) as wire:
            wire.writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await wire.send("POST", *sent(client, model))
            await wire.head()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.to_thread(wait_until, ended, "the blocked send was given up")

    asyncio.run(stop_reading())
    assert gateway.wait_rows(model, 1)[model]["error_kind"]
    grown = (max(highest) - before) / MIB
    print(f"\na stopped {client} reader of {api}: memory {grown:+.1f} MiB")
    assert grown < 32


def test_the_kill_of_an_upstream_is_told(tmp_path: Path) -> None:
    models = {client: f"{api}-endless-killed-{client}" for client, api in SOME}
    with scripted_upstream() as (mortal, process):
        prepare(tmp_path / "data", config(mortal))
        with serve("uvicorn", tmp_path / "data") as gateway:
            waiting = set(models)

            async def watch(client: str) -> bytes:
                async with Wire.open(gateway.port) as wire:
                    await wire.send("POST", *sent(client, models[client]))
                    _, fields = await wire.head()
                    seen = b""
                    async for piece in wire.pieces(fields):
                        seen += piece
                        if seen.count(b"word") > 10:
                            waiting.discard(client)
                        if not waiting and process.poll() is None:
                            process.kill()
                    return seen

            async def all_of_them() -> list[bytes]:
                return await asyncio.gather(*map(watch, models))

            for client, body in zip(models, asyncio.run(all_of_them()), strict=True):
                wrong(client, body)
                row = gateway.wait_rows(models[client], 1)[models[client]]
                assert (row["error_kind"], row["status"]) == ("truncated", 502) and row["output_tokens"] >= 10
            for client, api in SOME:
                with pytest.raises(ERRORS) as raised:
                    ask(client, gateway.origin, f"{api}-plain-after")
                assert status_of(raised.value) == 502
