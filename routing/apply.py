"""Makes the database what a file says: the body of ``manage.py apply``.

Objects are found by name and only the fields that the file names are set; whatever would not change is not saved.
What counts as the same object: providers, tenants and routes (``model``) by name, keys by name within their tenant,
targets by provider and upstream model within their route, aliases by name and tenant, rewrites by route, provider,
place, name and action (of several such the first applied). A route's ``targets`` are its whole list; all else is deleted
only with ``prune``, and only in lists that the file has: ``tenants: []`` prunes every tenant, a file without it none.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, transaction
from django.db.models import Model, ProtectedError
from rest_framework.serializers import ValidationError

from providers.models import Provider
from routing.api_rules import named
from routing.apply_kinds import ALIAS, DEFAULTS, KEY, PROVIDER, REWRITE, ROUTE, TARGET, TENANT, Kind, differences, suggestion
from routing.apply_read import Map, Refused
from routing.models import Alias, Defaults, Rewrite, Route, Target
from tenants.models import ApiKey, Tenant

SECTIONS = ("version", "providers", "tenants", "routes", "aliases", "rewrites", "defaults")
SECRETS = ("api_key", "key")
ENVIRONMENT = re.compile(r"[A-Za-z0-9_]*(_API_KEY|_TOKEN)")


@dataclass
class Report:
    """What was done. ``issued`` are the new keys, by tenant and name: the only secrets, and in no line."""

    lines: list[str] = field(default_factory=list)
    unchanged: Counter[str] = field(default_factory=Counter)
    issued: list[tuple[str, str]] = field(default_factory=list)


def apply(document: Map, *, prune: bool = False, dry_run: bool = False, keep: Callable[[Report], None] = lambda report: None) -> Report:
    """Do what ``document`` (version 1) says, all of it or nothing. ``keep`` may put the new keys in a safe place; it is
    called before the commit, and an exception of it undoes everything. Raises Refused."""
    with transaction.atomic():
        work = _Work(prune)
        work.run(document)
        if dry_run:
            transaction.set_rollback(True)
        elif work.report.issued:
            keep(work.report)
    return work.report


class _Work:
    """One document under way: problems are collected, and end it after the section in which they were found."""

    def __init__(self, prune: bool) -> None:
        self.prune = prune
        self.report = Report()
        self.problems: list[tuple[int, str]] = []

    def run(self, document: Map) -> None:
        for name in document:
            if name not in SECTIONS:
                self.problem(document.line_of(name), f"there is no section {name}.{suggestion(name, SECTIONS)}")
        spare: Callable[[], None] = lambda: None  # noqa: E731
        for name in SECTIONS[1:]:
            self.stop_on_problems()
            if name == "providers" and name in document:
                spare = self.providers(self.entries(document, name), document.line_of(name))
            elif name in document:
                getattr(self, name)(document[name] if name == "defaults" else self.entries(document, name), document.line_of(name))
        self.stop_on_problems()
        spare()
        self.stop_on_problems()

    def problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def stop_on_problems(self) -> None:
        if self.problems:
            raise Refused(*self.problems)

    def entries(self, parent: Map, name: str) -> list[Map]:
        """The mappings of the list ``name``."""
        found = parent[name]
        if isinstance(found, list) and all(isinstance(entry, Map) for entry in found):
            return found
        self.problem(parent.line_of(name), f"{name} must be a list of mappings, each beginning with - ")
        return []

    # The sections, in the order in which they need one another.

    def providers(self, entries: list[Map], line: int) -> Callable[[], None]:
        """Pruned last, when no target holds them any more: by the call that is returned."""
        spare = self.match(PROVIDER, entries, Provider.objects.all())[1]
        return lambda: self.delete(PROVIDER, spare if self.prune else [], line)

    def tenants(self, entries: list[Map], line: int) -> None:
        entries = sorted(entries, key=lambda entry: entry.get("anonymous") is True)  # who gives the mark up comes first
        held: dict[int, list[ApiKey]] = defaultdict(list)
        if any("keys" in entry for entry in entries):
            for key in ApiKey.objects.all():
                held[key.tenant_id].append(key)
            KEY.check.context["taken"] = {key.digest for keys in held.values() for key in keys}
        for entry, tenant in self.section(TENANT, entries, Tenant.objects.all(), line):
            if "keys" in entry:
                keys = self.entries(entry, "keys")
                self.section(KEY, keys, held[tenant.pk], entry.line_of("keys"), tenant=tenant)

    def routes(self, entries: list[Map], line: int) -> None:
        held: dict[int, list[Target]] = defaultdict(list)
        for target in Target.objects.select_related("provider"):
            held[target.route_id].append(target)
        for entry, route in self.section(ROUTE, entries, Route.objects.all(), line):
            if "targets" in entry:
                targets = self.entries(entry, "targets")
                self.section(TARGET, targets, held[route.pk], entry.line_of("targets"), route=route)

    def aliases(self, entries: list[Map], line: int) -> None:
        self.section(ALIAS, entries, Alias.objects.select_related("tenant"), line)

    def rewrites(self, entries: list[Map], line: int) -> None:
        self.section(REWRITE, entries, Rewrite.objects.select_related("route", "provider"), line)

    def defaults(self, entry: Any, line: int) -> None:
        if isinstance(entry, Map):
            self.upsert(DEFAULTS, entry, Defaults.objects.first(), {})
        else:
            self.problem(line, "defaults must be a mapping of provider and model")

    # One list of objects of one kind.

    def section(self, kind: Kind, entries: list[Map], rows: Iterable[Any], line: int, **preset: Any) -> list[tuple[Map, Any]]:
        """Upsert ``entries``; the entries with their rows, without those that were refused."""
        pairs, spare = self.pair(kind, entries, rows)
        if self.prune or kind is TARGET:
            self.delete(kind, spare, line)
        done = [(entry, self.upsert(kind, entry, row, preset)) for entry, row in pairs]
        return [(entry, row) for entry, row in done if row is not None]

    def match(self, kind: Kind, entries: list[Map], rows: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        pairs, spare = self.pair(kind, entries, rows)
        return [self.upsert(kind, entry, row, {}) for entry, row in pairs], spare

    def pair(self, kind: Kind, entries: list[Map], rows: Iterable[Any]) -> tuple[list[tuple[Map, Any]], list[Any]]:
        """Each entry with the row that it means (None: a new one), and the rows that no entry means."""
        rows = list(rows)
        first: dict[tuple[str, ...], Any] = {}
        for row in rows:
            first.setdefault(kind.of_row(row), row)
        seen: dict[tuple[str, ...], int] = {}
        for entry in entries:
            identity = kind.of_entry(entry)
            if identity in seen:
                self.problem(entry.line, f"{kind.label(entry)} stands here twice; the first is on line {seen[identity]}.")
            seen.setdefault(identity, entry.line)
        meant = {id(first[identity]) for identity in seen if identity in first}
        return [(entry, first.get(kind.of_entry(entry))) for entry in entries], [row for row in rows if id(row) not in meant]

    def upsert(self, kind: Kind, entry: Map, row: Any, preset: dict[str, Any]) -> Any:
        """The row as ``entry`` wants it, saved if that changed anything; None where the entry is refused."""
        check = kind.ready(row, preset)
        try:
            check.run_validation(self.data(kind, entry, preset))
        except ValidationError as error:
            self.complain(kind, entry, error.detail, preset)
            return None
        changed = differences(check, row)
        if row is not None and not changed:
            self.report.unchanged[kind.word] += 1
            return row
        try:
            saved = check.write()
        except (IntegrityError, DataError):
            raise Refused((entry.line, f"{kind.label(entry, preset)} conflicts with another object, or does not fit the database.")) from None
        self.note(kind, saved, "created" if row is None else "changed", changed if row is not None else [])
        return saved

    def data(self, kind: Kind, entry: Map, preset: dict[str, Any]) -> dict[str, Any]:
        """What the serializer reads: names of fields for names of the file, secrets looked up."""
        found = {}
        for name in entry:
            if name not in kind.names and name not in kind.nested:
                known = (*kind.names, *kind.nested)
                self.problem(entry.line_of(name), f"{kind.label(entry, preset)}: there is no field {name}.{suggestion(name, known)}")
            elif name in kind.names:
                value = entry.text(name) if name in kind.texts else entry[name]
                found[kind.names[name]] = self.secret(value, entry.line_of(name)) if name in SECRETS else value
        return found

    def secret(self, value: Any, line: int) -> Any:
        """A literal as it is; for ``env:NAME`` what that variable holds."""
        if not isinstance(value, str) or not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        if not ENVIRONMENT.fullmatch(name):
            self.problem(line, "the name after env: must end in _API_KEY or _TOKEN.")
        elif not os.environ.get(name):
            self.problem(line, f"the environment variable {name} is not set.")
        return os.environ.get(name, "") if ENVIRONMENT.fullmatch(name) else ""

    def complain(self, kind: Kind, entry: Map, detail: Any, preset: dict[str, Any]) -> None:
        names = {field: name for name, field in kind.names.items()}
        for field_name, words in detail.items():
            name = names.get(field_name, "")
            text = " ".join(_words(words))
            self.problem(entry.line_of(name), f"{kind.label(entry, preset)}: {name + ': ' if name else ''}{text}")

    def delete(self, kind: Kind, rows: list[Any], line: int) -> None:
        for row in rows:
            words = kind.label_of_row(row)
            try:
                row.delete()
            except ProtectedError as error:
                protected: set[Model] = error.protected_objects
                self.problem(line, f"{words} cannot be pruned: it is still in use by {named(protected)}.")
                continue
            self.report.lines.append(f"deleted {words}")

    def note(self, kind: Kind, row: Any, action: str, changed: list[str]) -> None:
        words = kind.label_of_row(row)
        self.report.lines.append(f"{action} {words}" + (f": {', '.join(changed)}" if changed else ""))
        if kind is KEY:
            KEY.check.context["taken"].add(row.digest)
            if issued := row.__dict__.pop("issued", ""):
                self.report.issued.append((f"{row.tenant.name}/{row.name}", issued))


def _words(detail: Any) -> Iterator[str]:
    """Every sentence of an error, however it is nested."""
    if isinstance(detail, str):
        yield detail
    else:
        for part in detail.values() if isinstance(detail, dict) else detail:
            yield from _words(part)
