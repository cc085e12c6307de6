"""Projects in a file for ``manage.py apply``: made before the keys that are in them, and pruned after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routing.apply_read import Map
from tenants.models import Project, Tenant

if TYPE_CHECKING:
    from routing.apply import _Work


def projects(work: _Work, parent: Map, tenant: Tenant) -> None:
    rows = tenant.projects.all()
    work.section("project", work.entries(parent, "projects"), rows, parent.line_of("projects"), tenant=tenant)


def prune(work: _Work, parent: Map, tenant: Tenant) -> None:
    """Those without keys: with a project would go its keys."""
    kind, line, preset = work.kinds["project"], parent.line_of("projects"), {"tenant": tenant}
    named = {kind.of_entry(entry) for entry in work.entries(parent, "projects")}
    spare = [row for row in tenant.projects.all() if kind.of_row(row) not in named]
    held = {row.pk for row in Project.objects.filter(pk__in=[row.pk for row in spare], keys__isnull=False)}
    for row in spare:
        if row.pk in held:
            work.problem(line, f"{kind.label(kind.of_row(row), preset)} cannot be pruned: there are keys in it.")
    work.delete(kind, [row for row in spare if row.pk not in held], line, preset)
