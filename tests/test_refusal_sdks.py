"""What the official SDKs, with the retries that they have by default, make of a budget that is used up and of a limit."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types as gemini

from routing.table import Table
from tenants.leases import Counter, Trailing
from tenants.terms import Rule
from tests.inprocess import KEY, route, table, upstream
from tests.money import MODEL, budget, site
from tests.socketed import Write, site_of
from tests.translated_upstream import APIS
from tests.upstreams import Request, send_json

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # google-genai's
]
TINY = 1_000
"""Nano-dollars: less than any request may cost."""
SOON = 30.0
"""Seconds: an SDK that tried again as often as it likes, and slept in between, would not be slower; calls are counted."""
USER: Any = [{"role": "user", "content": "hi"}]
ERRORS = (openai.RateLimitError, anthropic.RateLimitError, gemini_errors.ClientError)


def _openai(origin: str) -> Any:
    return openai.OpenAI(api_key=KEY, base_url=f"{origin}/v1")


def _anthropic(origin: str) -> Any:
    return anthropic.Anthropic(api_key=KEY, base_url=origin)


def _gemini(origin: str, **options: Any) -> Any:
    return genai.Client(api_key=KEY, http_options=gemini.HttpOptions(base_url=origin, **options))


def chat(origin: str, **more: Any) -> Any:
    with _openai(origin) as client:
        return client.chat.completions.create(model=MODEL, messages=USER, max_tokens=50, **more)


def responses(origin: str, **more: Any) -> Any:
    with _openai(origin) as client:
        return client.responses.create(model=MODEL, input="hi", max_output_tokens=50, store=False, **more)


def completions(origin: str, **more: Any) -> Any:
    with _openai(origin) as client:
        return client.completions.create(model=MODEL, prompt="hi", max_tokens=50, **more)


def embeddings(origin: str) -> Any:
    with _openai(origin) as client:
        return client.embeddings.create(model=MODEL, input="hi")


def messages(origin: str, **more: Any) -> Any:
    with _anthropic(origin) as client:
        return client.messages.create(model=MODEL, messages=USER, max_tokens=50, **more)


def streamed_messages(origin: str) -> Any:
    with _anthropic(origin) as client, client.messages.stream(model=MODEL, messages=USER, max_tokens=50) as stream:
        return stream.get_final_message()


def generate(origin: str) -> Any:
    with closing(_gemini(origin)) as client:
        return client.models.generate_content(model=MODEL, contents="hi")


def streamed_generate(origin: str) -> Any:
    with closing(_gemini(origin)) as client:
        return list(client.models.generate_content_stream(model=MODEL, contents="hi"))


def _streamed(ask: Callable[..., Any]) -> Callable[[str], Any]:
    """It is refused before there is a stream."""

    def asking(origin: str) -> Any:
        return list(ask(origin, stream=True))

    asking.__name__ = f"{ask.__name__}, streamed"
    return asking


async def chat_async(origin: str) -> Any:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{origin}/v1") as client:
        return await client.chat.completions.create(model=MODEL, messages=USER, max_tokens=50)


async def messages_async(origin: str) -> Any:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=origin) as client:
        return await client.messages.create(model=MODEL, messages=USER, max_tokens=50)


async def generate_async(origin: str) -> Any:
    async with _gemini(origin).aio as client:
        return await client.models.generate_content(model=MODEL, contents="hi")


WHOLE = [chat, responses, completions, embeddings, messages, generate]
STREAMED = [*map(_streamed, (chat, responses, completions, messages)), streamed_messages, streamed_generate]
CALLS = [*WHOLE, *STREAMED, chat_async, messages_async, generate_async]


async def asking(ask: Callable[[str], Any], origin: str) -> Any:
    return await ask(origin) if asyncio.iscoroutinefunction(ask) else await asyncio.to_thread(ask, origin)


def at(*rules: Rule) -> Callable[[str], Table]:
    """A site whose upstream has every API."""

    def made_at(base: str) -> Table:
        apis = frozenset({"chat", "responses", "completions", "embeddings", "messages", "generate"})
        return site(*rules, made=table(route(MODEL, upstream(base_url=base, apis=apis))))

    return made_at


async def never(_: Request, write: Write) -> bool:
    raise AssertionError("the upstream was called")


async def ok(request: Request, write: Write) -> bool:
    whole = next((api.whole("hello") for part, api in APIS.items() if part in request.target))
    await send_json(200, json.dumps(whole).encode(), write)
    return True


def words(error: Any) -> str:
    return str(error.message or error)


@pytest.mark.parametrize("ask", CALLS, ids=lambda ask: ask.__name__)
async def test_a_budget_that_is_used_up_is_an_exception_after_one_call(ask: Callable[[str], Any]) -> None:
    async with site_of(at(budget(TINY)), never) as running:
        began = time.monotonic()
        with pytest.raises(ERRORS) as raised:
            await asking(ask, running.origin)
        took = time.monotonic() - began
        rows = running.running.rows
        assert [(row.error_kind, row.status, row.cost) for row in rows] == [("budget", 429, 0)]
        assert not running.upstream.requests and took < SOON
        error = raised.value
        assert "budget b1.1" in words(error) and "It renews at 20" in words(error)
        if isinstance(error, openai.RateLimitError):
            assert error.code == "insufficient_quota"
        print(f"\n{ask.__name__}: {type(error).__module__.partition('.')[0]} raised after {took * 1_000:.0f} ms")


async def test_the_refusal_says_that_trying_again_is_no_use() -> None:
    async with site_of(at(budget(TINY)), never) as running:
        with pytest.raises(openai.RateLimitError) as raised:
            await asking(chat, running.origin)
        headers = raised.value.response.headers
        assert headers["x-should-retry"] == "false" and headers["x-gateway-error"] == "budget"


def shortly(cap: int) -> Rule:
    """So many requests in any second."""
    return Rule(Counter("requests.k11", cap, Trailing(1), "requests"), title="requests of the key")


def patient(origin: str) -> Any:
    """Google's SDK tries again only where it is told how often."""
    options = gemini.HttpRetryOptions(attempts=5, initial_delay=1.0)
    with closing(_gemini(origin, retry_options=options)) as client:
        return client.models.generate_content(model=MODEL, contents="hi")


