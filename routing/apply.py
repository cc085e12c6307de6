"""Makes the database what a file says: the body of ``manage.py apply``.

Objects are found by name and only the fields that the file names are set; whatever would not change is not saved.
What counts as the same object: providers, tenants and routes (``model``) by name, projects and keys by name within their
tenant, credentials and models by name within their provider, targets by provider and upstream model within their route,
aliases by name and tenant, rewrites by route, provider, place, name and action, prices by scope, model and beginning,
hooks by class, tenant, route and title (the first of several). A route's ``targets`` are its whole list; all else is
deleted only with ``prune``, in lists that the file has. Listed models lose their abilities; projects go without keys.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, transaction
from django.db.models import Model, ProtectedError
from rest_framework.serializers import ValidationError

from providers.models import Provider, UpstreamModel
from routing import apply_budgets, apply_prices, apply_projects
from routing.api_rules import named
from routing.apply_kinds import Identity, Kind, differences, kinds, sentences, suggestion
from routing.apply_read import Map, Refused
from routing.hook_choice import classes, secret_options
from routing.models import Alias, Defaults, Hook, Rewrite, Route, Target
from tenants.models import ApiKey, Tenant

SECTIONS = ("version", "providers", "tenants", "prices", "routes", "aliases", "rewrites", "hooks", "defaults")
SECRETS = ("api_key", "key", "secret")
ENVIRONMENT = re.compile(r"[A-Za-z0-9_]*(_API_KEY|_TOKEN)")


@dataclass
class Report:
    """What was done. ``issued`` are the new keys, by tenant and name: the only secrets, and in no line."""

    lines: list[str] = field(default_factory=list)
    unchanged: Counter[str] = field(default_factory=Counter)
    issued: list[tuple[str, str]] = field(default_factory=list)


def apply(
    document: Map, *, prune: bool = False, dry_run: bool = False, keep: Callable[[Report], None] = lambda report: None
) -> Report:
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
        self.kinds = kinds()
        self.report = Report()
        self.problems: list[tuple[int, str]] = []
        self.spare: list[Provider] = []
        self.taken: set[str] = set()
        """Digests of all keys, where the document has any."""
        self.needed: set[int] = set()
        """Providers to which entries refer; those of rewrites do not protect them."""

    def run(self, document: Map) -> None:
        for name in document:
            if name not in SECTIONS:
                self.problem(document.line_of(name), f"there is no section {name}.{suggestion(name, SECTIONS)}")
        for name in SECTIONS[1:]:
            if name in document:
                getattr(self, name)(document, document.line_of(name))
                self.stop_on_problems()
        self.stop_on_problems()
        self.delete(self.kinds["provider"], self.spare, document.line_of("providers"), {})
        self.stop_on_problems()

    def problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def stop_on_problems(self) -> None:
        if self.problems:
            raise Refused(*sorted(self.problems))

    def entries(self, parent: Map, name: str) -> list[Map]:
        """The mappings of the list ``name``."""
        found = parent[name]
        if isinstance(found, list) and all(isinstance(entry, Map) for entry in found):
            return found
        self.problem(parent.line_of(name), f"{name} must be a list of mappings, each beginning with - ")
        return []

    # The sections, in the order in which they need one another.

    def providers(self, document: Map, line: int) -> None:
        for entry, provider in self.section(
            "provider", self.entries(document, "providers"), Provider.objects.all(), line
        ):
            if "credentials" in entry:
                self.credentials(entry, provider)
            if "models" in entry:
                self.models(entry, provider)

    def credentials(self, parent: Map, provider: Provider) -> None:
        """An ``api_key`` beside them is the credential named default, which is none of the list then."""
        entries, rows = self.entries(parent, "credentials"), provider.credentials.all()
        if "api_key" in parent:
            rows = rows.exclude(name="default")
            twice = [entry for entry in entries if self.kinds["credential"].of_entry(entry) == ("default",)]
            entries = [entry for entry in entries if entry not in twice]
            for entry in twice:
                self.problem(
                    entry.line, f"credential {provider.name}/default is the api_key already; give one of them."
                )
        self.section("credential", entries, rows, parent.line_of("credentials"), provider=provider)

    def models(self, parent: Map, provider: Provider) -> None:
        """Only those that the operator made, says something of, or names now."""
        entries = self.entries(parent, "models")
        named = {self.kinds["model"].of_entry(entry) for entry in entries}
        rows = [row for row in provider.models.all() if row.abilities or row.seen_at is None or (row.name,) in named]
        self.section("model", entries, rows, parent.line_of("models"), provider=provider)

    def tenants(self, document: Map, line: int) -> None:
        # Who gives the anonymous mark up comes before who gets it.
        entries = sorted(self.entries(document, "tenants"), key=lambda entry: entry.get("anonymous") is True)
        pairs = self.section("tenant", entries, Tenant.objects.all(), line)
        held: dict[int, list[ApiKey]] = defaultdict(list)
        if any("keys" in entry for entry, _ in pairs):
            for key in ApiKey.objects.all():
                held[key.tenant_id].append(key)
                self.taken.add(key.digest)
            self.kinds["key"].check.context["taken"] = self.taken
        for entry, tenant in pairs:
            if "projects" in entry:
                apply_projects.projects(self, entry, tenant)
            if "keys" in entry:
                self.section("key", self.entries(entry, "keys"), held[tenant.pk], entry.line_of("keys"), tenant=tenant)
            if "budgets" in entry:
                apply_budgets.budgets(self, entry, tenant)
            if "projects" in entry and self.prune:
                apply_projects.prune(self, entry, tenant)

    def routes(self, document: Map, line: int) -> None:
        held: dict[int, list[Target]] = defaultdict(list)
        for target in Target.objects.select_related("provider"):
            held[target.route_id].append(target)
        for entry, route in self.section("route", self.entries(document, "routes"), Route.objects.all(), line):
            if "targets" in entry:
                targets = self.entries(entry, "targets")
                self.section("target", targets, held[route.pk], entry.line_of("targets"), route=route)

    def aliases(self, document: Map, line: int) -> None:
        self.section("alias", self.entries(document, "aliases"), Alias.objects.select_related("tenant"), line)

    def rewrites(self, document: Map, line: int) -> None:
        rows = Rewrite.objects.select_related("route", "provider")
        self.section("rewrite", self.entries(document, "rewrites"), rows, line)

    prices = apply_prices.prices

    def hooks(self, document: Map, line: int) -> None:
        entries = self.entries(document, "hooks")
        for entry in entries:
            self.open_secrets(entry)
        self.section("hook", entries, Hook.objects.select_related("tenant", "route"), line)

    def open_secrets(self, entry: Map) -> None:
        """Look up the secret options of a hook that are references."""
        hook, options = classes().get(str(entry.get("name"))), entry.get("options")
        if hook is not None and isinstance(options, Map):
            for name in secret_options(hook) & options.keys():
                options[name] = self.secret(options[name], options.line_of(name), f"hook {entry['name']}")

    def defaults(self, document: Map, line: int) -> None:
        if isinstance(document["defaults"], Map):
            self.upsert(self.kinds["defaults"], document["defaults"], Defaults.objects.first(), {})
        else:
            self.problem(line, "defaults must be a mapping of provider and model.")

    # One list of objects of one kind.

    def section(
        self, word: str, entries: list[Map], rows: Iterable[Any], line: int, **preset: Any
    ) -> list[tuple[Map, Any]]:
        """Upsert ``entries``; the entries with their rows, without those that were refused."""
        kind = self.kinds[word]
        pairs, spare = self.pair(kind, entries, list(rows), preset)
        if word == "provider":
            self.spare = spare if self.prune else []  # to be deleted last, when no target holds them any more
        elif word == "target" or (self.prune and word != "project"):  # with which go its keys
            self.delete(kind, spare, line, preset)
        done = [(entry, self.upsert(kind, entry, row, preset)) for entry, row in pairs]
        return [(entry, row) for entry, row in done if row is not None]

    def pair(
        self, kind: Kind, entries: list[Map], rows: list[Any], preset: dict[str, Any]
    ) -> tuple[list[tuple[Map, Any]], list[Any]]:
        """Each entry with the row that it means (None: a new one), and the rows that no entry means."""
        first: dict[Identity, Any] = {}
        for row in rows:
            first.setdefault(kind.of_row(row), row)
        seen: dict[Identity, Map] = {}
        for entry in entries:
            identity = kind.of_entry(entry)
            if identity in seen:
                label, line = kind.label(identity, preset), seen[identity].line
                self.problem(entry.line, f"{label} stands here twice; the first is on line {line}.")
            seen.setdefault(identity, entry)
        meant = {row.pk for identity, row in first.items() if identity in seen}
        return [(entry, first.get(identity)) for identity, entry in seen.items()], [
            row for row in rows if row.pk not in meant
        ]

    def upsert(self, kind: Kind, entry: Map, row: Any, preset: dict[str, Any]) -> Any:
        """The row as ``entry`` wants it, saved if that changed anything; None where the entry is refused."""
        label = kind.label(kind.of_entry(entry), preset)
        check = kind.ready(row, preset)
        try:
            check.run_validation(self.data(kind, entry, label))
        except ValidationError as error:
            self.complain(kind, entry, label, error.detail)
            return None
        self.needed.add(getattr(check.row, "provider_id", None) or 0)
        changed = differences(check, row)
        if row is not None and not changed:
            self.report.unchanged[kind.word] += 1
            return row
        try:
            saved = check.write()
        except (IntegrityError, DataError):
            raise Refused(
                (entry.line, f"{label} conflicts with another object, or does not fit the database.")
            ) from None
        self.report.lines.append(f"created {label}" if row is None else f"changed {label}: {', '.join(changed)}")
        if kind.word == "key":
            self.taken.add(saved.digest)
            self.report.issued += [(label, plain) for plain in [saved.__dict__.pop("issued", "")] if plain]
        return saved

    def data(self, kind: Kind, entry: Map, label: str) -> dict[str, Any]:
        """What the serializer reads: names of fields for names of the file, secrets looked up."""
        found = {}
        for name in entry:
            if name in kind.names:
                value = entry.text(name) if name in kind.texts else entry[name]
                found[kind.names[name]] = self.secret(value, entry.line_of(name), label) if name in SECRETS else value
            elif name not in kind.nested:
                known = (*kind.names, *kind.nested)
                self.problem(entry.line_of(name), f"{label}: there is no field {name}.{suggestion(name, known)}")
        return found

    def secret(self, value: Any, line: int, label: str) -> Any:
        """A literal as it is; for ``env:NAME`` what that variable holds."""
        if not isinstance(value, str) or not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        if not ENVIRONMENT.fullmatch(name):
            self.problem(line, f"{label}: the name after env: must end in _API_KEY or _TOKEN.")
        elif not os.environ.get(name):
            self.problem(line, f"{label}: the environment variable {name} is not set.")
        else:
            return os.environ[name]
        return "x" * 20  # in the place of what is not there, so that nothing else complains of it

    def complain(self, kind: Kind, entry: Map, label: str, detail: Any) -> None:
        names = {ours: theirs for theirs, ours in kind.names.items()}
        for field_name, words in detail.items():
            name = names.get(field_name, "")
            self.problem(entry.line_of(name), f"{label}: {name and name + ': '}{' '.join(sentences(words))}")

    def delete(self, kind: Kind, rows: list[Any], line: int, preset: dict[str, Any]) -> None:
        for row in rows:
            label = kind.label(kind.of_row(row), preset)
            if kind.word == "provider" and row.pk in self.needed:
                self.problem(line, f"{label} cannot be pruned: other parts of the file refer to it.")
                continue
            if isinstance(row, UpstreamModel) and row.seen_at is not None:
                row.abilities = {}
                row.save()
                self.report.lines.append(f"changed {label}: abilities")
                continue
            try:
                row.delete()
            except ProtectedError as error:
                protected: set[Model] = error.protected_objects
                self.problem(line, f"{label} cannot be pruned: it is still in use by {named(protected)}.")
                continue
            self.taken.discard(getattr(row, "digest", ""))
            self.report.lines.append(f"deleted {label}")
