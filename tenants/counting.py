"""From rows of limits and budgets to what requests are counted by; and to the counters of the store, kept by signals in
the transaction of each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, NamedTuple

from django.db.models.signals import post_delete, post_save

from tenants.budget_rows import Budget
from tenants.key_rows import ApiKey
from tenants.lease_rows import LeaseCounter
from tenants.leases import CONCURRENT, Counter, Trailing
from tenants.periods import Period
from tenants.tenant_rows import Project, Tenant
from tenants.terms import ALL, NOTHING, Level, Names, Rule, Subjects

MINUTE, DAY = Trailing(60), Trailing(86_400)


class Limit(NamedTuple):
    """What a field of a level becomes: ``short`` begins the counter's name."""

    field: str
    short: str
    window: Trailing
    unit: str
    title: str


LIMITS = (
    Limit("requests_per_minute", "rpm", MINUTE, "requests", "requests per minute"),
    Limit("requests_per_day", "rpd", DAY, "requests", "requests per day"),
    Limit("tokens_per_minute", "tpm", MINUTE, "tokens", "tokens per minute"),
    Limit("concurrent_requests", "con", CONCURRENT, "concurrent", "requests at once"),
)


def limits_of(kind: str, row: Any) -> list[Rule]:
    """The rules of a tenant's, project's or key's row, and of a tenant's for its end users."""
    rules = [
        Rule(_counter(limit, f"{kind[0]}{row.id}", cap), title=f"{limit.title} of the {kind}")
        for limit in LIMITS
        if (cap := getattr(row, limit.field)) is not None
    ]
    for limit in LIMITS if kind == "tenant" else ():
        cap = getattr(row, f"user_{limit.field}")
        if cap is not None:
            counter = _counter(limit, f"u{row.id}", cap)
            rules.append(Rule(counter, each_of(counter), title=f"{limit.title} of the end user"))
    return rules


def _counter(limit: Limit, of: str, cap: int) -> Counter:
    return Counter(f"{limit.short}.{of}", cap, limit.window, limit.unit)


def each_of(counter: Counter) -> Subjects:
    """A counter like this for each end user."""
    return Subjects(lambda user: replace(counter, subject=user))


def budget_rule(row: Budget) -> tuple[tuple[str, int], Rule]:
    """Of which level a budget is, and its rule. Raises ValueError for windows that cannot be."""
    counter = Counter(row.counter, row.amount, row.windows(), hard=row.hard)
    each = each_of(counter) if row.of == "end_user" and not row.end_user else None
    of = row.of if row.of in ("project", "key") else "tenant"
    level = (of, int({"tenant": row.tenant_id, "project": row.project_id, "key": row.key_id}[of] or 0))
    return level, Rule(counter, each, row.tag, row.end_user, row.name)


def level_of(kind: str, row: Any) -> Level:
    """What a row says as a level; NOTHING, which all share, where it says nothing."""
    level = Level(
        kind,
        row.name,
        _names(row.allowed_models),
        Names(row.denied_models) if row.denied_models else None,
        _names(row.allowed_providers),
        tuple(ip_network(text) for text in row.networks),
        row.max_input_tokens,
        row.max_output_tokens,
        tuple(row.default_tags),
        row.log_bodies,
        tuple(limits_of(kind, row)),
    )
    return NOTHING if replace(level, kind="", name="") == NOTHING else level


def _names(names: list[str]) -> Names:
    return Names(names) if names else ALL


def _rows(instance: Any) -> Iterable[LeaseCounter]:
    """The store's counters of a row."""
    if isinstance(instance, Budget):
        yield LeaseCounter(name=instance.counter, cap=instance.amount, thresholds=instance.thresholds)
        return
    for rule in limits_of(_kind(instance), instance):
        window = rule.counter.window
        seconds = 0 if isinstance(window, Period) else int(window.seconds)
        yield LeaseCounter(name=rule.counter.name, cap=rule.counter.cap, seconds=seconds)


def _kind(instance: Any) -> str:
    return "key" if isinstance(instance, ApiKey) else "project" if isinstance(instance, Project) else "tenant"


def _prefixes(instance: Any) -> list[str]:
    letters = (_kind(instance)[0], "u") if isinstance(instance, Tenant) else (_kind(instance)[0],)
    return [f"{limit.short}.{letter}{instance.pk}" for limit in LIMITS for letter in letters]


def _saved(instance: Any, created: bool, **_: Any) -> None:
    rows = list(_rows(instance))
    if rows:
        fields = ["cap", "seconds", "thresholds"]
        LeaseCounter.objects.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=["name"])
    if not created and not isinstance(instance, Budget):
        kept = {row.name for row in rows}
        LeaseCounter.objects.filter(name__in=[name for name in _prefixes(instance) if name not in kept]).delete()


def _deleted(instance: Any, **_: Any) -> None:
    names = [row.name for row in _rows(instance)]
    LeaseCounter.objects.filter(name__in=names).delete()


def connect() -> None:
    """Keep the store's counters; called once, when the app is ready."""
    calls: tuple[tuple[Any, Callable[..., None]], ...] = ((post_save, _saved), (post_delete, _deleted))
    for model in (Tenant, Project, ApiKey, Budget):
        for signal, call in calls:
            signal.connect(call, model, dispatch_uid=f"counting.{signal is post_save}.{model._meta.label_lower}")
