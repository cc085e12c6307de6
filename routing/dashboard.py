"""The admin's index: what happened in the last day, what is dangerous, and where to begin."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest

from providers.models import Provider
from routing.models import Route, Target
from routing.warnings import warnings
from tenants.key_page import EXAMPLES
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
        (
            Route,
            "routing.add_route",
            "Add a route: which model names clients may ask for, and where they go",
            "admin:routing_route_add",
        ),
        (ApiKey, "tenants.add_apikey", "Add a key for a client", "admin:tenants_apikey_add"),
    )
    return [
        (text, url)
        for model, permission, text, url in steps
        if request.user.has_perm(permission) and not model.objects.exists()
    ]


def example(key: ApiKey) -> tuple[str, str]:
    """An API and a model that ``key`` may call over it, two empty texts if none is known; chat before the others."""
    models, providers = Names(key.allowed_models), Names(key.allowed_providers)
    targets = Target.objects.filter(enabled=True, route__enabled=True, provider__enabled=True).select_related(
        "route", "provider"
    )
    usable = [target for target in targets.order_by("route__name")[:200] if target.provider.name in providers]
    found = (
        (api, name)
        for api in EXAMPLES
        for target in usable
        if api in target.provider.api_names
        for name in _names(target)
    )
    return next(((api, name) for api, name in found if name in models and not NO_CHAT.search(name)), ("", ""))


def _names(target: Target) -> list[str]:
    """Names that clients may ask for to get there: the route's own, or what the provider has that the pattern fits."""
    pattern = target.route.name
    if not pattern.endswith("*"):
        return [pattern]
    return list(target.provider.models.filter(name__startswith=pattern[:-1]).values_list("name", flat=True)[:200])
