"""The kinds of objects that a file for ``manage.py apply`` holds: how an entry of the file finds and fills its row."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from django.db import models
from rest_framework import serializers

from providers.models import Credential, Provider
from providers.serializers import CredentialSerializer, ProviderSerializer, UpstreamModelSerializer, holds
from routing import apply_prices
from routing.apply_read import Map
from routing.serializers import (
    AliasSerializer,
    DefaultsSerializer,
    HookSerializer,
    RewriteSerializer,
    RouteSerializer,
    TargetSerializer,
)
from tenants.budget_serializers import BudgetSerializer, IncreaseSerializer
from tenants.price_serializers import PriceSerializer
from tenants.serializers import ApiKeySerializer, ProjectSerializer, TenantSerializer

Identity = tuple[str, ...]
TEXTS = (serializers.CharField, serializers.ChoiceField, serializers.SlugRelatedField, serializers.DateTimeField)


class Kind:
    """One kind. ``names`` are those of the file with the fields they mean, ``texts`` those whose values are text,
    ``nested`` those that hold lists of other objects. ``identity`` are the names by which an entry finds its row.

    Names that find rows are unique already: ``unique`` asks the database about the rest.

    One serializer validates all entries of the kind: to make one takes a millisecond, and files hold 100,000 keys.
    """

    def __init__(
        self,
        word: str,
        serializer: Callable[..., Any],
        identity: Identity,
        of_row: Callable[[Any], Identity],
        *,
        fold: Callable[..., Identity] = lambda *parts: parts,
        describe: Callable[..., str] = lambda *parts: "/".join(parts),
        parent: str = "",
        renamed: tuple[str, str] = ("", ""),
        nested: Identity = (),
        unique: bool = True,
    ) -> None:
        self.word, self.parent, self.nested = word, parent, nested
        self.identity, self.of_row, self.fold, self.describe = identity, of_row, fold, describe
        self.check: Any = serializer(context={"unique": unique})
        if parent:
            self.check.fields.pop(parent)
        writable = {name: one for name, one in self.check.fields.items() if not one.read_only}
        theirs, ours = renamed
        self.names = {theirs if name == ours else name: name for name in writable}
        self.texts = frozenset(name for name, ours in self.names.items() if isinstance(writable[ours], TEXTS))

    def ready(self, row: Any, preset: dict[str, Any]) -> Any:
        """The serializer, about to validate an entry for ``row`` (None: a new one)."""
        self.check.instance, self.check.partial = row, row is not None
        self.check.context["preset"] = preset
        return self.check

    def of_entry(self, entry: Map) -> Identity:
        parts = tuple(str(entry.text(name) or "") for name in self.identity)
        return self.fold(*parts)

    def label(self, identity: Identity, preset: dict[str, Any]) -> str:
        """What to call it in a message."""
        above = f"{preset[self.parent].name}/" if self.parent in preset else ""
        return f"{self.word} {above}{self.describe(*identity)}".strip()


def kinds() -> dict[str, Kind]:
    """All of them, made anew: a kind remembers what it validates."""
    return {kind.word: kind for kind in (*_accounts(), *_routing())}


def _accounts() -> tuple[Kind, ...]:
    """Of providers and tenants."""
    return (
        Kind("provider", ProviderSerializer, ("name",), lambda row: (row.name,), nested=("credentials", "models")),
        Kind(
            "credential",
            CredentialSerializer,
            ("name",),
            lambda row: (row.name,),
            fold=lambda name: (name or "default",),
            parent="provider",
            unique=False,
        ),
        Kind("model", UpstreamModelSerializer, ("name",), lambda row: (row.name,), parent="provider", unique=False),
        Kind("tenant", TenantSerializer, ("name",), lambda row: (row.name,), nested=("projects", "keys", "budgets")),
        Kind("project", ProjectSerializer, ("name",), lambda row: (row.name,), parent="tenant", unique=False),
        Kind("key", ApiKeySerializer, ("name",), lambda row: (row.name,), parent="tenant", unique=False),
        *_budgets(),
        Kind(
            "price",
            PriceSerializer,
            apply_prices.IDENTITY,
            apply_prices.of_row,
            fold=apply_prices.folded,
            describe=apply_prices.described,
        ),
    )


def _budgets() -> tuple[Kind, ...]:
    named, nested = ("name",), ("increases",)
    return (
        Kind("budget", BudgetSerializer, named, lambda row: (row.name,), parent="tenant", nested=nested, unique=False),
        Kind("increase", IncreaseSerializer, ("reason",), lambda row: (row.reason,), unique=False),
    )


def _routing() -> tuple[Kind, ...]:
    return (
        Kind(
            "route",
            RouteSerializer,
            ("model",),
            lambda row: (row.name,),
            renamed=("model", "name"),
            nested=("targets",),
            unique=False,
        ),
        Kind(
            "target",
            TargetSerializer,
            ("provider", "model"),
            lambda row: (row.provider.name, row.model),
            parent="route",
            describe=_target,
            unique=False,
        ),
        Kind("alias", AliasSerializer, ("name", "tenant"), lambda row: (row.name, _name(row.tenant)), describe=_alias),
        Kind(
            "rewrite",
            RewriteSerializer,
            ("route", "provider", "place", "name", "action"),
            _rewrite_of,
            fold=folded,
            describe=_rewrite,
        ),
        Kind(
            "hook",
            HookSerializer,
            ("name", "tenant", "route", "title"),
            lambda row: (row.name, _name(row.tenant), _name(row.route), row.title),
            describe=_hook,
        ),
        Kind("defaults", DefaultsSerializer, (), lambda row: (), describe=lambda: ""),
    )


def differences(check: Any, row: Any) -> list[str]:
    """What the row that ``check`` has just validated would change in ``row``, by name."""
    if row is None:
        return []
    names = {"digest": "key", "sealed": "secret" if isinstance(row, Credential) else "options"}
    changed = [
        f.name for f in row._meta.concrete_fields if f.name not in ("prefix", "hint") and _differs(f, row, check.row)
    ]
    found = list(dict.fromkeys(names.get(name, name) for name in changed))
    if isinstance(row, Provider):
        if check.plain is not None and not holds(row, check.plain):
            found.append("api_key")
        if check.plain is None and row.origin != check.row.origin and row.credentials.exists():
            found.append("credentials dropped, since they belong to the address before")
    return found


def suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""


def sentences(detail: Any) -> Iterator[str]:
    """Every sentence of an error, however it is nested."""
    if isinstance(detail, str):
        yield detail
    else:
        for part in detail.values() if isinstance(detail, dict) else detail:
            yield from sentences(part)


def _differs(field: models.Field[Any, Any], before: models.Model, after: models.Model) -> bool:
    old, new = getattr(before, field.attname), getattr(after, field.attname)
    return not _same(old, new) if isinstance(field, models.JSONField) else bool(old != new)


def _same(old: Any, new: Any) -> bool:
    """Whether two JSON values are one. In Python 1 == True; and PostgreSQL gives 1e300 back as an integer, -0.0 as 0.0."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, float) or isinstance(new, float):
        return (
            isinstance(old, int | float) and isinstance(new, int | float) and Decimal(repr(old)) == Decimal(repr(new))
        )
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new)


def folded(route: str, provider: str, place: str, name: str, action: str) -> Identity:
    """Names of headers know no case."""
    return route, provider, place, name.lower() if place == "header" else name, action


def _rewrite_of(row: Any) -> Identity:
    return folded(_name(row.route), _name(row.provider), row.place, row.name, row.action)


def _name(row: Any) -> str:
    return "" if row is None else str(row.name)


def _target(provider: str, model: str) -> str:
    return f"{provider}/{model or '(same)'}"


def _alias(name: str, tenant: str) -> str:
    return f"{name} of {tenant}" if tenant else name


def _hook(name: str, tenant: str, route: str, title: str) -> str:
    scope = [f"{word} {one}" for word, one in (("tenant", tenant), ("route", route)) if one]
    return " ".join([name, *([f"({', '.join(scope)})"] if scope else []), *([f"{title!r}"] if title else [])])


def _rewrite(route: str, provider: str, place: str, name: str, action: str) -> str:
    scope = [f"{word} {one}" for word, one in (("route", route), ("provider", provider)) if one]
    return f"{action} {place} {name}" + (f" ({', '.join(scope)})" if scope else "")
