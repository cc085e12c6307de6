"""A gateway before the scripted upstream, and what the official SDKs make of its replies."""

from __future__ import annotations

from functools import cache
from typing import Any

import anthropic
import openai
from google.genai import errors as gemini_errors

from tests import sdks
from tests.live import KEY, TENANT, Upstream
from tests.recordings import Json

HASTE = 1.0  # seconds that some providers are given
SECRET = "sk-upstream-secret-of-the-translation-tests"
KINDS = {
    "messages": "anthropic-compatible",
    "chat": "openai-compatible",
    "generate": "gemini-compatible",
    "ollama": "ollama",
}


def provider(name: str, api: str, upstream: Upstream, **more: Any) -> Json:
    base = upstream.origin + ("/v1" if api == "chat" else "")
    made = {"name": name, "kind": KINDS[api], "base_url": base, "apis": [api], "max_retries": 0}
    return {**made, **({} if api == "ollama" else {"api_key": SECRET}), **more}


def config(upstream: Upstream) -> Json:
    """``API-*`` goes to that API; what never answers, or stalls, to a provider with little patience. ``over-*`` tries one
    dialect after the other."""
    hasty = {"first_byte_timeout": HASTE, "idle_timeout": HASTE}
    providers, routes = [], []
    for api in KINDS:
        providers += [provider(api, api, upstream), provider(f"{api}-hasty", api, upstream, **hasty)]
        routes.append({"model": f"{api}-*", "targets": [{"provider": api}]})
        routes += [{"model": f"{api}-{b}*", "targets": [{"provider": f"{api}-hasty"}]} for b in ("silent", "stall")]
    for fault, provider_name in (("busy", "messages"), ("dead", "generate"), ("silent", "ollama-hasty")):
        api = provider_name.partition("-")[0]
        first = {"provider": provider_name, "model": f"{api}-{fault}-over", "priority": 0}
        second = {"provider": "chat", "model": "chat-plain-over", "priority": 1}
        routes.append({"model": f"over-{fault}", "targets": [first, second]})
    tenants = [{"name": TENANT, "keys": [{"name": "live", "key": KEY}]}]
    return {"version": 1, "providers": providers, "routes": routes, "tenants": tenants}


# ---------------------------------------------------------------- the SDKs

Told = tuple[str, int, int]


def ask(client: str, origin: str, model: str) -> Told:
    """The text and usage of a whole reply."""
    match client:
        case "chat":
            chat = sdk("openai", origin).chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hi"}]
            )
            return chat.choices[0].message.content, chat.usage.prompt_tokens, chat.usage.completion_tokens
        case "responses":
            response = sdk("openai", origin).responses.create(model=model, input="hi", store=False)
            return response.output_text, response.usage.input_tokens, response.usage.output_tokens
        case "messages":
            message = sdk("anthropic", origin).messages.create(
                model=model, max_tokens=99, messages=[{"role": "user", "content": "hi"}]
            )
            return message.content[0].text, message.usage.input_tokens, message.usage.output_tokens
    found = sdk("gemini", origin).models.generate_content(model=model, contents="hi")
    return found.text, found.usage_metadata.prompt_token_count, found.usage_metadata.candidates_token_count


def streamed(client: str, origin: str, model: str) -> Told:
    """The text of a stream, put together, and its usage."""
    text = ""
    last: Any = None
    match client:
        case "chat":
            asked: Json = {"model": model, "stream_options": {"include_usage": True}, "stream": True}
            for chunk in sdk("openai", origin).chat.completions.create(
                messages=[{"role": "user", "content": "hi"}], **asked
            ):
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
                last = chunk.usage or last
            return text, last.prompt_tokens, last.completion_tokens
        case "responses":
            for event in sdk("openai", origin).responses.create(model=model, input="hi", store=False, stream=True):
                text += event.delta if event.type == "response.output_text.delta" else ""
                last = event
            assert last.type == "response.completed" and last.response.output_text == text
            return text, last.response.usage.input_tokens, last.response.usage.output_tokens
        case "messages":
            messages = [{"role": "user", "content": "hi"}]
            with sdk("anthropic", origin).messages.stream(model=model, max_tokens=99, messages=messages) as stream:
                text = "".join(stream.text_stream)
                final = stream.get_final_message()
            assert final.content[0].text == text
            return text, final.usage.input_tokens, final.usage.output_tokens
    for chunk in sdk("gemini", origin).models.generate_content_stream(model=model, contents="hi"):
        text += chunk.text or ""
        last = chunk.usage_metadata or last
    return text, last.prompt_token_count, last.candidates_token_count


@cache
def sdk(dialect: str, origin: str) -> Any:
    return sdks.client(dialect, origin, False)


def status_of(error: Any) -> int:
    return int(error.code if isinstance(error, gemini_errors.APIError) else error.status_code)


ERRORS = (openai.APIStatusError, anthropic.APIStatusError, gemini_errors.APIError)
