"""The WebSocket mode of the Responses API: turns, conversations, lanes, refusals and ends, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from routing import consumers, lanes
from routing.body import Budget
from routing.connection_responses import ConnectionResponses
from routing.options import Options
from tenants.keys import Key, Tenant
from tenants.responses import MemoryResponses, StoredResponse
from tenants.terms import Level, Names
from tests.inprocess import KEY, OTHER_KEY, SECRET, plane, route, table, upstream
from tests.websocket_site import (
    LIMIT,
    Doc,
    Socket,
    chat_only,
    chat_stream,
    connected,
    native,
    response,
    response_stream,
    said,
    streamed,
)

pytestmark = pytest.mark.asyncio


def chats(request: httpx.Request) -> httpx.Response:
    return streamed(chat_stream())


class Natively:
    """An upstream with a Responses API: numbers its responses, and keeps those that it is asked to."""

    def __init__(self, **changes: Any) -> None:
        self.bodies: list[Doc] = []
        self.changes = changes

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        doc = {**response(len(self.bodies), body.get("store") is not False), **self.changes}
        return streamed(response_stream(doc, names=len(self.bodies) % 2 == 0))


class Endless:
    """A stream without end, and whether somebody left it."""

    def __init__(self, words: bytes = b"") -> None:
        self.words = words or chat_stream("twenty-four characters..").split(b"\n\n")[0] + b"\n\n"
        self.left = asyncio.Event()
        self.more = asyncio.Event()

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            yield self.words
            await self.more.wait()
            yield b"\n\n".join(chat_stream().split(b"\n\n")[1:])
        finally:
            self.left.set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return streamed(self._pieces())


# ---------------------------------------------------------------- turns


@pytest.mark.parametrize("path", ["/v1/responses", "/openai/v1/responses"])
async def test_a_turn_is_the_events_of_a_stream(path: str) -> None:
    async with plane(chat_only(), chats) as p:
        socket = Socket(p, path=path, x_request_id="mine")
        assert await socket.wire.connect(LIMIT) == (True, None)
        assert dict(socket.wire.response_headers)[b"x-request-id"] == b"mine"
        await socket.create()
        events = await socket.events()
        await socket.leave()
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all("stream_id" not in event for event in events)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "ho"
    [row] = p.rows
    assert (row.status, row.endpoint, row.stream, row.request_id) == (200, "responses", True, "mine-1")
    assert (row.input_tokens, row.output_tokens, row.tenant, row.route) == (9, 4, "acme", "gpt")


@pytest.mark.parametrize("store", [False, True])
async def test_a_native_turn_passes_as_it_came(store: bool) -> None:
    up = Natively()
    told = {"openai_beta": "responses_websockets=2026-02-06,other=v1", "idempotency_key": "of the handshake"}
    async with plane(native(), up) as p, connected(p, **told) as socket:
        await socket.create(store=store, stream=True, background=False, generate=True, temperature=1.0, unheard_of=[1])
        events = await socket.events()
    assert b'"temperature": 1.0' in p.requests[0].content  # as it was spelled, not as we would
    assert up.bodies == [
        {"stream": True, "model": "gpt", "input": "hi", "store": store, "temperature": 1.0, "unheard_of": [1]}
    ]
    assert p.requests[0].headers["openai-beta"] == "other=v1" and p.requests[0].headers["authorization"].endswith(
        SECRET
    )
    assert not {"upgrade", "idempotency-key", "x-request-id"} & set(p.requests[0].headers)
    assert [event["type"] for event in events][::3] == ["response.created", "response.completed"]
    assert events[-1]["response"] == response(1, store)


async def test_a_message_of_very_many_texts_passes_too() -> None:
    up, many = Natively(), ["a", 'b"'] * 60_000
    async with plane(native(), up) as p, connected(p) as socket:
        tools = [{"type": "function", "name": "f", "parameters": {"enum": many}}]
        assert (await socket.turn(stream_id="a", tools=tools, temperature=1.5))["type"] == "response.completed"
    assert up.bodies == [{"stream": True, "model": "gpt", "input": "hi", "tools": tools, "temperature": 1.5}]


async def test_each_turn_has_a_row_of_its_own() -> None:
    async with plane(chat_only(), chats) as p, connected(p, x_request_id="c") as socket:
        for _ in range(3):
            assert (await socket.turn())["type"] == "response.completed"
    assert [(row.request_id, row.output_tokens) for row in p.rows] == [("c-1", 4), ("c-2", 4), ("c-3", 4)]
    assert len({row.id for row in p.rows}) == 3


async def test_a_reply_that_comes_whole_is_told_in_events() -> None:
    doc = response(1, False)
    async with plane(native(), lambda r: httpx.Response(200, json=doc)) as p, connected(p) as socket:
        await socket.create(store=False)
        events = await socket.events()
        assert [event["type"] for event in events] == [
            "response.created",
            "response.output_item.added",
            "response.output_item.done",
            "response.completed",
        ]
        assert events[-1]["response"] == doc and events[2]["item"] == doc["output"][0]
        await socket.turn("more", previous_response_id="resp_1", store=False)
    assert said(json.loads(p.requests[1].content)) == ["hi", "answer 1", "more"]


# ---------------------------------------------------------------- conversations


@pytest.mark.parametrize("store", [False, True])
async def test_a_conversation_goes_on_over_a_chat_upstream(store: bool) -> None:
    async with plane(chat_only(), chats) as p, connected(p) as socket:
        ids: list[str | None] = [None]
        for text in ("one", "two", "three"):
            last = await socket.turn(text, previous_response_id=ids[-1], store=store)
            assert last["response"]["previous_response_id"] == ids[-1] and last["response"]["store"] is store
            ids.append(last["response"]["id"])
        assert said(json.loads(p.requests[2].content)) == ["one", "ho", "two", "ho", "three"]
        kept = [await p.client.get(f"/v1/responses/{name}") for name in ids[1:]]
    assert {reply.status_code for reply in kept} == {200 if store else 404}


async def test_a_conversation_goes_on_over_a_native_upstream_that_keeps_nothing() -> None:
    up = Natively()
    async with plane(native(), up) as p, connected(p) as socket:
        for number, text in enumerate(("one", "two", "three"), 1):
            previous = f"resp_{number - 1}" if number > 1 else None
            assert (await socket.turn(text, previous_response_id=previous, store=False))["type"] == "response.completed"
    assert said(up.bodies[2]) == ["one", "answer 1", "two", "answer 2", "three"]
    assert all(not body.get("previous_response_id") for body in up.bodies)


async def test_an_upstream_that_tells_its_output_only_once() -> None:
    up = Natively()

    def answer(request: httpx.Request) -> httpx.Response:
        whole = up(request).content
        lines = whole.split(b"\n\n")
        last = json.loads(lines[-2].partition(b"data: ")[2])
        last["response"]["output"] = []
        return streamed(b"\n\n".join([*lines[:-2], b"data: " + json.dumps(last).encode(), b""]))

    async with plane(native(), answer) as p, connected(p) as socket:
        await socket.turn("one", store=False)
        await socket.turn("two", store=False, previous_response_id="resp_1")
    assert said(up.bodies[1]) == ["one", "answer 1", "two"]


async def test_what_an_upstream_keeps_is_left_to_it() -> None:
    up = Natively()
    async with plane(native(), up) as p, connected(p) as socket:
        await socket.turn("one")
        await socket.turn("two", previous_response_id="resp_1")
        await socket.turn("three", previous_response_id="resp_2", store=False)
        await socket.turn("four", previous_response_id="resp_3", store=False)
    assert [body.get("previous_response_id") for body in up.bodies] == [None, "resp_1", "resp_2", "resp_2"]
    assert up.bodies[1]["input"] == "two"
    assert said(up.bodies[3]) == ["three", "answer 3", "four"]


async def test_what_goes_on_from_the_unstored_is_not_stored_either() -> None:
    async with plane(chat_only(), chats) as p:
        async with connected(p) as socket:
            first = await socket.turn("one", store=False)
            second = await socket.turn("two", previous_response_id=first["response"]["id"], store=True)
            assert second["response"]["store"] is False
            third = await socket.turn("three", previous_response_id=second["response"]["id"], store=True)
            assert third["type"] == "response.completed"
        assert said(json.loads(p.requests[2].content)) == ["one", "ho", "two", "ho", "three"]
        assert [await p.gateway.kept.find(1, one["response"]["id"]) for one in (first, second, third)] == [None] * 3


async def test_a_tenant_that_stores_nothing_has_conversations_all_the_same() -> None:
    tenants = {1: Tenant(1, "acme", store_responses=False), 2: Tenant(2, "rival")}
    async with plane(chat_only(tenants=tenants), chats) as p, connected(p) as socket:
        first = await socket.turn("one")
        assert first["response"]["store"] is False
        await socket.turn("two", previous_response_id=first["response"]["id"])
    assert said(json.loads(p.requests[1].content)) == ["one", "ho", "two"]


def _not_found(event: Doc) -> bool:
    error = event["error"]
    assert (event["type"], event["status"], error["type"]) == ("error", 400, "invalid_request_error")
    return (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("made", [chat_only, native])
async def test_only_the_connection_and_its_last_response_are_remembered(made: Any) -> None:
    up = Natively()
    async with plane(made(), chats if made is chat_only else up) as p:
        async with connected(p) as socket:
            ids = [(await socket.turn(text, store=False))["response"]["id"] for text in ("one", "two")]
            asked = len(p.requests)
            assert _not_found(await socket.turn(previous_response_id="resp_nobody", store=False))
            assert len(p.requests) == asked
            if made is chat_only:  # a native upstream that made it is asked, and knows best
                assert _not_found(await socket.turn(previous_response_id=ids[0], store=False))
            assert (await socket.turn(previous_response_id=ids[1], store=False))["type"] == "response.completed"
        for key in (KEY, OTHER_KEY) if made is chat_only else (OTHER_KEY,):
            async with connected(p, key) as socket:
                assert _not_found(await socket.turn(previous_response_id=ids[1], store=False))


async def test_a_turn_that_fails_forgets_what_it_went_on_from() -> None:
    broken = False

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": "no", "type": "x"}}) if broken else chats(request)

    async with plane(chat_only(), answer) as p, connected(p) as socket:
        first = (await socket.turn("one", store=False, stream_id="a"))["response"]["id"]
        broken = True
        assert (await socket.turn(previous_response_id=first, store=False, stream_id="b"))["type"] == "error"
        broken = False
        assert (await socket.turn(previous_response_id=first, stream_id="b"))["type"] == "response.completed"
        broken = True
        assert (await socket.turn(previous_response_id=first, store=False, stream_id="a"))["type"] == "error"
        broken = False
        assert _not_found(await socket.turn(previous_response_id=first, store=False, stream_id="a"))


async def test_what_is_too_large_to_remember_is_not() -> None:
    async with plane(chat_only(), chats, Options(max_body=2000)) as p, connected(p) as socket:
        last = await socket.turn("x" * 900, store=False)
        last = await socket.turn("x" * 900, store=False, previous_response_id=last["response"]["id"])
        assert last["type"] == "response.completed"
        assert _not_found(await socket.turn(store=False, previous_response_id=last["response"]["id"]))
    assert p.gateway.budget.held == 0


async def test_a_memory_knows_tenants() -> None:
    memory = ConnectionResponses(MemoryResponses(), Budget(100), 100)
    item = StoredResponse("resp_1", 1, "", "gpt", "gpt", 0, 4e9, b'{"output":[]}', b"[]")
    memory.remember("", item)
    assert await memory.chain(1, "resp_1") == [item] and await memory.find(1, "resp_1") == item
    assert await memory.chain(2, "resp_1") == [] and await memory.find(2, "resp_1") is None
    memory.remember("a", replace(item, id="resp_2", input=b" " * 80))  # the older gives way
    assert await memory.find(1, "resp_1") is None and memory.budget.held == 93
    assert await memory.forget(1, "resp_2") and not await memory.forget(1, "resp_2") and memory.budget.held == 0


@pytest.mark.parametrize("made", [chat_only, native])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("given", [[], "before"])
async def test_a_warm_up_asks_nobody(made: Any, store: bool, given: Any) -> None:
    up = Natively()
    async with plane(made(), chats if made is chat_only else up) as p, connected(p) as socket:
        tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
        await socket.create(given, generate=False, store=store, tools=tools, instructions="be brief")
        events = await socket.events()
        assert [event["type"] for event in events] == [
            "response.created",
            "response.in_progress",
            "response.completed",
        ]
        warm = events[-1]["response"]
        assert (warm["output"], warm["store"], warm["usage"]["total_tokens"]) == ([], store, 0)
        assert warm["instructions"] == "be brief" and warm["tools"][0]["name"] == "f"
        assert not p.requests
        last = await socket.turn("after", previous_response_id=warm["id"], store=store)
        assert last["type"] == "response.completed"
    assert said(json.loads(p.requests[0].content)) == [*(["before"] if given else []), "after"]
    assert [(row.status, row.input_tokens, row.attempts) for row in p.rows] == [(200, 0, 0), (200, 9, 1)]


# ---------------------------------------------------------------- lanes


async def test_turns_of_one_lane_follow_each_other_and_lanes_do_not_wait() -> None:
    slow = Endless()

    def answer(request: httpx.Request) -> httpx.Response:
        return slow(request) if b"slow" in request.content else chats(request)

    async with plane(chat_only(), answer) as p, connected(p) as socket:
        await socket.create("slow", stream_id="a")
        while (event := await socket.event())["type"] != "response.output_text.delta":
            assert event["stream_id"] == "a"
        await socket.create("next", stream_id="a")
        await socket.create("other", stream_id="b")
        others = await socket.events()
        assert {event["stream_id"] for event in others} == {"b"} and others[-1]["type"] == "response.completed"
        slow.more.set()
        for _ in range(2):
            rest = await socket.events()
            assert {event["stream_id"] for event in rest} == {"a"} and rest[-1]["type"] == "response.completed"
    assert [said(json.loads(request.content)) for request in p.requests] == [["slow"], ["other"], ["next"]]


async def test_a_conversation_forks_into_another_lane() -> None:
    async with plane(chat_only(), chats) as p, connected(p) as socket:
        first = (await socket.turn("one", store=False, stream_id="a"))["response"]["id"]
        second = (await socket.turn("fork", store=False, stream_id="b", previous_response_id=first))["response"]["id"]
        await socket.turn("two", store=False, stream_id="a", previous_response_id=first)
        await socket.turn("on", store=False, stream_id="b", previous_response_id=second)
    assert [said(json.loads(request.content)) for request in p.requests[2:]] == [
        ["one", "ho", "two"],
        ["one", "ho", "fork", "ho", "on"],
    ]


async def test_lanes_and_waiting_turns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST_LANES", 2)
    monkeypatch.setattr(lanes, "MOST_WAITING", 2)
    slow = Endless()
    async with plane(chat_only(), slow) as p, connected(p) as socket:
        await socket.create(stream_id="a")
        while (await socket.event())["type"] != "response.output_text.delta":
            pass
        for _ in range(3):
            await socket.create("again", stream_id="a")
        error = await socket.event()
        assert (error["status"], error["error"]["code"], error["stream_id"]) == (429, "websocket_queue_full", "a")
        slow.more.set()
        for _ in range(3):
            assert (await socket.events())[-1]["type"] == "response.completed"
        assert (await socket.turn(stream_id="b"))["type"] == "response.completed"
        error = await socket.turn(stream_id="c")
        assert (error["error"]["code"], error["error"]["param"]) == ("websocket_stream_limit_reached", "stream_id")
        assert error["stream_id"] == "c"
        assert (await socket.turn())["type"] == "response.completed"  # the default lane is none of them
    assert len(p.rows) == 5 and p.gateway.budget.held == 0


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("message", "said_of", "code", "param"),
    [
        ("{nonsense", "not valid JSON", "invalid_json", None),
        ("[1]", "must be a JSON object", "invalid_json", None),
        ("{}", "'response.create'", None, "type"),
        ('{"type":"response.cancel"}', "'response.cancel'", None, "type"),
        ('{"type":"response.create","background":true}', "background", None, "background"),
        ('{"type":"response.create","generate":0}', "generate", None, "generate"),
        ('{"type":"response.create","stream_id":""}', "stream_id", "invalid_stream_id", "stream_id"),
        ('{"type":"response.create","stream_id":"a b"}', "stream_id", "invalid_stream_id", "stream_id"),
        ('{"type":"response.create","input":"x"}', "model", "missing_required_parameter", "model"),
        ('{"type":"response.create","model":"gpt","Model":"x","input":"x"}', "case", None, "model"),
        ('{"type":"response.create","model":"gpt","Stream":false,"input":"x"}', "case", None, "stream"),
        ('{"type":"response.create","model":"gpt","input":5}', "input", None, "input"),
    ],
)
async def test_a_bad_message_is_answered_and_no_more(message: str, said_of: str, code: Any, param: Any) -> None:
    async with plane(chat_only(), chats) as p, connected(p, x_request_id="c") as socket:
        await socket.wire.send_to(text_data=message)
        event = await socket.event()
        assert (event["type"], event["status"]) == ("error", 400)
        error = event["error"]
        assert said_of in error["message"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
        assert event["headers"]["x-request-id"].startswith("c") and error["headers"] == event["headers"]
        assert (await socket.turn())["type"] == "response.completed"
    assert len(p.requests) == 1


async def test_steering_is_refused_in_its_own_words_and_notices_are_not_answered() -> None:
    async with plane(chat_only(), chats) as p, connected(p) as socket:
        await socket.send(type="response.processed", response_id="resp_1")
        await socket.send(type="response.steer", previous_response_id="resp_1", input="left")
        event = await socket.event()
    assert event["type"] == "response.steer.failed" and event["error"]["code"] == "steering_not_supported"
    assert event["steer"] == {"previous_response_id": "resp_1", "input": "left"}
    assert not p.rows


async def test_bytes_are_as_good_as_text() -> None:
    async with plane(chat_only(), chats) as p, connected(p) as socket:
        await socket.wire.send_to(
            bytes_data=json.dumps({"type": "response.create", "model": "gpt", "input": "x"}).encode()
        )
        assert (await socket.events())[-1]["type"] == "response.completed"


async def test_an_upstream_refusal_has_its_status_and_no_secret() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        error = {"message": f"slow down {SECRET}", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
        return httpx.Response(429, json={"error": error}, headers={"retry-after": "7"})

    async with plane(native(), answer) as p, connected(p) as socket:
        event = await socket.turn(stream_id="a")
    assert (event["status"], event["error"]["code"], event["stream_id"]) == (429, "rate_limit_exceeded", "a")
    assert SECRET not in json.dumps(event)
    assert [row.status for row in p.rows] == [429]


async def test_a_stream_that_breaks_ends_in_an_error_event() -> None:
    begun = response_stream(response(1, False)).split(b"\n\n")[0] + b"\n\n"
    async with plane(native(), lambda r: streamed(begun)) as p, connected(p) as socket:
        await socket.create()
        events = await socket.events()
        assert [event["type"] for event in events] == ["response.created", "error"]
        assert events[-1]["status"] >= 500 and events[-1]["error"]["message"]
        assert (await socket.turn())["type"] == "error"
    assert [row.error_kind for row in p.rows] == ["truncated", "truncated"]


async def test_a_model_that_the_key_may_not_use() -> None:
    made = table(route("gpt", upstream()), route("gpt-else", upstream(), id=2))
    some = {name: replace(key, level=Level("key", models=Names(("gpt-else",)))) for name, key in made.keys.items()}
    async with plane(replace(made, keys=some), chats) as p, connected(p) as socket:
        for model, status, code in (("gpt", 403, "model_not_allowed"), ("none", 404, "model_not_found")):
            event = await socket.turn(model=model)
            assert (event["status"], event["error"]["code"]) == (status, code)
    assert not p.requests and [row.status for row in p.rows] == [403, 404]


# ---------------------------------------------------------------- who may connect


@pytest.mark.parametrize("key", ["", "gw-wrong-key-0123456789-0123456789-012345678"])
@pytest.mark.parametrize("in_words", [True, False])
async def test_nobody_connects_without_a_key(key: str, in_words: bool) -> None:
    async with plane(chat_only(), chats) as p:
        socket = Socket(p, key)
        if in_words:
            socket.extensions = {"websocket.http.response": {}}
        await socket.wire.send_input({"type": "websocket.connect"})
        message = await socket.wire.receive_output(LIMIT)
        if in_words:
            body = await socket.wire.receive_output(LIMIT)
            assert (message["type"], message["status"]) == ("websocket.http.response.start", 401)
            assert json.loads(body["body"])["error"]["code"] == "invalid_api_key"
            assert dict(message["headers"])[b"x-request-id"].decode() == p.rows[0].request_id
        else:
            assert (message["type"], message["code"]) == ("websocket.close", 1008)
        await socket.leave()
    assert [(row.status, row.error_kind) for row in p.rows] == [(401, "auth")]


async def test_a_web_page_cannot_use_an_open_gateway() -> None:
    made = chat_only(anonymous=Key(0, "", 1))
    async with plane(made, chats, Options(allow_anonymous=True)) as p:
        async with connected(p, "") as socket:
            assert (await socket.turn())["type"] == "response.completed"
        page = Socket(p, "", origin="https://evil.example")
        assert await page.wire.connect(LIMIT) == (False, 1008)
        await page.leave()
        async with connected(p, origin="https://with-a-key.example") as socket:
            assert (await socket.turn())["type"] == "response.completed"


async def test_a_key_that_is_revoked_ends_the_connection() -> None:
    async with plane(chat_only(), chats) as p:
        socket = Socket(p)
        await socket.wire.connect(LIMIT)
        assert (await socket.turn())["type"] == "response.completed"
        p.gateway.table = replace(p.gateway.table, keys={})
        event = await socket.turn()
        assert (event["status"], event["error"]["code"]) == (401, "invalid_api_key")
        assert await socket.closed() == 1008
        await socket.leave()
    assert [row.status for row in p.rows] == [200, 401] and len(p.requests) == 1


# ---------------------------------------------------------------- ends


async def _started(socket: Socket) -> None:
    await socket.create()
    while (await socket.event())["type"] != "response.output_text.delta":
        pass


async def test_leaving_cancels_the_upstream_and_counts_what_was_said() -> None:
    endless = Endless()
    async with plane(chat_only(), endless) as p:
        socket = Socket(p)
        await socket.wire.connect(LIMIT)
        await _started(socket)
        await socket.create("never to be begun")
        await socket.leave()
        assert endless.left.is_set()
        [row] = p.rows
        assert (row.status, row.error_kind, row.output_tokens, row.estimated) == (499, "cancelled", 6, True)
        assert p.gateway.active == 0 and p.gateway.budget.held == 0
    assert len(p.requests) == 1


async def test_a_server_that_ends_lets_the_turn_end() -> None:
    endless = Endless()
    async with plane(chat_only(), endless) as p:
        socket, idle = Socket(p), Socket(p)
        for one in (socket, idle):
            await one.wire.connect(LIMIT)
        await _started(socket)
        for one in (socket, idle):
            await one.wire.send_input({"type": "websocket.drain"})
        assert await idle.closed() == 1001
        await socket.create("too late")
        endless.more.set()
        assert (await socket.events())[-1]["type"] == "response.completed"
        assert await socket.closed() == 1001
        for one in (socket, idle):
            await one.leave()
    assert [row.status for row in p.rows] == [200]


async def test_a_connection_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "LIFETIME", 0)
    async with plane(chat_only(), chats) as p:
        socket = Socket(p)
        await socket.wire.connect(LIMIT)
        event = await socket.event()
        assert (event["status"], event["error"]["code"]) == (400, "websocket_connection_limit_reached")
        assert await socket.closed() == 1001
        await socket.leave()
    assert not p.rows


async def test_a_message_that_is_too_long() -> None:
    async with plane(chat_only(), chats, Options(max_body=3000)) as p:
        socket = Socket(p)
        await socket.wire.connect(LIMIT)
        assert (await socket.turn("x" * 2000))["type"] == "response.completed"
        event = await socket.turn("x" * 3000)
        assert (event["status"], event["error"]["type"]) == (413, "invalid_request_error")
        assert await socket.closed() == 1009
        await socket.leave()
    assert len(p.requests) == 1


async def test_a_big_message_passes() -> None:
    text = "x" * 20_000_000
    async with plane(native(), Natively()) as p, connected(p) as socket:
        assert (await socket.turn(text))["type"] == "response.completed"
    assert json.loads(p.requests[0].content)["input"] == text


async def test_many_sockets_leave_nothing() -> None:
    async with plane(chat_only(), Endless()) as p:
        sockets = [Socket(p) for _ in range(50)]
        for socket in sockets:
            await socket.wire.connect(LIMIT)
            await _started(socket)
        assert p.gateway.active == 50
        for socket in sockets:
            await socket.leave()
        assert p.gateway.active == 0 and p.gateway.budget.held == 0
    assert {row.error_kind for row in p.rows} == {"cancelled"} and len(p.rows) == 50
