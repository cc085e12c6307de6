"""Credentials that are refused rest while the others carry on; targets that stand in for one kind of refusal only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from providers.upstream import Credential
from routing.conditions import read_conditions
from routing.table import Target
from tests.faulty_words import Api, Chat, Generate, Messages, Responses
from tests.inprocess import Plane, route, table, upstream
from tests.simulated import Reply, Script, ask, given, now, ok, run, simulated, status

KEYS = ("ann", "bob", "cat")
REFUSED = [(401, "retry_after"), (403, "retry_after"), (429, "retry_after"), (429, "x_ratelimit_reset_requests")]


def keyed(*names: str, **changes: Any) -> Any:
    """A provider with these keys."""
    made = [Credential(n, (b"authorization", f"Bearer {name}".encode()), name) for n, name in enumerate(names, 1)]
    return upstream(1, "up", credentials=tuple(made), max_retries=0, **changes)


class Accounts:
    """An upstream that knows who asks. ``bad`` are the replies to those that it refuses."""

    def __init__(self, **bad: Reply) -> None:
        self.bad = bad
        self.asked: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.headers["authorization"].removeprefix("Bearer ")
        self.asked.append(name)
        return await given(self.bad.get(name, ok), request)


async def asked_by(accounts: Accounts, p: Plane, count: int, code: int = 200) -> list[str]:
    """Whose keys are used for so many requests."""
    before = len(accounts.asked)
    for _ in range(count):
        assert (await ask(p)).status_code == code
    return accounts.asked[before:]


@pytest.mark.parametrize(("code", "header"), REFUSED)
def test_the_others_carry_on_while_one_rests(code: int, header: str) -> None:
    async def story() -> None:
        accounts = Accounts(ann=status(code, **{header: "30"}))
        async with simulated(table(route("gpt", keyed(*KEYS))), accounts) as p:
            first = await asked_by(accounts, p, 60)
            assert first.count("ann") == 1 and min(first.count(name) for name in ("bob", "cat")) > 15
            [tried] = [row for row in p.rows if row.attempts > 1]
            assert (tried.attempts, tried.status, tried.error_kind) == (2, 200, "") and now() < 1
            await asyncio.sleep(31)
            accounts.bad = {}
            again = await asked_by(accounts, p, 60)
            assert min(again.count(name) for name in KEYS) > 8

    run(story)


@pytest.mark.parametrize(
    ("code", "status_seen", "kind"), [(401, 502, "server_error"), (403, 502, "server_error"), (429, 429, "rate_limit")]
)
def test_where_all_rest_nobody_is_asked(code: int, status_seen: int, kind: str) -> None:
    """A 403 may be about the request: it keeps nobody from asking once more."""

    async def story() -> None:
        refuse = status(code, retry_after="30")
        accounts = Accounts(ann=refuse, bob=refuse)
        async with simulated(table(route("gpt", keyed("ann", "bob"))), accounts) as p:
            assert sorted(await asked_by(accounts, p, 1, status_seen)) == ["ann", "bob"]
            if code != 403:
                assert await asked_by(accounts, p, 5, status_seen) == []
                answer = await ask(p)
                assert answer.headers["x-gateway-error"] == kind and "rest" in p.rows[-1].decision
                assert ("retry-after" in answer.headers) is (code == 429)
                assert 25 <= int(answer.headers.get("retry-after", 30)) <= 30
                assert (p.rows[-1].status, p.rows[-1].error_kind, p.rows[-1].attempts) == (status_seen, kind, 0)
            accounts.bad = {}
            await asyncio.sleep(31)
            assert len(await asked_by(accounts, p, 5)) == 5

    run(story)


@pytest.mark.parametrize("code", [401, 403, 429])
def test_where_all_rest_the_next_target_is_asked(code: int) -> None:
    async def story() -> None:
        refuse = status(code, retry_after="30")
        accounts = Accounts(ann=refuse, bob=refuse)
        other = upstream(2, "other", credentials=(Credential(9, (b"authorization", b"Bearer other"), "other"),))
        targets = Target(1, keyed("ann", "bob")), Target(2, other, priority=1)
        async with simulated(table(route("gpt", *targets)), accounts) as p:
            first = await asked_by(accounts, p, 1)
            assert sorted(first) == ["ann", "bob", "other"] and first[-1] == "other"
            assert await asked_by(accounts, p, 20) == ["other"] * 20
            assert {row.provider for row in p.rows} == {"other"}
            accounts.bad = {}
            await asyncio.sleep(61)
            assert "other" not in await asked_by(accounts, p, 20)

    run(story)


def test_a_limit_that_tells_no_time_closes_nothing() -> None:
    """What is over in a second would else cost a minute."""

    async def story() -> None:
        accounts = Accounts(ann=status(429))
        async with simulated(table(route("gpt", keyed("ann"))), accounts) as p:
            assert await asked_by(accounts, p, 3, 429) == ["ann"] * 3
            accounts.bad = {}
            assert await asked_by(accounts, p, 3) == ["ann"] * 3

    run(story)


# ---------------------------------------------------------------- standing in

PATHS = {
    "chat": ("/v1/chat/completions", {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}),
    "messages": ("/v1/messages", {"model": "gpt", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
    "responses": ("/v1/responses", {"model": "gpt", "input": "hi", "store": False}),
    "generate": ("/v1beta/models/gpt:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
}
STREAMED = "/v1beta/models/gpt:streamGenerateContent?alt=sse"
WORDS: dict[str, type[Api]] = {"chat": Chat, "messages": Messages, "generate": Generate, "responses": Responses}
Said = tuple[int, Any]


def refused(api: str, message: str, code: str | None = None) -> Said:
    error: dict[str, Any] = {"message": message, "type": "invalid_request_error", "code": code}
    if api == "generate":
        error = {"message": message, "code": 400, "status": "INVALID_ARGUMENT"}
    return 400, {"type": "error", "error": error} if api == "messages" else {"error": error}


TOO_LONG: dict[str, list[Said]] = {
    "chat": [refused("chat", "This model's maximum context length is 8192 tokens.", "context_length_exceeded")],
    "responses": [
        refused("responses", "Your input exceeds the context window of this model.", "context_length_exceeded")
    ],
    "messages": [refused("messages", "prompt is too long: 200001 tokens > 200000 maximum")],
    "generate": [refused("generate", "The input token count (1200000) exceeds the maximum number of tokens allowed.")],
}
INCOMPLETE = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}
BAD_WORDS: dict[str, list[Said]] = {
    "chat": [
        refused("chat", "The response was filtered.", "content_filter"),
        refused("chat", "Your request was rejected by our safety system.", "content_policy_violation"),
        (
            200,
            {
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}
                ]
            },
        ),
    ],
    "responses": [
        refused("responses", "Your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
        (200, {**Responses.response, **INCOMPLETE}),
    ],
    "messages": [
        refused("messages", "Output blocked by content filtering policy"),
        (200, {**Messages.message, "content": [], "stop_reason": "refusal", "usage": Messages.usage}),
    ],
    "generate": [
        (200, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}),
        (200, {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": {"promptTokenCount": 7}}),
    ],
}
CASES = [
    (reason, client, api, said)
    for reason, found in (("context_length", TOO_LONG), ("content_policy", BAD_WORDS))
    for api, each in found.items()
    for said in each
    for client in dict.fromkeys((api, "chat", "messages"))
]


def spare(api: str, reason: str) -> Any:
    apis = frozenset({api})
    targets = [
        Target(1, upstream(1, "up", apis=apis, max_retries=0)),
        Target(2, upstream(2, "spare", apis=apis, max_retries=0), fallback_for=reason),
        Target(3, upstream(3, "other", apis=apis, max_retries=0), priority=1),
    ]
    return table(route("gpt", *targets))


def good(api: str) -> Reply:
    return lambda request: httpx.Response(200, json=WORDS[api]().whole("well said"))


async def ask_as(p: Plane, client: str) -> httpx.Response:
    path, body = PATHS[client]
    return await p.client.post(path, json=body)


@pytest.mark.parametrize(("reason", "client", "api", "said"), CASES)
def test_a_refusal_goes_to_who_stands_in_for_it(reason: str, client: str, api: str, said: Said) -> None:
    async def story() -> None:
        for stands_in in (reason, "both"):
            script = Script(up=status(*said), spare=good(api), other=good(api))
            async with simulated(spare(api, stands_in), script) as p:
                answer = await ask_as(p, client)
                assert answer.status_code == 200 and "well said" in answer.text
                assert script.counts() == {"up": 1, "spare": 1}
                (row,) = [row for row in p.rows if row.kind == "charge"]  # what was refused may have its cost, too
                assert (row.provider, row.attempts, row.error_kind) == ("spare", 2, "")

    run(story)


@pytest.mark.parametrize(("reason", "client", "api", "said"), CASES)
def test_and_to_nobody_who_stands_in_for_another(reason: str, client: str, api: str, said: Said) -> None:
    async def story() -> None:
        script = Script(up=status(*said), spare=good(api), other=good(api))
        async with simulated(spare(api, ({"context_length", "content_policy"} - {reason}).pop()), script) as p:
            answer = await ask_as(p, client)
            assert answer.status_code == said[0] and "well said" not in answer.text
            assert script.counts() == {"up": 1}
            if reason == "context_length" and client == "chat":
                assert answer.json()["error"]["code"] in ("context_length_exceeded", None if api == client else "")

    run(story)


OTHERS: dict[str, Reply] = {
    "good": ok,
    **{str(code): status(code) for code in (400, 404, 422, 429, 401, 500, 503)},
    "connection": httpx.ConnectError("no"),
}


@pytest.mark.parametrize("reply", OTHERS.values(), ids=OTHERS)
def test_it_gets_nothing_else(reply: Reply) -> None:
    async def story() -> None:
        for stream in (False, True):
            script = Script(up=reply, spare=ok, other=ok)
            async with simulated(spare("chat", "both"), script) as p:
                await ask(p, stream)
                assert script.counts()["up"] == 1 and "spare" not in script.counts()

    run(story)


@pytest.mark.parametrize("state", ["breaker", "alone"])
def test_it_is_no_one_to_turn_to_when_all_others_are_out(state: str) -> None:
    async def story() -> None:
        script = Script(up=ok, spare=ok)
        held = Target(1, upstream(1, "up", breaker="open"))
        stands_in = Target(2, upstream(2, "spare"), fallback_for="both")
        targets = [held, stands_in] if state == "breaker" else [stands_in]
        async with simulated(table(route("gpt", *targets)), script) as p:
            answer = await ask(p)
            assert answer.status_code == 503 and script.counts() == {}

    run(story)


def test_a_stream_that_is_refused_goes_there_too() -> None:
    filtered = {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
    refusals: list[Reply] = [
        status(*TOO_LONG["chat"][0]),
        lambda request: httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=f"data: {json.dumps(filtered)}\n\n"
        ),
    ]

    async def story() -> None:
        for refusal in refusals:
            script = Script(up=refusal, spare=ok)
            async with simulated(spare("chat", "both"), script) as p:
                answer = await ask(p, stream=True)
                assert answer.text.count("[DONE]") == 1 and '"ho"' in answer.text
                assert script.counts() == {"up": 1, "spare": 1}

    run(story)


@pytest.mark.parametrize("fallback", ["", "both"])
def test_what_no_usual_target_takes_is_refused_with_the_reasons(fallback: str) -> None:
    """Who stands in for refusals is not asked for what was never refused; to try again would be no use."""

    async def story() -> None:
        small = read_conditions({"max_input_bytes": 10})
        targets = [Target(1, upstream(1, "one"), conditions=small)]
        if fallback:
            targets.append(Target(2, upstream(2, "two"), fallback_for=fallback))
        async with simulated(table(route("gpt", *targets)), ok) as p:
            reply = await ask(p)
            error = reply.json()["error"]
            assert (reply.status_code, error["code"], error["param"]) == (400, "no_target", "model")
            assert "one: takes input of at most 10 bytes" in error["message"] and not p.requests

    run(story)
