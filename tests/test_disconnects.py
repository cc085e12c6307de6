"""Who leaves a stream, or breaks it off, and when: what the request is charged is what is declared. Over real sockets.

Declared: what was not sent upstream costs nothing. Of what nothing was seen, a hard budget is charged the bound, else the
input's estimate counts. In the middle, input and output so far: as the upstream told them, else estimated. What it has
told at its end is charged exactly, whether its terminator came or not. ``pytest -s`` prints the matrix.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from routing.table import Table
from routing.tap import Tap
from tenants.ledger import Entry
from tests.endless import KINDS, Completions, Responses, api, asked, event, made
from tests.money import DOLLAR, IN, OUT, budget, site
from tests.recordings import Json
from tests.socketed import Script, Site, Write, site_of, until
from tests.translated_upstream import INPUT_TOKENS, OUTPUT_TOKENS, Chat, Generate, Messages
from tests.upstreams import Request, framed, head_of
from tests.wire import Wire

pytestmark = pytest.mark.asyncio
STAGES = ("before headers", "before first byte", "mid-stream", "before terminator")
BUDGETS = {"none": (), "soft": (budget(DOLLAR, hard=False),), "hard": (budget(DOLLAR),)}
PAIRS = [*((name, name) for name in KINDS), ("chat", "messages"), ("messages", "generate"), ("generate", "chat")]
PAIRS += [("responses", "chat"), ("chat", "responses")]
WORDS = ["word " * 4, "word "]
TEXT = "".join(WORDS)
HEAD = head_of(200, {"content-type": "text/event-stream"}, None)
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _matrix() -> Iterator[None]:
    yield
    print("\n" + "\n".join(sorted(ROWS)))


def told(name: str) -> bytes:
    """The end of a reply of this API but for its terminator: all of its usage."""
    upstream = api(name)
    match upstream:
        case Chat():
            return upstream.end().removesuffix(b"data: [DONE]\n\n")
        case Messages():
            return upstream.end().rpartition(b"event: message_stop")[0]
        case Generate():
            return upstream.end()
        case Completions():
            choice = {"index": 0, "text": "", "finish_reason": "stop"}
            return event({"id": "c", "choices": [choice]}) + event({"id": "c", "choices": [], "usage": Chat.usage})
    assert isinstance(upstream, Responses)
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS, "total_tokens": 10}
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": usage}
    return event({"type": "response.completed", "sequence_number": 99, "response": response}, True)


def word(upstream: Any, text: str) -> bytes:
    """Gemini tells its usage with every chunk."""
    data: bytes = upstream.word(text)
    if isinstance(upstream, Generate):
        doc = json.loads(data[6:])
        return event({**doc, "usageMetadata": {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": 2}})
    return data


def script(name: str, stage: str, *, breaks: bool = False) -> Script:
    """Goes as far as ``stage`` and stops there; with ``breaks`` it breaks off."""

    async def answer(_: Request, write: Write) -> bool:
        upstream, at = api(name), STAGES.index(stage)
        if at > 0:
            await write(HEAD)
        if at > 1:
            await write(framed(upstream.start() + b"".join(word(upstream, text) for text in WORDS)))
        if at > 2:
            await write(framed(told(name)))
        if not breaks:
            await asyncio.Event().wait()
        return False

    return answer


def seen(running: Site, stage: str) -> bool:
    """Whether the gateway has what the upstream sends at ``stage``."""
    if STAGES.index(stage) < 2:
        return bool(running.upstream.requests)
    tap: Tap | None = next((call.tap for call in running.running.gateway.streams), None)
    if tap is None or tap.characters < len(TEXT):
        return False
    return stage == "mid-stream" or (tap.usage is not None and tap.usage.output_tokens == OUTPUT_TOKENS)


def request(client: str) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of a stream's request."""
    more = {"stream_options": {"include_usage": True}} if client in ("chat", "completions") else {}
    path, body, headers = asked(client, **more)
    return path, {**headers, "content-type": "application/json"}, json.dumps(body).encode()


async def leave(running: Site, client: str, stage: str) -> float:
    """Ask for a stream and hang up at ``stage``; milliseconds until the upstream was left too."""
    async with Wire.open(running.port) as wire:
        await wire.send("POST", *request(client))
        await until(lambda: seen(running, stage), stage)
        await asyncio.sleep(0.005)  # so that what was sent is taken in, where nothing can be seen of it
        wire.close()
        left = time.monotonic()
    await until(lambda: running.upstream.left and running.running.rows, "the upstream is left and the row is written")
    return (running.upstream.left - left) * 1_000


