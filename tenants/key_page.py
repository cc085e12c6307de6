"""The page on which a new key is shown, once: rendered as the answer to the very request that made it.

Nothing keeps it: no message, no session, no history; the page may not be cached.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse

from tenants.models import ApiKey, OperatorToken


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A key or token at the one moment at which it can be read."""

    title: str
    plain: str
    curl: str


#: By API: path, how the key is sent, body. ``{model}`` and ``{key}`` are filled in.
MESSAGES = [{"role": "user", "content": "Hello!"}]
EXAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "Authorization: Bearer {key}", {"model": "{model}", "messages": MESSAGES}),
    "messages": ("/v1/messages", "x-api-key: {key}", {"model": "{model}", "max_tokens": 100, "messages": MESSAGES}),
    "generate": (
        "/v1beta/models/{model}:generateContent",
        "x-goog-api-key: {key}",
        {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]},
    ),
}


def no_example(key: ApiKey) -> tuple[str, str]:
    return "", ""


#: Finds an API of EXAMPLES and a model that the key may call over it. Set by routing, which knows the routes; tenants do not.
example: Callable[[ApiKey], tuple[str, str]] = no_example


def public_url(request: HttpRequest) -> str:
    """Where clients reach the gateway: as configured, else as this request did (its host passed ALLOWED_HOSTS)."""
    configured: str = settings.GATEWAY_PUBLIC_URL
    return (configured or request.build_absolute_uri("/")).rstrip("/")


def issued_key(request: HttpRequest, key: ApiKey, plain: str) -> Issued:
    api, model = example(key)
    path, header, body = EXAMPLES.get(api, ("/v1/models", "Authorization: Bearer {key}", {}))
    lines = [
        f"curl {shlex.quote(public_url(request) + path.replace('{model}', quote(model, safe='')))}",
        f"-H {shlex.quote(header.format(key=plain))}",
    ]
    if body:
        text = json.dumps(body, ensure_ascii=False).replace('"{model}"', json.dumps(model, ensure_ascii=False))
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(text)}"]
    return Issued(f"{key.tenant} · {key.name}", plain, " \\\n  ".join(lines))


def issued_token(request: HttpRequest, token: OperatorToken, plain: str) -> Issued:
    """The API is where the project's URLs have it; the address of clients may have a path of its own."""
    try:
        path = reverse("api:usage")
    except NoReverseMatch:  # a project that does not have it
        path = "/api/v1/usage"
    parts = urlsplit(public_url(request))
    url = f"{parts.scheme}://{parts.netloc}{path}/"
    return Issued(
        f"{token.user} · {token.name}",
        plain,
        f"curl {shlex.quote(url)} -H {shlex.quote(f'Authorization: Bearer {plain}')}",
    )


def key_page(request: HttpRequest, site: AdminSite, issued: Sequence[Issued], back: str) -> TemplateResponse:
    context = {
        **site.each_context(request),
        "title": "New key" if len(issued) == 1 else "New keys",
        "issued": issued,
        "back": back,
    }
    headers = {"cache-control": "no-store, private", "referrer-policy": "no-referrer"}
    return TemplateResponse(request, "tenants/key_once.html", context, headers=headers)
