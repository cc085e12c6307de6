"""The admin's index: what happened in the last day, what is dangerous, and where to begin."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest

from providers.models import Provider, UpstreamModel
from routing.models import Route
from routing.warnings import warnings
from tenants.keys import Names
from tenants.models import ApiKey
from tenants.summary import last_day

NO_CHAT = re.compile("embed|image|audio|tts|whisper|transcri|moderation|dall-e|realtime|rerank|sora|search")


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold's DASHBOARD_CALLBACK adds; each part only for those who may see it."""
    may = request.user.has_perm
    context["day"] = last_day() if may("tenants.view_usage") else None
    context["warnings"] = warnings() if may("routing.view_route") else []
    context["missing"] = _missing(request)
    return context


def _missing(request: HttpRequest) -> list[tuple[str, str]]:
    """First steps that nobody has taken yet: what, and where in the admin."""
    steps = (
        (Provider, "providers.add_provider", "Add a provider: who is called", "admin:providers_provider_add"),
        (Route, "routing.add_route", "Add a route: which model names clients may ask for, and where they go", "admin:routing_route_add"),
        (ApiKey, "tenants.add_apikey", "Add a key for a client", "admin:tenants_apikey_add"),
    )
    return [(text, url) for model, permission, text, url in steps if request.user.has_perm(permission) and not model.objects.exists()]  # type: ignore[attr-defined]


def example_model(key: ApiKey) -> str:
    """A model that ``key`` may call and that chats, "" if none is known."""
    allowed = Names(key.allowed_models)
    routes = Route.objects.filter(enabled=True, targets__enabled=True, targets__provider__enabled=True).distinct()
    for route in routes[:50]:
        for name in [route.name] if not route.name.endswith("*") else _under(route):
            if name in allowed and not NO_CHAT.search(name):
                return name
    return ""


def _under(route: Route) -> list[str]:
    """Names that its providers have and that its pattern fits."""
    models = UpstreamModel.objects.filter(provider__targets__route=route, provider__targets__enabled=True, name__startswith=route.name[:-1])
    return list(models.values_list("name", flat=True)[:200])
