"""The kinds of objects that a file for ``manage.py apply`` holds: how an entry of the file finds and fills its row."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from django.db import models
from rest_framework import serializers

from providers.models import Provider
from providers.serializers import ProviderSerializer, holds
from routing.apply_read import Map
from routing.serializers import (
    AliasSerializer,
    DefaultsSerializer,
    RewriteSerializer,
    RouteSerializer,
    TargetSerializer,
)
from tenants.serializers import ApiKeySerializer, TenantSerializer

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
    found = (
        Kind("provider", ProviderSerializer, ("name",), lambda row: (row.name,)),
        Kind("tenant", TenantSerializer, ("name",), lambda row: (row.name,), nested=("keys",)),
        Kind("key", ApiKeySerializer, ("name",), lambda row: (row.name,), parent="tenant", unique=False),
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
        Kind("defaults", DefaultsSerializer, (), lambda row: (), describe=lambda: ""),
    )
    return {kind.word: kind for kind in found}


def differences(check: Any, row: Any) -> list[str]:
    """What the row that ``check`` has just validated would change in ``row``, by name."""
    if row is None:
        return []
    found = [
        {"digest": "key"}.get(f.name, f.name)
        for f in row._meta.concrete_fields
        if f.name != "prefix" and _differs(f, row, check.row)
    ]
    if isinstance(row, Provider):
        if check.plain is not None and not holds(row, check.plain):
            found.append("api_key")
        if check.plain is None and row.origin != check.row.origin and row.credentials.exists():
            found.append("credentials dropped, since they belong to the address before")
    return found


def suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""


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


def _rewrite(route: str, provider: str, place: str, name: str, action: str) -> str:
    scope = [f"{word} {one}" for word, one in (("route", route), ("provider", provider)) if one]
    return f"{action} {place} {name}" + (f" ({', '.join(scope)})" if scope else "")
