"""Builds the snapshot from the ORM, and keeps it fresh: the only way from the database to what requests read.

A refresh loads only rows stamped with a newer revision and the tombstones of deleted ones; everything else is shared
with the snapshot before. It runs in a thread of its own, never on the event loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.db.models import Model

from providers.load import upstream_of
from providers.models import Credential, Provider
from routing import models, revision
from routing.table import Rewrite, Route, Table, Target, with_routes
from tenants.keys import Key, Names, Tenant
from tenants.models import ApiKey
from tenants.models import Tenant as TenantRow

log = logging.getLogger(__name__)

POLL_SECONDS = 0.3
RARE = (
    "providers.provider",
    "providers.credential",
    "routing.route",
    "routing.target",
    "routing.rewrite",
    "routing.alias",
    "routing.defaults",
    "tenants.tenant",
)


def _newer(model: type[Model], since: int) -> Iterable[Any]:
    """The rows stamped later than ``since``, all for -1: as plain tuples, a fraction of a model instance's size, save
    the few whose methods are needed."""
    rows = model._base_manager.all() if since < 0 else model._base_manager.filter(changed_revision__gt=since)
    if model in (Provider, Credential):
        return rows.iterator(chunk_size=2000)
    names = [field.attname for field in model._meta.concrete_fields]
    return rows.values_list(*names, named=True).iterator(chunk_size=2000)


def key_of(row: ApiKey) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        tenant_id=row.tenant_id,
        enabled=row.enabled,
        expires_at=row.expires_at.timestamp() if row.expires_at else 0,
        allowed_models=_names(tuple(row.allowed_models)),
        allowed_providers=_names(tuple(row.allowed_providers)),
        may_choose_provider=row.may_choose_provider,
    )


_ANY = Names()


def _names(names: tuple[str, ...]) -> Names:
    return Names(names) if names else _ANY


class Loader:
    """Rows by id as last loaded, and the table made of them. One thread at a time uses it."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Any]] = {}
        self.digests: dict[int, bytes] = {}
        self.keys: dict[bytes, Key] = {}
        self.table = Table()

    def refresh(self) -> Table:
        """The newest table; the same object if nothing changed. Raises the database's errors."""
        # Outside a transaction, which would take SQLite's write lock at every look.
        if self.table.loaded_at and _number() == self.table.revision:
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
        if label != "tenants.apikey":
            found = {row.id: row for row in rows}
            self.rows.setdefault(label, {}).update(found)
            return len(found)
        count = 0
        for count, row in enumerate(rows, 1):
            if count == 1:
                self.keys = dict(self.keys)  # requests may be reading the one before
            self._drop_key(row.id)
            digest = bytes.fromhex(row.digest)
            self.digests[row.id] = digest
            self.keys[digest] = key_of(row)
        return count

    def _drop(self, label: str, object_id: int) -> None:
        if label == "tenants.apikey":
            self.keys = dict(self.keys)
            self._drop_key(object_id)
        else:
            self.rows.get(label, {}).pop(object_id, None)

    def _drop_key(self, key_id: int) -> None:
        digest = self.digests.pop(key_id, None)
        if digest is not None:
            self.keys.pop(digest, None)

    def _build(self, number: int, changed: set[str]) -> Table:
        if self.table.loaded_at and not changed.intersection(RARE) and "providers.upstreammodel" not in changed:
            return replace(self.table, revision=number, keys=self.keys)
        upstreams = self._upstreams()
        routes = self._routes(upstreams)
        defaults: models.Defaults | None = next(iter(self.rows["routing.defaults"].values()), None)
        table = Table(
            revision=number,
            keys=self.keys,
            tenants={row.id: _tenant(row) for row in self.rows["tenants.tenant"].values()},
            anonymous=self._anonymous(),
            upstreams=upstreams,
            aliases={(row.tenant_id or 0, row.name): row.model for row in self.rows["routing.alias"].values()},
            rewrites=self._rewrites(),
            default_model=defaults.model if defaults else "",
            default_route=_default_route(defaults, upstreams),
            models=self._models(),
            peppers=tuple(settings.GATEWAY_KEY_PEPPERS),
            loaded_at=time.time(),
        )
        return with_routes(table, routes)

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
        for row in sorted(self.rows["routing.target"].values(), key=lambda row: (row.priority, row.id)):
            if row.enabled and row.provider_id in upstreams:
                target = Target(
                    row.id,
                    upstreams[row.provider_id],
                    row.model,
                    row.api,
                    row.weight,
                    row.priority,
                    row.max_tokens,
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
            found.setdefault(row.provider_id, {})[row.name] = row.details
        return found

    def _anonymous(self) -> Key | None:
        row: TenantRow | None = next((row for row in self.rows["tenants.tenant"].values() if row.anonymous), None)
        return Key(0, "anonymous", row.id) if row is not None else None


def _number() -> int:
    return models.RevisionCounter.objects.values_list("number", flat=True).filter(pk=1).first() or 0


def _tenant(row: Any) -> Tenant:
    return Tenant(row.id, row.name, row.enabled, row.store_responses, row.response_days * 86_400, row.response_bytes)


def _value(row: models.Rewrite) -> bytes:
    if row.action == "remove":
        return b""
    return str(row.value).encode("latin-1", "replace") if row.place == "header" else orjson.dumps(row.value)


def _default_route(defaults: models.Defaults | None, upstreams: dict[int, Any]) -> Route | None:
    if defaults is None or defaults.provider_id not in upstreams:
        return None
    return Route(0, "default", (Target(0, upstreams[defaults.provider_id]),))


class Poller(threading.Thread):
    """Refreshes the table whenever the revision counter moves, and at once when this process moved it.

    ``install`` is called with every new table, in this thread. The database may go away: the last table stays in force.
    """

    def __init__(self, install: Callable[[Table], None]) -> None:
        super().__init__(name="snapshot", daemon=True)
        self.install = install
        self.loader = Loader()
        self.wake = threading.Event()
        self.stopped = False
        self.lock = threading.Lock()
        self.failing = False

    def load(self) -> Table:
        """Refresh now, in the calling thread. Raises the database's errors."""
        with self.lock:
            before = self.loader.table
            table = self.loader.refresh()
            if table is not before:
                self.install(table)
            return table

    def run(self) -> None:
        revision.listeners.append(self.wake.set)
        while not self.stopped:
            self.wake.wait(POLL_SECONDS)
            self.wake.clear()
            self._poll()
        revision.listeners.remove(self.wake.set)
        connection.close()

    def _poll(self) -> None:
        try:
            close_old_connections()
            self.load()
            self.failing = False
        except Exception:
            if not self.failing:
                log.exception(
                    "the snapshot cannot be refreshed; revision %s stays in force", self.loader.table.revision
                )
            self.failing = True
            connection.close()

    def stop(self) -> None:
        self.stopped = True
        self.wake.set()
        self.join(5)