def patiently_streamed(origin: str) -> Any:
    with _openai(origin) as client:
        made = client.chat.completions.with_streaming_response.create(model=MODEL, messages=USER, max_tokens=50)
        with made as reply:
            return json.loads(reply.read())


@pytest.mark.parametrize("ask", [chat, patiently_streamed, messages, patient, chat_async, messages_async])
async def test_a_limit_is_waited_for(ask: Callable[[str], Any]) -> None:
    """The SDKs sleep as long as they are told, and then get their answer."""
    async with site_of(at(shortly(1)), ok) as running:
        await asking(chat, running.origin)
        began = time.monotonic()
        assert await asking(ask, running.origin)
        kinds = [row.error_kind for row in running.running.rows]
        refused = kinds.count("rate_limit")
        assert kinds == ["", *["rate_limit"] * refused, ""] and len(running.upstream.requests) == 2
        print(f"\n{ask.__name__}: refused {refused} times, answered after {time.monotonic() - began:.1f} s")


async def test_a_limit_says_when() -> None:
    async with site_of(at(shortly(1)), ok) as running:
        await asking(chat, running.origin)
        with pytest.raises(openai.RateLimitError) as raised:
            await asking(_once, running.origin)
        assert int(raised.value.response.headers["retry-after"]) == 1
        assert raised.value.code == "rate_limit_exceeded" and "requests of the key" in words(raised.value)


def _once(origin: str) -> Any:
    with _openai(origin).with_options(max_retries=0) as client:
        return client.chat.completions.create(model=MODEL, messages=USER, max_tokens=50)
