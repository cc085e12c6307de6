"""The page on which a new key is shown, once: rendered as the answer to the very request that made it.

Nothing keeps it: no message, no session, no history; the page may not be cached.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse

from tenants.models import ApiKey, OperatorToken


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A key or token at the one moment at which it can be read."""

    title: str
    plain: str
    curl: str


def _allowed_model(key: ApiKey) -> str:
    return next((name for name in key.allowed_models if not name.endswith("*")), "")


#: Names a model that the key may call, "" where none is known. Set by routing, which knows the routes; tenants do not.
example_model: Callable[[ApiKey], str] = _allowed_model


def public_url(request: HttpRequest) -> str:
    """Where clients reach the gateway: as configured, else as this request did (its host passed ALLOWED_HOSTS)."""
    configured: str = settings.GATEWAY_PUBLIC_URL
    return (configured or request.build_absolute_uri("/")).rstrip("/")


def issued_key(request: HttpRequest, key: ApiKey, plain: str) -> Issued:
    model = example_model(key)
    bearer = f"-H {shlex.quote(f'Authorization: Bearer {plain}')}"
    url = public_url(request)
    if not model:
        return Issued(f"{key.tenant} · {key.name}", plain, f"curl {shlex.quote(url + '/v1/models')} {bearer}")
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]}, ensure_ascii=False)
    lines = (f"curl {shlex.quote(url + '/v1/chat/completions')}", bearer, "-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}")
    return Issued(f"{key.tenant} · {key.name}", plain, " \\\n  ".join(lines))


def issued_token(request: HttpRequest, token: OperatorToken, plain: str) -> Issued:
    return Issued(f"{token.user} · {token.name}", plain, f"curl {shlex.quote(public_url(request) + '/api/v1/usage/')} -H {shlex.quote(f'Authorization: Bearer {plain}')}")


def key_page(request: HttpRequest, site: AdminSite, issued: Sequence[Issued], back: str) -> TemplateResponse:
    context = {**site.each_context(request), "title": "New key" if len(issued) == 1 else "New keys", "issued": issued, "back": back}
    headers = {"cache-control": "no-store, private", "referrer-policy": "no-referrer"}
    return TemplateResponse(request, "tenants/key_once.html", context, headers=headers)