def counted(client: str, upstream: str, stage: str) -> tuple[int, int, bool]:
    """Input and output tokens by which a stream is charged that was left at ``stage``, and whether they are estimates."""
    body = request(client)[2]
    guess = -(-len(body) // 4)
    if stage == "before terminator":
        return INPUT_TOKENS, OUTPUT_TOKENS, False
    if stage != "mid-stream":
        return guess, 0, True
    if upstream == "generate":
        return INPUT_TOKENS, 2, False
    return INPUT_TOKENS if upstream == "messages" else guess, -(-len(TEXT) // 4), True


def check(row: Entry, running: Site, expected: tuple[int, int, bool], *, bound: bool) -> None:
    given, output, estimated = expected
    assert (row.input_tokens, row.output_tokens, row.estimated) == (given, output, estimated or bound)
    cost = given * IN + output * OUT
    assert row.cost == (max(row.bound or 0, cost) if bound else cost)
    running.bank.charged(running.running)
    assert running.bank.spent("b1.1") == (row.cost if row.bound is not None else 0)
    wallet = running.running.gateway.refills.wallet  # type: ignore[union-attr]
    assert all(not lease.reserved for lease in wallet)


def make(upstream: str, kind: str) -> Any:
    def made_at(base: str) -> Table:
        return site(*BUDGETS[kind], made=made(upstream, base_url=base))

    return made_at


@pytest.mark.parametrize("kind", BUDGETS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_who_leaves_is_charged_as_declared(client: str, upstream: str, kind: str) -> None:
    for stage in STAGES:
        async with site_of(make(upstream, kind), script(upstream, stage)) as running:
            took = await leave(running, client, stage)
            row = running.running.rows[0]
            # The Responses API's last event is its terminator.
            whole = client == upstream == "responses" and stage == "before terminator"
            outcome = ("", 200) if whole else ("cancelled", 499)
            assert (row.error_kind, row.status, len(running.upstream.requests)) == (*outcome, 1)
            nothing = STAGES.index(stage) < 2
            expected = counted(client, upstream, stage)
            if nothing and kind == "hard":
                expected = (row.input_tokens, 0, True)
            check(row, running, expected, bound=nothing and kind == "hard")
            _note(client, upstream, kind, stage, row, f"left after {took:.0f} ms")
            assert took < 2_000


DONE = b"data: [DONE]\n\n"
STOP = event({"type": "message_stop"}, True)
TERMINATED = {"chat": DONE, "completions": DONE, "messages": b"message_stop", "responses": b"response.completed"}


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("client", TERMINATED)
async def test_who_leaves_at_the_terminator_was_served(client: str, ends: bool) -> None:
    """As OpenAI's SDKs do. The end of the upstream's reply comes later, or never; if it comes, its connection is kept."""
    end = told(client) + {"chat": DONE, "completions": DONE, "messages": STOP}.get(client, b"")
    gone = asyncio.Event()

    async def answer(_: Request, write: Write) -> bool:
        upstream = api(client)
        words = b"".join(word(upstream, text) for text in WORDS)
        await write(HEAD + framed(upstream.start() + words) + framed(end))
        await gone.wait()
        if ends:
            await write(b"0\r\n\r\n")
        else:
            await asyncio.Event().wait()
        return True

    async with site_of(make(client, "hard"), answer) as running:
        clients = running.running.gateway.warden.clients
        for again in (False, True):
            gone.clear()
            async with Wire.open(running.port) as wire:
                await wire.send("POST", *request(client))
                _, headers = await wire.head()
                body = b""
                async for piece in wire.pieces(headers):
                    body += piece
                    if TERMINATED[client] in body:
                        break
            await until(lambda: all(one.gone for one in clients), "the gateway knows that the client has left")
            gone.set()
            await until(lambda: running.running.rows, "the row is written")
            row = running.running.rows[-1]
            assert (row.error_kind, row.status) == ("", 200)
            if not again:  # it takes the row away
                check(row, running, (INPUT_TOKENS, OUTPUT_TOKENS, False), bound=False)
        assert (len(running.upstream.open), running.upstream.left) == (1, 0) if ends else running.upstream.left


@pytest.mark.parametrize("kind", BUDGETS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_what_its_provider_breaks_off_is_charged_as_declared(client: str, upstream: str, kind: str) -> None:
    """Its provider's fault: a hard budget is charged the bound, unless all usage was told; else what was seen counts."""
    async with site_of(make(upstream, kind), script(upstream, "mid-stream", breaks=True)) as running:
        await answered(running, client)
        row = running.running.rows[0]
        assert (row.error_kind, row.status) == ("truncated", 502)
        check(row, running, counted(client, upstream, "mid-stream"), bound=kind == "hard")
        _note(client, upstream, kind, "broken mid-stream", row, "")
    async with site_of(make(upstream, kind), script(upstream, "before terminator", breaks=True)) as running:
        await answered(running, client)
        row = running.running.rows[0]
        # Of Gemini's stream only its end tells that nothing more comes, which its tap does not wait for.
        bound = kind == "hard" and upstream == "generate" != client
        check(row, running, counted(client, upstream, "before terminator"), bound=bound)
        _note(client, upstream, kind, "broken before terminator", row, "")


async def answered(running: Site, client: str) -> bytes:
    async with Wire.open(running.port) as wire:
        await wire.send("POST", *request(client))
        status, headers = await wire.head()
        assert status == 200
        body = b"".join([piece async for piece in wire.pieces(headers)])
    await until(lambda: running.running.rows, "the row is written")
    return body


def _note(client: str, upstream: str, kind: str, stage: str, row: Entry, more: str) -> None:
    cost = f"{row.input_tokens:>3} in {row.output_tokens:>3} out {row.cost or 0:>9,} nano-dollars"
    words = "estimated" if row.estimated else "told"
    ROWS.append(f"{client:<12} {upstream:<12} {kind:<5} {stage:<25} {cost}  {words:<10} {more}")


@pytest.mark.parametrize("kind", BUDGETS)
async def test_a_whole_reply_that_nobody_waits_for(kind: str) -> None:
    async with site_of(make("chat", kind), script("chat", "before headers")) as running:
        path, headers, body = request("chat")
        body = body.replace(b'"stream": true', b'"stream": false')
        async with Wire.open(running.port) as wire:
            await wire.send("POST", path, headers, body)
            await until(lambda: running.upstream.requests, "it has arrived")
            wire.close()
        await until(lambda: running.upstream.left and running.running.rows, "the upstream is left")
        row = running.running.rows[0]
        check(row, running, (-(-len(body) // 4), 0, True), bound=kind == "hard")


@pytest.mark.parametrize("kind", BUDGETS)
async def test_what_was_not_sent_costs_nothing(kind: str) -> None:
    """Half a body: the client leaves before there is anything to send."""
    async with site_of(make("chat", kind), script("chat", "before headers")) as running:
        path, headers, body = request("chat")
        async with Wire.open(running.port) as wire:
            await wire.send("POST", path, headers, body[:20], length=len(body))
            await until(lambda: running.running.gateway.active, "it has begun")
            wire.close()
        await until(lambda: running.running.rows, "the row is written")
        row = running.running.rows[0]
        assert (row.cost, row.attempts, running.upstream.requests) == (0, 0, [])


async def test_no_place_in_the_queue_costs_nothing() -> None:
    """The client leaves while it waits for another to end."""

    def made_at(base: str) -> Table:
        return site(budget(DOLLAR), made=made("chat", base_url=base, max_concurrent=1, queue_wait=60))

    async with site_of(made_at, script("chat", "before headers")) as running, Wire.open(running.port) as first:
        await first.send("POST", *request("chat"))
        await until(lambda: running.upstream.requests, "the first has arrived")
        async with Wire.open(running.port) as second:
            await second.send("POST", *request("chat"))
            await until(lambda: running.running.gateway.active == 2, "the second waits")
            await asyncio.sleep(0.05)
            second.close()
        await until(lambda: running.running.rows, "the row is written")
        row = running.running.rows[0]
        assert (row.cost, row.attempts, row.error_kind, len(running.upstream.requests)) == (0, 0, "cancelled", 1)
        assert not sum(row.charges.values())


MEDIA: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}


async def test_an_image_is_no_text() -> None:
    """Its 400 kB are not a hundred thousand tokens."""
    async with site_of(make("chat", "soft"), script("chat", "before headers")) as running:
        path, body, headers = asked("chat", messages=[{"role": "user", "content": [MEDIA]}])
        async with Wire.open(running.port) as wire:
            await wire.send("POST", path, {**headers, "content-type": "application/json"}, json.dumps(body).encode())
            await until(lambda: running.upstream.requests, "it has arrived")
            wire.close()
        await until(lambda: running.running.rows, "the row is written")
        assert 500 < running.running.rows[0].input_tokens < 5_000
