"""The hot path as machine code: what may be compiled, and that nothing stale is ever used."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_project import compiled

APPS = ("gateway_project", "providers", "routing", "tenants")


def classes(path: Path) -> Iterator[tuple[str, set[str]]]:
    """The classes of a module with the names of their bases, as ``module.name`` where they are imported."""
    tree = ast.parse(path.read_text())
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    module = str(path.relative_to(compiled.ROOT).with_suffix("")).replace(os.sep, ".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            yield f"{module}.{node.name}", {known.get(name, f"{module}.{name}") for name in bases}


def test_no_class_of_a_compiled_module_has_subclasses_elsewhere() -> None:
    """They cannot be made: "interpreted classes cannot inherit from compiled"."""
    modules = set(compiled.names())
    paths = [path for app in APPS for path in (compiled.ROOT / app).rglob("*.py")]
    found = {name: bases for path in paths for name, bases in classes(path)}
    wrong = {
        name: base
        for name, bases in found.items()
        for base in bases & found.keys()
        if base.rpartition(".")[0] in modules and name.rpartition(".")[0] not in modules
    }
    assert wrong == {}


def test_each_module_is_there_once() -> None:
    names = compiled.names()
    assert len(names) == len(set(names))
    assert [name for name in names if not compiled.source(name).exists()] == []
