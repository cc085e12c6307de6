"""The client endpoints: one literal table. Which path, in which dialect, served by which provider API, by which view.

``/openai/v1``, ``/anthropic/v1`` and ``/gemini/{v1,v1beta}`` mirror every path of their dialect.
"""

from __future__ import annotations

import re
from typing import Any

from django.urls import re_path

from routing import consumers, views
from routing.endpoint import Endpoint
from routing.views import Resource, generate, generate_by_path, models, stored, unknown_action


def openai(name: str, api: str, path: str, body: str = "json") -> Endpoint:
    return Endpoint(name, "openai", api, path, body)


CHAT = openai("chat", "chat", "v1/chat/completions")
RESPONSES = openai("responses", "responses", "v1/responses")

OPENAI: dict[str, Resource] = {
    r"chat/completions": Resource(POST=(generate, CHAT)),
    r"responses": Resource(POST=(generate, RESPONSES)),
    r"responses/compact": Resource(POST=(generate, openai("responses.compact", "responses", "v1/responses/compact"))),
    r"responses/input_tokens": Resource(
        POST=(generate, openai("responses.input_tokens", "responses", "v1/responses/input_tokens"))
    ),
    r"responses/(?P<id>[^/]+)": Resource(
        GET=(stored, openai("responses.get", "responses", "v1/responses/{id}", "none")),
        DELETE=(stored, openai("responses.delete", "responses", "v1/responses/{id}", "none")),
    ),
    r"responses/(?P<id>[^/]+)/cancel": Resource(
        POST=(stored, openai("responses.cancel", "responses", "v1/responses/{id}/cancel", "none"))
    ),
    r"responses/(?P<id>[^/]+)/input_items": Resource(
        GET=(stored, openai("responses.input_items", "responses", "v1/responses/{id}/input_items", "none"))
    ),
    r"completions": Resource(POST=(generate, openai("completions", "completions", "v1/completions"))),
    r"embeddings": Resource(POST=(generate, openai("embeddings", "embeddings", "v1/embeddings"))),
    r"images/generations": Resource(POST=(generate, openai("images.generations", "images", "v1/images/generations"))),
    r"images/edits": Resource(POST=(generate, openai("images.edits", "images", "v1/images/edits", "multipart"))),
    r"images/variations": Resource(
        POST=(generate, openai("images.variations", "images", "v1/images/variations", "multipart"))
    ),
    r"audio/speech": Resource(POST=(generate, openai("audio.speech", "audio", "v1/audio/speech"))),
    r"audio/transcriptions": Resource(
        POST=(generate, openai("audio.transcriptions", "audio", "v1/audio/transcriptions", "multipart"))
    ),
    r"audio/translations": Resource(
        POST=(generate, openai("audio.translations", "audio", "v1/audio/translations", "multipart"))
    ),
    r"moderations": Resource(POST=(generate, openai("moderations", "moderation", "v1/moderations"))),
    r"rerank": Resource(POST=(generate, openai("rerank", "rerank", "v1/rerank"))),
}
ANTHROPIC: dict[str, Resource] = {
    r"messages": Resource(POST=(generate, Endpoint("messages", "anthropic", "messages", "v1/messages"))),
    r"messages/count_tokens": Resource(
        POST=(generate, Endpoint("messages.count_tokens", "anthropic", "messages", "v1/messages/count_tokens"))
    ),
}


def gemini(action: str, name: str) -> Resource:
    return Resource(POST=(generate_by_path, Endpoint(name, "gemini", "generate", "{version}/models/{model}:{action}")))


#: Gemini's actions; the model before the colon may hold slashes and colons of its own.
GEMINI: dict[str, Resource] = {
    rf"models/(?P<model>.+):(?P<action>{action})": gemini(action, name)
    for action, name in (
        ("generateContent", "generate"),
        ("streamGenerateContent", "generate"),
        ("countTokens", "generate.count_tokens"),
        ("embedContent", "generate.embed"),
        ("batchEmbedContents", "generate.embed"),
    )
}


def _models(dialect: str) -> dict[str, Resource]:
    listing = Endpoint("models", dialect, "", "", "none")
    one = Resource(GET=(models, listing), POST=(unknown_action, listing))
    return {r"models": Resource(GET=(models, listing)), r"models/(?P<model>.+)": one}


#: prefix -> the paths below it, in the order in which they are tried
TABLE: dict[str, dict[str, Resource]] = {
    r"v1/": {**OPENAI, **ANTHROPIC, **GEMINI, **_models("any")},
    r"openai/v1/": {**OPENAI, **_models("openai")},
    r"anthropic/v1/": {**ANTHROPIC, **_models("anthropic")},
    r"v1beta/": {**GEMINI, **_models("gemini")},
    r"gemini/v1/": {**GEMINI, **_models("gemini")},
    r"gemini/v1beta/": {**GEMINI, **_models("gemini")},
}
OPERATIONS = {r"health": views.health, r"ready": views.ready, r"metrics": views.scrape}


def row(pattern: str, view: Any, values: dict[str, str] | None = None) -> Any:
    """A row for Channels' router, which calls ASGI applications where Django's calls views."""
    return re_path(pattern, view, values or {})


def _rows() -> list[Any]:
    rows: list[Any] = []
    for prefix, paths in TABLE.items():
        version = prefix.rstrip("/").rpartition("/")[2]
        for path, resource in paths.items():
            rows.append(row(rf"^{prefix}{path}$", resource, {"version": version} if "action" in path else {}))
    rows += [row(rf"^{path}/?$", view) for path, view in OPERATIONS.items()]
    return rows


PATTERNS = [re.compile(rf"/{prefix}{path}$") for prefix, paths in TABLE.items() for path in paths]


def suggest(path: str) -> str:
    """The path that was probably meant, where it lacks or doubles its version; "" where there is none."""
    parts = [part for part in path.split("/") if part]
    tries = [
        "/".join(["", "v1", *parts]),
        "/".join(["", *[p for n, p in enumerate(parts) if n == 0 or p != parts[n - 1]]]),
    ]
    if parts and parts[0] in ("openai", "anthropic", "gemini"):
        tries.append("/".join(["", parts[0], "v1", *parts[1:]]))
    tries += [
        "/".join(["", *[p for n, p in enumerate(parts) if n != m]])
        for m, part in enumerate(parts)
        if part.startswith("v1")
    ]
    tries.append(path.rstrip("/"))
    for candidate in tries:
        if candidate != path and any(pattern.match(candidate) for pattern in PATTERNS):
            return candidate
    return ""


#: What belongs to the data plane even where no row matches: clients get a 404 in their dialect there.
DATA_PLANE = re.compile(
    r"/(v1|v1beta|openai|anthropic|gemini)(/|$)|/(health|ready|metrics)/?$|/(chat/completions|responses|messages|embeddings|completions|models)$"
)
urlpatterns = [*_rows(), row(r"^", views.unknown(suggest))]
websocket_urlpatterns = [row(r"^(?:openai/)?v1/responses$", consumers.ResponsesConsumer.as_asgi(endpoint=RESPONSES))]
#: The rows of the busiest paths, for those who have no time for patterns.
HOT: dict[str, Resource] = {
    f"/v1/{path}": TABLE["v1/"][path] for path in ("chat/completions", "messages", "responses", "embeddings")
}
