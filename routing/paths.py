"""The client endpoints: one literal table. Which path, in which dialect, served by which provider API, by which view.

``/openai/v1``, ``/anthropic/v1`` and ``/gemini/{v1,v1beta}`` mirror every path of their dialect. Neither Django nor
Channels is needed to read it: ``routing.urls`` makes rows of Channels' router of it, and ``find`` reads it alone.
"""

from __future__ import annotations

import re

from routing import views
from routing.endpoint import Endpoint
from routing.views import Resource, View, generate, generate_by_path, models, stored, unknown_action


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


def _rows() -> list[tuple[str, View, dict[str, str]]]:
    rows: list[tuple[str, View, dict[str, str]]] = []
    for prefix, paths in TABLE.items():
        version = prefix.rstrip("/").rpartition("/")[2]
        for path, resource in paths.items():
            rows.append((rf"^{prefix}{path}$", resource, {"version": version} if "action" in path else {}))
    return [*rows, *((rf"^{path}/?$", view, {}) for path, view in OPERATIONS.items())]


#: Pattern of the path without its first slash, view, and what the view is told beside what the pattern names.
ROWS = _rows()

PATTERNS = [re.compile(rf"/{prefix}{path}$") for prefix, paths in TABLE.items() for path in paths]
_COMPILED = [(re.compile(pattern), view, values) for pattern, view, values in ROWS]
#: Where the gateway's own paths begin, longest first: what of a mount's place may be the start of one.
PREFIXES = tuple(sorted(("/" + prefix.rstrip("/") for prefix in TABLE), key=len, reverse=True))


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
#: The rows of the busiest paths, for those who have no time for patterns.
HOT: dict[str, Resource] = {
    f"/v1/{path}": TABLE["v1/"][path] for path in ("chat/completions", "messages", "responses", "embeddings")
}


def find(path: str) -> tuple[View, dict[str, str]] | None:
    """The view of ``path`` and what the path tells it."""
    hot = HOT.get(path)
    if hot is not None:
        return hot, {}
    for pattern, view, values in _COMPILED:
        if (match := pattern.fullmatch(path[1:])) is not None:
            return view, {**values, **match.groupdict()}
    return None


def below(path: str, root: str) -> str:
    """``path`` below ``root``. A path begins with its root; but where a proxy or a framework has cut that off, only with
    the rest of it, or not at all."""
    segments = root.split("/")[1:]
    for n in range(len(segments)):
        start = "/" + "/".join(segments[n:])
        if f"{path}/".startswith(f"{start}/"):
            return path[len(start) :] or "/"
    return path


def placed(path: str, root: str) -> tuple[str, str]:
    """The place under which the gateway is mounted, and the gateway's own path there. ``root`` is ASGI's ``root_path``.
    A mount at ``/llm`` has ``/llm/v1/…``; one at ``/v1`` or ``/llm/v1`` has the rest of a path whose start it is itself."""
    root = root.rstrip("/")
    start = next((prefix for prefix in PREFIXES if root.endswith(prefix)), "")
    return root.removesuffix(start), start + below(path, root)
