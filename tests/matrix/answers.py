"""The official SDKs over the gateway in this process: what each makes of a reply, or raises."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import anthropic
import httpx2
import openai
from google import genai
from google.genai import errors, types

from tests.inprocess import KEY
from tests.matrix import questions
from tests.matrix.lookup_openai import native, tokens
from tests.matrix.lookup_vendors import beside_cache, gemini_tokens
from tests.matrix.meaning import Asked, Told

# It warns of unknown finish reasons and of parts that are no text; the matrix reads the parts.
logging.getLogger("google_genai").setLevel(logging.ERROR)

Json = dict[str, Any]
ORIGIN = "http://gateway.test"
#: Of the reply's usage in Anthropic's words.
USAGE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(slots=True)
class Heard:
    """``pieces`` are the texts that a stream brought, ``ids`` those of the calls; ``told.finish`` is empty."""

    told: Told | None = None
    error: Exception | None = None
    pieces: str = ""
    ids: tuple[str, ...] = ()


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no gateway is set")


#: The application that all the SDKs send to. Google's client takes a quarter of a second to make: one is enough.
DOOR = httpx2.ASGITransport(app=_nowhere)


@cache
def sdk(name: str) -> Any:
    http = httpx2.AsyncClient(transport=DOOR, base_url=ORIGIN)
    if name == "messages":
        return anthropic.AsyncAnthropic(api_key=KEY, base_url=ORIGIN, max_retries=0, http_client=http)
    if name == "generate":
        options = types.HttpOptions(base_url=ORIGIN, httpx_async_client=http)
        return genai.Client(api_key=KEY, http_options=options).aio
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{ORIGIN}/v1", max_retries=0, http_client=http)


async def ask(client: str, app: Any, asked: Asked) -> Heard:
    """Never raises what the SDK raises."""
    heard = Heard()
    DOOR.app = app
    try:
        await ASK[client](asked, heard)
    except (openai.APIError, anthropic.APIError, errors.APIError) as error:
        heard.error = error
    return heard


# ---------------------------------------------------------------- chat completions


async def chat(asked: Asked, heard: Heard) -> None:
    found = await sdk("openai").chat.completions.create(**questions.chat(asked))
    if not asked.stream:
        choice = found.choices[0]
        said = choice.message
        calls = [(c.id, c.function.name, c.function.arguments) for c in said.tool_calls or ()]
        _chat_told(heard, said.content or "", _thoughts(said), said.refusal or "", calls, choice.finish_reason, found)
        return
    text = {"content": "", "refusal": "", "thinking": "", "finish": ""}
    calls = []
    usage: Any = None
    async for chunk in found:
        usage = chunk if chunk.usage else usage
        for choice in chunk.choices:
            heard.pieces += choice.delta.content or ""
            text["refusal"] += choice.delta.refusal or ""
            text["thinking"] += _thoughts(choice.delta)
            text["finish"] = choice.finish_reason or text["finish"]
            for call in choice.delta.tool_calls or ():
                _add(calls, call)
    _chat_told(heard, heard.pieces, text["thinking"], text["refusal"], calls, text["finish"], usage)


def _thoughts(said: Any) -> str:
    """Not OpenAI's own; the SDK keeps what it does not know."""
    return getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None) or ""


def _add(calls: list[tuple[str, str, str]], call: Any) -> None:
    if call.index == len(calls):
        calls.append((call.id, "", ""))
    call_id, name, arguments = calls[call.index]
    calls[call.index] = (call_id, name + (call.function.name or ""), arguments + (call.function.arguments or ""))


def _chat_told(heard: Heard, text: str, thinking: str, refusal: str, calls: list[Any], finish: str, reply: Any) -> None:
    heard.ids = tuple(call_id for call_id, _, _ in calls)
    made = tuple((name, _parsed(arguments)) for _, name, arguments in calls)
    usage = tokens(reply.usage.model_dump()) if reply and reply.usage else None
    heard.told = Told(text, made, "", finish, usage, thinking, refusal)


