"""The admin's index: what happened in the last day, what is dangerous, and where to begin."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest

from providers.models import Provider
from routing import running
from routing.load import Loader
from routing.models import Route, Target
from routing.warnings import warnings
from tenants.key_page import EXAMPLES
from tenants.key_terms import terms_of
from tenants.models import ApiKey
from tenants.see_as_key import Found
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
    terms = terms_of(key)
    targets = Target.objects.filter(enabled=True, route__enabled=True, provider__enabled=True).select_related(
        "route", "provider"
    )
    usable = [
        target for target in targets.order_by("route__name")[:200] if terms.provider_allowed(target.provider.name)
    ]
    found = (
        (api, name)
        for api in EXAMPLES
        if not terms.scopes or api in terms.scopes
        for target in usable
        if api in target.provider.api_names
        for name in _names(target)
    )
    good = ((api, name) for api, name in found if terms.model_refused_by(name) is None and not NO_CHAT.search(name))
    return next(good, ("", ""))


def found(key: ApiKey, model: str) -> Found | None:
    """What a model's name leads to for ``key``, by what is in force in this process, else by the database."""
    gateway = running.gateway()
    table = gateway.table if gateway is not None else Loader().refresh()
    resolved = table.find(model, key.tenant_id)
    if resolved is None:
        return None
    names = dict.fromkeys(target.upstream.name for target in resolved.route.targets)
    return Found(resolved.model, resolved.route.name, tuple(names))


def _names(target: Target) -> list[str]:
    """Names that clients may ask for to get there: the route's own, or what the provider has that the pattern fits."""
    pattern = target.route.name
    if not pattern.endswith("*"):
        return [pattern]
    return list(target.provider.models.filter(name__startswith=pattern[:-1]).values_list("name", flat=True)[:200])
