"""What a new operator reads once: where the admin is, and a request to paste."""

from __future__ import annotations

import json
import shlex
from typing import Any

from providers.models import Provider
from routing.bootstrap import Made

PROMPT = "Say hello in five words."
MESSAGES = {"stream": True, "messages": [{"role": "user", "content": PROMPT}]}
#: By kind of provider: path, how the key is sent, body. "{model}" is a model that the provider has.
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", "x-api-key: {key}", {"model": "claude-haiku-4-5", "max_tokens": 100, **MESSAGES}),
    "gemini": (
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "x-goog-api-key: {key}",
        {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    ),
}
MODELS = {"demo": "demo", "openai": "gpt-4.1-mini"}


def curl(url: str, key: str, provider: Provider) -> str:
    """A request that ``provider`` answers as a stream, ready to paste."""
    fallback = ("/v1/chat/completions", "Authorization: Bearer {key}", {"model": _model(provider), **MESSAGES})
    path, header, body = REQUESTS.get(provider.kind, fallback)
    words = [
        "curl",
        "-N",
        url + path,
        "-H",
        header.format(key=key),
        "-H",
        "Content-Type: application/json",
        "-d",
        json.dumps(body),
    ]
    return " ".join(shlex.quote(word) for word in words)


def _model(provider: Provider) -> str:
    known = MODELS.get(provider.kind) or provider.models.values_list("name", flat=True).first()
    return known or "MODEL-NAME"


def report(made: Made, url: str) -> dict[str, Any]:
    """What was made, as plain data; the secrets are in it."""
    found: dict[str, Any] = {"admin_url": f"{url}/admin/", "providers": [provider.name for provider in made.providers]}
    if made.password:
        found |= {"username": made.username, "password": made.password}
    if made.key:
        provider = made.providers[0] if made.providers else Provider.objects.filter(enabled=True).first()
        found["key"] = made.key
        found |= {"curl": curl(url, made.key, provider)} if provider is not None else {}
    return found


def text(found: dict[str, Any]) -> str:
    """``report`` as people read it."""
    lines = []
    if "password" in found:
        lines += [f"Admin     {found['admin_url']}", f"User      {found['username']}", f"Password  {found['password']}"]
    if "key" in found:
        lines += [f"API key   {found['key']}"]
    if "curl" in found:
        lines += ["", "Try it:", "", found["curl"]]
    return "\n".join(lines)