def _parsed(arguments: str) -> Any:
    return json.loads(arguments or "{}")


# ---------------------------------------------------------------- responses


async def responses(asked: Asked, heard: Heard) -> None:
    found = await sdk("openai").responses.create(**questions.responses(asked))
    if not asked.stream:
        _response_told(heard, found)
        return
    async for event in found:
        if event.type == "response.output_text.delta":
            heard.pieces += event.delta
        elif event.type in ("response.completed", "response.incomplete"):
            _response_told(heard, event.response)
        elif event.type == "response.failed":
            error = event.response.error
            heard.error = openai.APIError(error.message, None, body={"code": error.code})  # type: ignore[arg-type]
        elif event.type == "error":
            heard.error = openai.APIError(event.message, None, body={"code": event.code})  # type: ignore[arg-type]


def _response_told(heard: Heard, response: Any) -> None:
    thinking = refusal = ""
    calls = []
    for item in response.output:
        if item.type == "function_call":
            calls.append((item.call_id, item.name, _parsed(item.arguments)))
        elif item.type == "reasoning":
            thinking += "".join(part.text for part in [*(item.content or ()), *item.summary])
        elif item.type == "message":
            refusal += "".join(part.refusal for part in item.content if part.type == "refusal")
    heard.ids = tuple(call_id for call_id, _, _ in calls)
    made = tuple((name, arguments) for _, name, arguments in calls)
    doc = response.model_dump(warnings=False)
    heard.told = Told(response.output_text, made, "", native(doc), tokens(doc["usage"]), thinking, refusal)


# ---------------------------------------------------------------- messages


async def messages(asked: Asked, heard: Heard) -> None:
    client, given = sdk("messages"), questions.messages(asked)
    if not asked.stream:
        _message_told(heard, await client.messages.create(**given))
        return
    async with client.messages.stream(**given) as stream:
        async for text in stream.text_stream:
            heard.pieces += text
        _message_told(heard, await stream.get_final_message())


def _message_told(heard: Heard, message: Any) -> None:
    blocks = message.content
    heard.ids = tuple(block.id for block in blocks if block.type == "tool_use")
    usage = message.usage.model_dump(warnings=False)
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    heard.told = Told(
        "".join(block.text for block in blocks if block.type == "text"),
        tuple((block.name, block.input) for block in blocks if block.type == "tool_use"),
        "",
        message.stop_reason or "",
        beside_cache(usage, *USAGE, thought),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
    )


# ---------------------------------------------------------------- generate content


async def generate(asked: Asked, heard: Heard) -> None:
    client, given = sdk("generate"), questions.generate(asked)
    if not asked.stream:
        _chunks_told(heard, [await client.models.generate_content(**given)])
        return
    chunks = []
    async for chunk in await client.models.generate_content_stream(**given):
        chunks.append(chunk)
        heard.pieces += _texts([chunk], thought=False)
    _chunks_told(heard, chunks)


def _parts(chunks: list[Any]) -> list[Any]:
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or ()]
    return [part for candidate in candidates if candidate.content for part in candidate.content.parts or ()]


def _texts(chunks: list[Any], thought: bool) -> str:
    return "".join(part.text for part in _parts(chunks) if part.text and bool(part.thought) == thought)


def _chunks_told(heard: Heard, chunks: list[Any]) -> None:
    calls = [part.function_call for part in _parts(chunks) if part.function_call]
    reasons = [candidate.finish_reason for chunk in chunks for candidate in chunk.candidates or ()]
    reasons += [chunk.prompt_feedback.block_reason for chunk in chunks if chunk.prompt_feedback]
    usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    usage = usages[-1].model_dump(by_alias=True, warnings=False) if usages else {}
    heard.told = Told(
        _texts(chunks, thought=False),
        tuple((call.name, call.args or {}) for call in calls),
        "",
        next((reason.value for reason in reversed(reasons) if reason), ""),
        gemini_tokens(usage),
        _texts(chunks, thought=True),
    )


ASK: dict[str, Callable[[Asked, Heard], Any]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "generate": generate,
}
