"""The official SDKs, each asked for a recorded exchange; what they make of the reply is told as plain data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types as gemini

from tests.live import KEY, LIMIT
from tests.recordings import Json, Recording

# It warns of every field that is given both ways; giving the recorded body is the point here.
logging.getLogger("google_genai").setLevel(logging.ERROR)

Call = tuple[Callable[..., Any], Json]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``parts`` are the parsed objects in order (one if it was no stream); ``error`` what was raised after them."""

    parts: tuple[str, ...]
    error: Json | None

    @property
    def status(self) -> Any:
        return self.error["status"] if self.error else 200


def _split(body: Json, *named: str) -> Json:
    """Keyword arguments: the ``named`` fields as themselves, all others as the SDK's way for fields it may not know."""
    rest = {name: value for name, value in body.items() if name not in named}
    return {**{name: body[name] for name in named if name in body}, "extra_body": rest}


def openai_call(client: Any, recording: Recording) -> Call:
    body = {**recording.request_body, "model": recording.model}
    methods = {
        "openai.chat": client.chat.completions.create,
        "openai.responses": client.responses.create,
        "openai.completions": client.completions.create,
        "openai.embeddings": client.embeddings.create,
    }
    return methods[recording.api], _split(body, "model", "messages", "input", "prompt", "stream")


def anthropic_call(client: Any, recording: Recording) -> Call:
    body = {**recording.request_body, "model": recording.model}
    messages = client.beta.messages if "beta=true" in recording.query else client.messages
    if recording.api == "anthropic.count_tokens":
        return messages.count_tokens, _split(body, "model", "messages")
    # With a timeout of our own it lets long answers be asked for without a stream.
    return messages.create, {**_split(body, "model", "messages", "max_tokens", "stream"), "timeout": LIMIT}


def gemini_call(client: Any, recording: Recording) -> Call:
    action = recording.path.rpartition(":")[2]
    method, config = {
        "generateContent": (client.models.generate_content, gemini.GenerateContentConfig),
        "streamGenerateContent": (client.models.generate_content_stream, gemini.GenerateContentConfig),
        "countTokens": (client.models.count_tokens, gemini.CountTokensConfig),
        "batchEmbedContents": (client.models.embed_content, gemini.EmbedContentConfig),
    }[action]
    options = gemini.HttpOptions(extra_body=recording.body(recording.model))
    return method, {"model": recording.model, "contents": "replaced", "config": config(http_options=options)}


CALLS = {"openai": openai_call, "anthropic": anthropic_call, "gemini": gemini_call}


def client(dialect: str, origin: str, asynchronous: bool) -> Any:
    """An SDK's client with its address changed and nothing else, but that it must not try again."""
    if dialect == "gemini":
        made = genai.Client(api_key=KEY, http_options=gemini.HttpOptions(base_url=origin))
        return made.aio if asynchronous else made
    settings: Json = {"api_key": KEY, "max_retries": 0, "timeout": LIMIT}
    if dialect == "anthropic":
        kind: Any = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        return kind(base_url=origin, **settings)
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return kind(base_url=f"{origin}/v1", **settings)


def _told(found: Any) -> str:
    """A parsed object with all its fields, unknown ones too; without Gemini's note of the reply's headers."""
    return f"{type(found).__name__} {found.model_dump(warnings=False, exclude={'sdk_http_response'})!r}"


def _raised(error: Exception) -> Json:
    if isinstance(error, gemini_errors.APIError):
        return {"class": type(error).__name__, "status": error.code, "body": error.details, "text": str(error)}
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    return {"class": type(error).__name__, "status": status, "body": body, "text": str(error)}


def ask(client: Any, recording: Recording) -> Outcome:
    method, arguments = CALLS[recording.dialect](client, recording)
    parts: list[str] = []
    try:
        found = method(**arguments)
        for part in found if isinstance(found, (Iterator, openai.Stream, anthropic.Stream)) else [found]:
            parts.append(_told(part))  # noqa: PERF401  what came before an exception counts, too
    except Exception as error:
        return Outcome(tuple(parts), _raised(error))
    return Outcome(tuple(parts), None)


async def ask_async(client: Any, recording: Recording) -> Outcome:
    method, arguments = CALLS[recording.dialect](client, recording)
    parts: list[str] = []
    try:
        found = await method(**arguments)
        if isinstance(found, (AsyncIterator, openai.AsyncStream, anthropic.AsyncStream)):
            async for part in found:
                parts.append(_told(part))  # noqa: PERF401
        else:
            parts.append(_told(found))
    except Exception as error:
        return Outcome(tuple(parts), _raised(error))
    return Outcome(tuple(parts), None)


def outcomes(dialect: str, origin: str, recordings: list[Recording]) -> dict[str, Outcome]:
    """All ``recordings`` by the synchronous SDK, a few at a time."""
    asked = client(dialect, origin, asynchronous=False)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda recording: ask(asked, recording), recordings))
    asked.close()
    return {recording.id: outcome for recording, outcome in zip(recordings, found, strict=True)}


async def outcomes_async(dialect: str, origin: str, recordings: list[Recording]) -> dict[str, Outcome]:
    asked, places = client(dialect, origin, asynchronous=True), asyncio.Semaphore(8)

    async def one(recording: Recording) -> Outcome:
        async with places:
            return await ask_async(asked, recording)

    found = await asyncio.gather(*map(one, recordings))
    await (asked.aclose() if dialect == "gemini" else asked.close())
    return {recording.id: outcome for recording, outcome in zip(recordings, found, strict=True)}
