"""What holds for one key, and which of its tenant, its project and itself says so: for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from django.db.models import Q

from tenants.counting import LIMITS, level_of
from tenants.figures import dollars
from tenants.models import ApiKey, Budget
from tenants.terms import SCOPES, Terms, terms

KINDS = ("tenant", "project", "key")
Rows = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One setting: what holds, which levels make it so, and what each of KINDS says of it."""

    title: str
    holds: str
    by: str = ""
    said: list[str] = field(default_factory=list)


def levels(key: ApiKey) -> Rows:
    """Its tenant, its project if it has one, and itself."""
    found = [("tenant", key.tenant), ("project", key.project), ("key", key)]
    return [(kind, row) for kind, row in found if row is not None]


def terms_of(key: ApiKey) -> Terms:
    """What requests with it are admitted by, budgets aside."""
    return terms([level_of(kind, row) for kind, row in levels(key)], scopes=key.scopes)


def lines(key: ApiKey) -> list[Line]:
    """Every setting of a level, in the order of the pages."""
    rows = levels(key)
    return [
        _line(rows, "On", "enabled", _switch, _yes),
        Line(
            "Expires",
            _time(key.expires_at) or "never",
            "key" if key.expires_at else "",
            ["", "", _time(key.expires_at)],
        ),
        _line(rows, "Models", "allowed_models", _meeting(meet_names)),
        _line(rows, "Models denied", "denied_models", _union, none="none"),
        _line(rows, "Providers", "allowed_providers", _meeting(meet_names)),
        _line(rows, "Networks", "networks", _meeting(meet_networks)),
        *(_line(rows, limit.title.capitalize(), limit.field, _least, _number, "no limit") for limit in LIMITS),
        _line(rows, "Input tokens of one request", "max_input_tokens", _least, _number, "no limit"),
        _line(rows, "Output tokens of one request", "max_output_tokens", _least, _number, "no limit"),
        _line(rows, "Tags", "default_tags", _union, none="none"),
        _line(rows, "Bodies may be logged", "log_bodies", _switch, _yes),
        *_own(key),
        *_tenants(key),
    ]


def _own(key: ApiKey) -> Iterable[Line]:
    """What only keys say."""
    yield _alone("Scopes", _names(key.scopes) or f"all: {_names(SCOPES)}", "key", bool(key.scopes))
    yield _alone("May choose the provider", _yes(key.may_choose_provider), "key", not key.may_choose_provider)
    yield _alone("May ask to explain", _yes(key.may_explain), "key", key.may_explain)


def _tenants(key: ApiKey) -> Iterable[Line]:
    """What only tenants say."""
    tenant = key.tenant
    for limit in LIMITS:
        most = getattr(tenant, f"user_{limit.field}")
        title = f"{limit.title.capitalize()} of each end user"
        yield _alone(title, "no limit" if most is None else _number(most), "tenant", most is not None)
    yield _alone("Models without a price", tenant.get_unpriced_display(), "tenant", True)
    yield _alone("Interrupted requests are charged", tenant.get_interrupted_display(), "tenant", True)
    yield _alone("Tags that reports count apart", _names(tenant.tags) or "none", "tenant", bool(tenant.tags))


def _alone(title: str, holds: str, kind: str, told: bool) -> Line:
    return Line(title, holds, kind if told else "", [holds if told and each == kind else "" for each in KINDS])


def budgets(key: ApiKey) -> list[Line]:
    """Those that requests with it are counted by; of tags and end users those of its tenant."""
    of = Q(of__in=("tenant", "end_user", "tag")) | Q(of="project", project_id=key.project_id) | Q(of="key", key=key)
    found = []
    for row in Budget.objects.filter(of, tenant_id=key.tenant_id, enabled=True).order_by("name"):
        kind = "hard, " if row.hard else "soft, "
        holds = f"{dollars(row.amount)} ({kind}{row.period})"
        whose = {"tag": f"tag {row.tag}", "end_user": f"end user {row.end_user}" if row.end_user else "each end user"}
        found.append(Line(row.name, holds, whose.get(row.of, row.of)))
    return found


# how what the levels say becomes what holds: its words, and the kinds that make it so

Told = list[tuple[str, Any]]
Holds = Callable[[Told], tuple[str, Iterable[str]]]


def _line(
    rows: Rows, title: str, name: str, holds: Holds, word: Callable[[Any], str] | None = None, none: str = "all"
) -> Line:
    words = word or _names
    values = {kind: getattr(row, name) for kind, row in rows}
    told = [(kind, value) for kind, value in values.items() if value is not None and value != []]
    found, by = holds(told) if told else (none, ())
    said = [words(values[kind]) if kind in values and values[kind] is not None else "" for kind in KINDS]
    return Line(title, found, ", ".join(by), said)


def _switch(told: Told) -> tuple[str, Iterable[str]]:
    off = [kind for kind, value in told if not value]
    return _yes(not off), off


def _least(told: Told) -> tuple[str, Iterable[str]]:
    least = min(value for _, value in told)
    return _number(least), [kind for kind, value in told if value == least]


def _union(told: Told) -> tuple[str, Iterable[str]]:
    names = dict.fromkeys(name for _, names in told for name in names)
    return _names(names), [kind for kind, _ in told]


def _meeting(meet: Callable[[str, str], str]) -> Holds:
    """What all levels allow."""

    def holds(told: Told) -> tuple[str, Iterable[str]]:
        _, found = told[0]
        for _, names in told[1:]:
            found = dict.fromkeys(both for one in found for other in names if (both := meet(one, other)))
        return _names(found) or "nothing: the levels have none in common", [kind for kind, _ in told]

    return holds


def meet_names(one: str, other: str) -> str:
    """The names that two names or patterns have in common; "" for none."""
    if one == other or (other.endswith("*") and one.startswith(other[:-1])):
        return one
    return other if one.endswith("*") and other.startswith(one[:-1]) else ""


def meet_networks(one: str, other: str) -> str:
    first, second = ip_network(one), ip_network(other)
    if not first.overlaps(second):
        return ""
    return one if first.prefixlen >= second.prefixlen else other


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _number(value: int) -> str:
    return f"{value:,}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _time(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else ""
