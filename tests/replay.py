"""A gateway configuration under which every recording can be asked for, and the ids that its requests name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.live import KEY, TENANT, Upstream
from tests.recordings import Json, Recording

#: The path under which each kind's API really lives; the upstream is asked for the same paths on loopback.
BASES = {
    "openai": "/v1",
    "azure-openai": "/openai/v1",
    "groq": "/openai/v1",
    "mistral": "/v1",
    "deepseek": "",
    "openrouter": "/api/v1",
    "xai": "/v1",
    "cerebras": "/v1",
    "perplexity": "",
    "voyage": "/v1",
    "ollama": "",
    "llama.cpp": "/v1",
    "openai-compatible": "/v1",
    "huggingface": "/v1",
    "anthropic": "",
    "anthropic-compatible": "",
    "gemini": "",
    "gemini-compatible": "",
}
#: Providers that are no preset of their own but one with a setting: this one tells the usage of a stream unasked.
SETTINGS: dict[str, Json] = {"huggingface": {"kind": "openai-compatible", "stream_usage": "native"}}
APIS = {"chat": "chat", "responses": "responses", "completions": "completions", "embeddings": "embeddings"}
API_OF_DIALECT = {"anthropic": "messages", "gemini": "generate"}
#: Fields with which some recorded clients chose providers; the routes of these tests let them through.
CHOOSING = ["models", "provider", "route", "plugins", "preset", "transforms"]
SECRET = "sk-upstream-secret-of-the-live-tests"


def api(recording: Recording) -> str:
    """The gateway's word for the upstream API of a recording."""
    return API_OF_DIALECT.get(recording.dialect) or APIS[recording.api.partition(".")[2]]


def _provider(kind: str, recordings: Iterable[Recording], upstream: Upstream) -> Json:
    apis = sorted({api(recording) for recording in recordings if recording.kind == kind})
    found: Json = {"name": kind, "kind": kind, "base_url": upstream.origin + BASES[kind], "api_key": SECRET}
    return {**found, "apis": apis or ["chat"], "max_retries": 0, "breaker": "closed", **SETTINGS.get(kind, {})}


def config(recordings: list[Recording], upstream: Upstream, renamed: Iterable[Recording] = ()) -> Json:
    """One provider and one pattern route per kind; ``renamed`` recordings are also to be had as ``ask-ID``."""
    kinds = sorted({recording.kind for recording in recordings} | {"openai"})
    routes: list[Json] = [{"model": f"rec-{kind}-*", "targets": [{"provider": kind}]} for kind in kinds]
    routes += [{"model": asked(one), "targets": [{"provider": one.kind, "model": one.model}]} for one in renamed]
    routes.append({"model": "fault-*", "targets": [{"provider": "openai"}]})
    return {
        "version": 1,
        "providers": [_provider(kind, recordings, upstream) for kind in kinds],
        "routes": [{**route, "allowed_fields": CHOOSING} for route in routes],
        "tenants": [{"name": TENANT, "keys": [{"name": "live", "key": KEY}]}],
    }


def asked(recording: Recording) -> str:
    """A public name that is not the upstream's."""
    return f"ask-{recording.id}"


def _walk(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, name)


KIND_OF_FIELD = {
    "previous_response_id": "response",
    "conversation": "conversation",
    "container": "container",
    "container_id": "container",
    "file_id": "file",
    "file_ids": "file",
    "vector_store_ids": "vector_store",
    "cachedContent": "cached_content",
    "fileSearchStoreNames": "file_search_store",
    "file_search_store_names": "file_search_store",
    "fileUri": "file",
    "file_uri": "file",
}


def named_objects(recording: Recording) -> Iterator[tuple[str, str, str]]:
    """(provider, kind, id) of whatever a request names that some upstream must have made before."""
    for name, value in _walk(recording.request_body):
        kind = KIND_OF_FIELD.get(name)
        if kind and isinstance(value, str):
            _, slash, file = value.rpartition("/v1beta/")
            if slash:  # Gemini names a file by the URL that its API gave it
                yield recording.kind, kind, file
            elif "://" not in value:  # any other URL is the web's, not the upstream's
                yield recording.kind, kind, value
        elif isinstance(value, dict) and isinstance(value.get("id"), str):
            if name in ("conversation", "container", "audio"):
                yield recording.kind, name, value["id"]
            elif recording.api == "openai.responses" and name == "input":
                yield recording.kind, "item", value["id"]
