"""Builds the snapshot from the ORM: the only way from the database to what requests read.

A refresh loads only rows stamped with a newer revision and the tombstones of deleted ones; everything else is shared
with the snapshot before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Model

from providers.abilities import Ability, ability_of
from providers.building import timed
from providers.chat import BadRequest
from providers.load import upstream_of
from providers.models import Credential, Provider
from routing import models, revision
from routing.conditions import Conditions, read_conditions
from routing.hook_load import hooks_of
from routing.hooks import Means
from routing.load_keys import Keys, project_of, tenant_of
from routing.load_prices import PriceLoader
from routing.table import Rewrite, Route, Table, Target, with_routes
from tenants.counting import budget_rule
from tenants.keys import Key
from tenants.models import Budget
from tenants.models import Tenant as TenantRow
from tenants.terms import Names, Rule

log = logging.getLogger(__name__)


RARE = (
    "providers.provider",
    "providers.credential",
    "routing.route",
    "routing.target",
    "routing.rewrite",
    "routing.alias",
    "routing.defaults",
    "routing.hook",
    "tenants.tenant",
    "tenants.project",
    "tenants.budget",
    "tenants.price",
)


def _newer(model: type[Model], since: int) -> Iterable[Any]:
    """The rows stamped later than ``since``, all for -1: as plain tuples, a fraction of a model instance's size, save
    the few whose methods are needed."""
    rows = model._base_manager.all() if since < 0 else model._base_manager.filter(changed_revision__gt=since)
    if model in (Provider, Credential, Budget):
        return rows.iterator(chunk_size=2000)
    names = [field.attname for field in model._meta.concrete_fields]
    return rows.values_list(*names, named=True).iterator(chunk_size=2000)


class Loader:
    """Rows by id as last loaded, and the table made of them. One thread at a time uses it. ``means`` is what hooks get."""

    def __init__(self, means: Means | None = None) -> None:
        self.means = means
        self.rows: dict[str, dict[int, Any]] = {}
        self.keys = Keys()
        self.prices = PriceLoader()
        self.table = Table()

    def refresh(self) -> Table:
        """The newest table; the same object if nothing changed. Raises the database's errors."""
        # Outside a transaction, which would take SQLite's write lock at every look.
        if self.table.loaded_at and _number() == self.table.revision:
            if self.prices.moved():
                self.table = self._priced(self.table)
            return self.table
        with transaction.atomic():
            number = _number()
            changed = self._load(self.table.revision if self.table.loaded_at else -1)
        self.table = self._build(number, changed)
        return self.table

    def _load(self, since: int) -> set[str]:
        """Take in what is newer than ``since``; the labels of what changed."""
        changed = set()
        for model in revision.WATCHED:
            label = model._meta.label_lower
            if self._take(label, _newer(model, since)) or since < 0:
                changed.add(label)
        for stone in models.Tombstone.objects.filter(revision__gt=since) if since >= 0 else ():
            self._drop(stone.model, stone.object_id)
            changed.add(stone.model)
        return changed

    def _take(self, label: str, rows: Iterable[Any]) -> int:
        """Take these rows in; how many they are."""
        if label == "tenants.apikey":
            return self.keys.take(rows)
        found = {row.id: row for row in rows}
        self.rows.setdefault(label, {}).update(found)
        return len(found)

    def _drop(self, label: str, object_id: int) -> None:
        if label == "tenants.apikey":
            self.keys.drop(object_id)
        else:
            self.rows.get(label, {}).pop(object_id, None)

    def _build(self, number: int, changed: set[str]) -> Table:
        if self.table.loaded_at and not changed.intersection(RARE) and "providers.upstreammodel" not in changed:
            return replace(self.table, revision=number, keys=self.keys.found)
        upstreams = self._upstreams()
        routes = self._routes(upstreams)
        tenants = {row.id: tenant_of(row) for row in self.rows["tenants.tenant"].values()}
        defaults: models.Defaults | None = next(iter(self.rows["routing.defaults"].values()), None)
        table = Table(
            revision=number,
            keys=self.keys.found,
            tenants=tenants,
            projects={row.id: project_of(row) for row in self.rows["tenants.project"].values()},
            rules=self._rules(),
            named={tenant.name: tenant for tenant in tenants.values()},
            anonymous=self._anonymous(),
            upstreams=upstreams,
            aliases={(row.tenant_id or 0, row.name): row.model for row in self.rows["routing.alias"].values()},
            rewrites=self._rewrites(),
            default_model=defaults.model if defaults else "",
            default_route=_default_route(defaults, upstreams),
            models=self._models(),
            abilities=self._abilities(),
            hooks=hooks_of(self.rows["routing.hook"].values(), self.means, self.table.hooks),
            peppers=tuple(settings.GATEWAY_KEY_PEPPERS),
            loaded_at=time.time(),
        )
        return self._priced(with_routes(table, routes))

    def _priced(self, table: Table) -> Table:
        prices, sources = self.prices.load(table.upstreams.values(), self.rows["tenants.price"].values())
        return replace(table, prices=prices, sources=sources)

    def _upstreams(self) -> dict[int, Any]:
        by_provider: dict[int, list[Credential]] = {}
        for row in sorted(self.rows["providers.credential"].values(), key=lambda row: row.name):
            by_provider.setdefault(row.provider_id, []).append(row)
        found = {}
        for provider in self.rows["providers.provider"].values():
            if provider.enabled:
                found[provider.id] = upstream_of(provider, by_provider.get(provider.id, []))
        return found

    def _routes(self, upstreams: dict[int, Any]) -> dict[str, Route]:
        targets: dict[int, list[Target]] = {}
        routes = self.rows["routing.route"]
        for row in sorted(self.rows["routing.target"].values(), key=lambda row: (row.priority, row.id)):
            if row.enabled and row.provider_id in upstreams:
                target = Target(
                    row.id,
                    timed(upstreams[row.provider_id], routes[row.route_id]),
                    row.model,
                    row.api,
                    row.weight,
                    row.priority,
                    row.max_tokens,
                    _conditions(row),
                    row.fallback_for,
                )
                targets.setdefault(row.route_id, []).append(target)
        return {
            row.name: Route(
                row.id,
                row.name,
                tuple(targets.get(row.id, ())),
                row.reply_model,
                frozenset(row.allowed_fields),
                row.loss,
                row.strategy,
                row.sticky_by or "conversation",
                row.deadline,
                row.keep_alive,
            )
            for row in self.rows["routing.route"].values()
            if row.enabled
        }

    def _rewrites(self) -> tuple[Rewrite, ...]:
        rows = sorted(
            (row for row in self.rows["routing.rewrite"].values() if row.enabled),
            key=lambda row: (row.position, row.id),
        )
        return tuple(
            Rewrite(row.place, row.action, row.name, _value(row), row.route_id, row.provider_id) for row in rows
        )

    def _models(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for row in self.rows["providers.upstreammodel"].values():
            if row.seen_at is not None:
                found.setdefault(row.provider_id, {})[row.name] = row.details
        return found

    def _abilities(self) -> dict[tuple[int, str], Ability]:
        found = {}
        for row in self.rows["providers.upstreammodel"].values():
            if (ability := _ability(row)) is not None:
                found[row.provider_id, row.name] = ability
        return found

    def _rules(self) -> dict[tuple[str, int], tuple[Rule, ...]]:
        """Of budgets, by the level that each is of."""
        found: dict[tuple[str, int], tuple[Rule, ...]] = {}
        for row in self.rows["tenants.budget"].values():
            if row.enabled:
                level, rule = budget_rule(row)
                found[level] = (*found.get(level, ()), rule)
        return found

    def _anonymous(self) -> Key | None:
        row: TenantRow | None = next((row for row in self.rows["tenants.tenant"].values() if row.anonymous), None)
        return Key(0, "anonymous", row.id) if row is not None else None


def _number() -> int:
    return models.RevisionCounter.objects.values_list("number", flat=True).filter(pk=1).first() or 0


@lru_cache(1024)
def _read_conditions(text: bytes) -> Conditions | None:
    """The same object for the same words: a decision asks it once for all targets that share it."""
    return read_conditions(orjson.loads(text))


def _conditions(row: Any) -> Conditions | None:
    """What a target takes; one that cannot be read any more takes nothing."""
    try:
        return _read_conditions(orjson.dumps(row.conditions)) if row.conditions else None
    except BadRequest as error:
        log.error("target %s: %s %s", row.id, error.field, error.message)
        return Conditions(not_tenants=Names())


def _ability(row: Any) -> Ability | None:
    try:
        return ability_of(row.details, row.abilities)
    except BadRequest as error:
        log.error("model %s: %s %s", row.name, error.field, error.message)
        return None


def _value(row: models.Rewrite) -> bytes:
    if row.action == "remove":
        return b""
    return str(row.value).encode("latin-1", "replace") if row.place == "header" else orjson.dumps(row.value)


def _default_route(defaults: models.Defaults | None, upstreams: dict[int, Any]) -> Route | None:
    if defaults is None or defaults.provider_id not in upstreams:
        return None
    return Route(0, "default", (Target(0, upstreams[defaults.provider_id]),))
