"""Dangerous states: what is saved and legal, and still will not do what the operator wants.

The admin's index and object pages show them, and the system checks print them. Each check is one query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import F, Model, Q, QuerySet
from django.urls import reverse

from providers.models import Provider
from providers.presets import PRESETS
from routing.models import Alias, Defaults, Hook, Route, Target
from tenants.models import Tenant

LIMIT = 20


@dataclass(frozen=True, slots=True)
class Danger:
    """What is wrong, and the admin page on which it can be put right."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Check:
    """``rows`` are suspects, of which ``guilty`` keeps those that ``text`` is about; the fault is mended on the page of
    the ``page`` (if not the row itself) that ``key`` names."""

    rows: Callable[[], QuerySet[Any]]
    text: Callable[[Any], str]
    guilty: Callable[[Iterable[Any]], Iterable[Any]] = iter
    page: type[Model] | None = None
    key: str = "pk"


def _without_route(rows: Iterable[Defaults]) -> list[Defaults]:
    return [row for row in rows if not Route.objects.filter(enabled=True).naming(row.model).exists()]


def _unserved(rows: Iterable[Target]) -> list[Target]:
    return [row for row in rows if row.api not in row.provider.api_names]


def _astray(rows: Iterable[Alias]) -> list[Alias]:
    """Aliases whose model nothing answers to."""
    rows = list(rows)
    if not rows or Defaults.objects.exclude(provider=None, model="").exists():
        return []
    routes = Route.objects.filter(enabled=True)
    names = set(routes.filter(name__in=[row.model for row in rows]).values_list("name", flat=True))
    prefixes = tuple(name[:-1] for name in routes.filter(name__endswith="*").values_list("name", flat=True))
    return [row for row in rows if row.model not in names and not row.model.startswith(prefixes)]


def _hurried() -> QuerySet[Target]:
    """Targets whose route has a deadline that one of its limits of time outlasts. A first byte's may be longer where the
    provider alone sets it: what is left of the deadline is then the limit."""
    deadline = "route__deadline__lt"
    return Target.objects.filter(
        Q(**{deadline: F("route__first_byte_timeout")})
        | Q(**{deadline: F("route__connect_timeout")})
        | Q(**{deadline: F("provider__connect_timeout")}, route__connect_timeout=None)
        | Q(**{deadline: F("provider__queue_wait")}, provider__max_concurrent__gt=0),
        enabled=True,
        provider__enabled=True,
        route__enabled=True,
    ).select_related("route", "provider")


def _outlasting(target: Target) -> str:
    """Which limits they are."""
    route, provider = target.route, target.provider
    limits = {
        "the connect timeout": route.connect_timeout or provider.connect_timeout,
        "the first-byte timeout": route.first_byte_timeout or 0,
        f"the wait for a place at {provider.name}": provider.queue_wait if provider.max_concurrent else 0,
    }
    return " and ".join(f"{name} ({seconds:g} s)" for name, seconds in limits.items() if seconds > route.deadline)


def _once(rows: Iterable[Target]) -> list[Target]:
    """One target of each route."""
    return list({row.route_id: row for row in rows}.values())


PLACELESS = [kind for kind, preset in PRESETS.items() if not preset.base_url]
CHECKS = (
    Check(
        Route.objects.dead,
        lambda row: (
            f"Route {row.name} has no usable target: requests for it fail. Add a target, or enable one and its provider."
        ),
    ),
    Check(
        Route.objects.without_share,
        lambda row: (
            f"Route {row.name}: all of its targets only stand in for others, so its requests fail. Give one its share of all requests."
        ),
    ),
    Check(
        lambda: Route.objects.filter(enabled=True).exclude(sticky_by="").exclude(strategy="sticky"),
        lambda row: f"Route {row.name}: sticky by {row.sticky_by} means nothing, for its strategy is {row.strategy}.",
    ),
    Check(
        _hurried,
        lambda row: (
            f"Route {row.route.name}: its deadline of {row.route.deadline:g} s is over before {_outlasting(row)}, so that no other target can stand in."
        ),
        _once,
        Route,
        "route_id",
    ),
    Check(
        Provider.objects.without_secret,
        lambda row: f"Provider {row.name} needs a credential and has none: it refuses every call.",
    ),
    Check(
        lambda: Provider.objects.filter(enabled=True).exclude(kind__in=PRESETS),
        lambda row: f"Provider {row.name} is of the kind {row.kind}, which no package here has: nothing is sent to it.",
    ),
    Check(
        lambda: Provider.objects.filter(enabled=True, base_url="", kind__in=PLACELESS),
        lambda row: f"Provider {row.name} has no address: set its base URL.",
    ),
    Check(
        lambda: Provider.objects.filter(enabled=True, max_concurrent__gt=0, max_waiting=0),
        lambda row: (
            f"Provider {row.name} takes {row.max_concurrent} requests at once and its queue has no places: any more are refused."
        ),
    ),
    Check(
        lambda: Provider.objects.filter(enabled=True, breaker="open"),
        lambda row: f"Provider {row.name}: its circuit breaker is held open, so nothing is sent to it.",
    ),
    Check(
        lambda: (
            Target.objects.filter(enabled=True, route__enabled=True).exclude(api="").select_related("route", "provider")
        ),
        lambda row: (
            f"Route {row.route.name}: its target {row} prefers the API {row.api}, which that provider does not serve."
        ),
        _unserved,
        Route,
        "route_id",
    ),
    Check(
        lambda: Defaults.objects.exclude(model=""),
        lambda row: f"The default model is {row.model}, and no enabled route answers to it.",
        _without_route,
    ),
    Check(
        lambda: Defaults.objects.filter(provider__enabled=False).select_related("provider"),
        lambda row: f"The default provider {row.provider.name} is turned off.",
    ),
    Check(
        Alias.objects.all,
        lambda row: f"Alias {row.name} leads to {row.model}, which no enabled route answers to.",
        _astray,
    ),
    Check(
        lambda: Hook.objects.filter(enabled=True),
        lambda row: f"Hook {row} cannot be made: {row.fault}. Requests that it is for are refused.",
        lambda rows: [row for row in rows if row.on_failure != "open" and row.fault],
    ),
    Check(
        lambda: Tenant.objects.filter(anonymous=True, enabled=True),
        lambda row: f"Anybody who can reach the gateway may use it: requests without a key count as tenant {row.name}.",
    ),
)


def warnings(page: Model | None = None, limit: int = LIMIT) -> list[Danger]:
    """All that is dangerous, or what is so about the object of one admin page; of each kind at most ``limit``."""
    found: list[Danger] = []
    for check in CHECKS:
        rows = check.rows()
        about = check.page or rows.model
        if page is not None and type(page) is not about:
            continue
        rows = rows if page is None else rows.filter(**{check.key: page.pk})
        guilty = list(islice(check.guilty(rows[: limit * 50]), limit + 1))
        found += [Danger(check.text(row), _url(about, "change", getattr(row, check.key))) for row in guilty[:limit]]
        if len(guilty) > limit:
            found.append(
                Danger(f"… and more {about._meta.verbose_name_plural} with the same fault.", _url(about, "changelist"))
            )
    return found


def _url(model: type[Model], page: str, *pk: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=pk)
