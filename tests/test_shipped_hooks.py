"""The shipped hooks but Redact and BlockSecrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from providers.sse import Parser
from routing.call import Call
from routing.errors import GatewayError
from routing.hooks import (
    HookCall,
    HookReply,
    Hooks,
    Identity,
    Means,
    Refusal,
    read_options,
)
from routing.shipped.inject import Inject
from routing.shipped.moderate import Moderate
from routing.shipped.request_log import Record, RequestLog
from routing.shipped.webhook_auth import WebhookAuth
from tenants.ledger import Entry
from tests.hook_calls import BODY, begin, raw_call

RAW = b': comment\n\nid: 7\ndata: {"a": 1}\n\ndata: two\ndata: lines\n\nevent: x\ndata: end\n\n'


@pytest.mark.parametrize(
    ("api", "before", "after"),
    [
        ("chat", b'{ "messages": [ {"a":1} ], "model":"m"}', b'{ "messages": [{"role":"system","content":"BE"}, {"a":1} ], "model":"m"}'),
        ("chat", b'{"messages": [ ]}', b'{"messages": [{"role":"system","content":"BE"} ]}'),
        ("chat", b'{"x":{"messages":[1]},"messages":[1]}', b'{"x":{"messages":[1]},"messages":[{"role":"system","content":"BE"},1]}'),
        ("responses", b'{ "input":"hi"}', b'{"instructions":"BE", "input":"hi"}'),
        ("responses", b'{"instructions" : "Do", "input":"hi"}', b'{"instructions" : "BE\\n\\nDo", "input":"hi"}'),
        ("responses", b'{"instructions":null}', b'{"instructions":"BE"}'),
        ("messages", b'{"messages":[]}', b'{"system":"BE","messages":[]}'),
        ("messages", b'{"system":"Do"}', b'{"system":"BE\\n\\nDo"}'),
        ("messages", b'{"system":[ {"text":"Do"}]}', b'{"system":[{"type":"text","text":"BE"}, {"text":"Do"}]}'),
        ("generate", b'{"contents":[]}', b'{"systemInstruction":{"parts":[{"text":"BE"}]},"contents":[]}'),
        ("generate", b'{"system_instruction":{"parts": [{"text":"Do"}]}}', b'{"system_instruction":{"parts": [{"text":"BE"},{"text":"Do"}]}}'),
        ("generate", b'{"generateContentRequest": {"contents" : []}}', b'{"generateContentRequest": {"systemInstruction":{"parts":[{"text":"BE"}]},"contents" : []}}'),
    ],
)  # fmt: skip
def test_inject_changes_no_other_byte(api: str, before: bytes, after: bytes) -> None:
    call = raw_call(before, api)
    begin(Inject(Inject.Options("BE"), Means()), call)
    assert call.body == after and call.doc == orjson.loads(after)


def test_inject_leaves_other_endpoints_alone() -> None:
    call = raw_call(b'{"model":"m","prompt":"a cat"}', "images")
    begin(Inject(Inject.Options("BE"), Means()), call)
    assert call.body == b'{"model":"m","prompt":"a cat"}'


def moderate(result: dict[str, Any], **options: Any) -> tuple[Moderate, list[Any]]:
    asked: list[Any] = []

    async def ask(endpoint: str, doc: dict[str, Any]) -> Any:
        asked.append((endpoint, doc))
        return {"results": [result]}

    return Moderate(read_options(Moderate.Options, {"model": "mod", **options}), Means(ask=ask)), asked


RESULT = {"flagged": False, "categories": {"hate": True, "spam": False}, "category_scores": {"hate": 0.7, "spam": 0.1}}


@pytest.mark.parametrize(
    ("options", "flagged", "refused"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"categories": ["hate"]}, False, True),
        ({"categories": ["spam", "unknown"]}, True, False),
        ({"threshold": 0.8}, True, False),
        ({"threshold": 0.6}, False, True),
        ({"threshold": 0.6, "categories": ["spam"]}, True, False),
    ],
)
def test_moderate_refuses_what_is_flagged(options: dict[str, Any], flagged: bool, refused: bool) -> None:
    hook, _ = moderate({**RESULT, "flagged": flagged}, **options)
    if not refused:
        assert begin(hook, raw_call()) is None
        return
    with pytest.raises(Refusal) as error:
        begin(hook, raw_call())
    assert error.value.code == "content_policy_violation"


def test_moderate_asks_about_the_last_turn_or_all() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"one"},{"role":"user","content":[{"type":"text","text":"two"}]}],"user":"u"}'
    for look_at, texts in (("last", ["two"]), ("all", ["one", "two", "u"])):
        hook, asked = moderate(RESULT, look_at=look_at)
        begin(hook, raw_call(body))
        assert asked == [("moderations", {"model": "mod", "input": texts})]


def test_moderate_that_cannot_ask_lets_nothing_pass() -> None:
    with pytest.raises(GatewayError) as error:
        begin(Moderate(Moderate.Options("mod"), Means()), raw_call(), report=lambda *facts: None)
    assert error.value.code == "hook_failed"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def webhook(*answers: tuple[int, Any], **options: Any) -> tuple[WebhookAuth, list[Any], Clock]:
    posted: list[Any] = []
    left, clock = list(answers), Clock()

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        posted.append((url, dict(headers), orjson.loads(body)))
        await asyncio.sleep(0)
        status, doc = left.pop(0)
        return status, orjson.dumps(doc)

    found = read_options(WebhookAuth.Options, {"url": "https://auth.example/", **options})
    return WebhookAuth(found, Means(post=post, clock=clock)), posted, clock


HEADERS = [(b"authorization", b"Bearer abc"), (b"cookie", b"no")]
YES: tuple[int, Any] = (200, {"tenant": "acme", "key": "k", "models": ["m"]})
NO: tuple[int, Any] = (401, {})


def test_webhook_auth_remembers_for_a_time() -> None:
    hook, posted, clock = webhook(YES, NO, NO, YES, secret="s", ttl=60, negative_ttl=10)

    async def story() -> None:
        known = Identity("acme", "k", models=("m",))
        for now, expected, asked in (
            (0, known, 1),
            (59, known, 1),
            (60, None, 2),
            (69, None, 2),
            (70, None, 3),
            (80, known, 4),
        ):
            clock.now = now
            assert (await hook.authenticate(HEADERS), len(posted)) == (expected, asked)

    asyncio.run(story())
    assert posted[0] == (
        "https://auth.example/",
        {"content-type": "application/json", "authorization": "Bearer s"},
        {"headers": {"authorization": "Bearer abc"}},
    )
    assert b"abc" not in b"".join(hook._known)


def test_webhook_auth_asks_once_for_many() -> None:
    hook, posted, _ = webhook(YES)

    async def story() -> None:
        tasks = [asyncio.ensure_future(hook.authenticate(HEADERS)) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError) and {each.tenant for each in found[1:]} == {"acme"}  # type: ignore[union-attr]

    asyncio.run(story())
    assert len(posted) == 1 and not hook._asked


@pytest.mark.parametrize(
    "answer", [(500, {}), (200, {}), (200, []), (200, {"tenant": 3}), (200, {"tenant": "t", "models": "m"}), (302, {})]
)
def test_webhook_auth_that_fails_remembers_nothing(answer: tuple[int, Any]) -> None:
    hook, posted, _ = webhook(answer, answer)
    hooks = Hooks(made=[hook], report=lambda *facts: None)
    for _ in range(2):
        with pytest.raises(GatewayError):
            asyncio.run(hooks.identify(HEADERS, "r"))
    assert len(posted) == 2


def test_webhook_auth_is_bounded_and_needs_a_header() -> None:
    hook, posted, _ = webhook(*[YES] * 20, remembered=5)

    async def story() -> None:
        assert await hook.authenticate([(b"cookie", b"x")]) is None
        for n in range(20):
            await hook.authenticate([(b"x-api-key", b"%d" % n)])

    asyncio.run(story())
    assert len(hook._known) == 5 and len(posted) == 20


def logged(call: Call, story: Callable[[Hooks, HookCall], Any], **options: Any) -> list[Record]:
    kept: list[Record] = []
    hooks = Hooks(made=[RequestLog(read_options(RequestLog.Options, options), Means(keep=kept.append))])

    async def run() -> None:
        seen = HookCall(call)
        await hooks.begin(seen, lambda: None)
        await story(hooks, seen)

    asyncio.run(run())
    return kept


async def whole(hooks: Hooks, call: HookCall) -> None:
    await hooks.end(call, HookReply(200, False, b'{"a":1}'), Entry())


async def streamed(hooks: Hooks, call: HookCall) -> None:
    stream = hooks.stream(call, raw=True)
    assert stream is not None
    found = await stream.feed(Parser().feed(RAW))
    assert b"".join(event.raw for event in found) == RAW
    await hooks.end(call, HookReply(200, True), Entry())


async def failed(hooks: Hooks, call: HookCall) -> None:
    await hooks.fail(call, GatewayError("timeout", "Too long."))


def test_request_log_keeps_what_passed() -> None:
    [record] = logged(raw_call(), whole)
    assert (record.request, record.reply, record.status, record.cut, record.tenant_id) == (BODY, b'{"a":1}', 200, [], 1)
    [record] = logged(raw_call(), streamed)
    assert record.reply == RAW.removeprefix(b": comment\n\n") and record.cut == []
    [record] = logged(raw_call(), failed)
    assert (record.status, record.error, record.reply) == (504, "timeout: Too long.", b"")
    [record] = logged(raw_call(), streamed, max_bytes=30)
    assert (len(record.request), len(record.reply), record.cut) == (30, 30, ["request", "reply"])
    [record] = logged(raw_call(), streamed, replies=False)
    assert record.reply == b"" and record.cut == []
    assert logged(raw_call(), whole, share=0) == []
