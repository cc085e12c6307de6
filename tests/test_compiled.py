"""The hot path as machine code: what may be compiled, and that nothing stale is ever used."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway_project import compiled

#: What each object of a compiled class gets at its making: constants, and nothing that is found elsewhere.
MAY_BE_SET = re.compile(r"\w+(: .+)? = (None|True|False|-?[\d.]+|b?'[^']*'|\(\)|[A-Z_]+)|__slots__ = .*")
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


@cache
def known() -> dict[str, set[str]]:
    paths = [path for app in APPS for path in (compiled.ROOT / app).rglob("*.py")]
    return {name: bases for path in paths for name, bases in classes(path)}


def test_no_class_of_a_compiled_module_has_subclasses_elsewhere() -> None:
    """They cannot be made: "interpreted classes cannot inherit from compiled"."""
    modules, found = set(compiled.names()), known()
    wrong = {
        name: base
        for name, bases in found.items()
        for base in bases & found.keys()
        if base.rpartition(".")[0] in modules and name.rpartition(".")[0] not in modules
    }
    assert wrong == {}


@pytest.mark.parametrize("name", compiled.names())
def test_what_is_compiled_otherwise_than_python_runs_it_is_not_used(name: str) -> None:
    """An ``await`` in ``finally`` raises again what was thrown into the coroutine and handled there. A class attribute hides
    none of a base that is not compiled, and is not there in subclasses of built-in types."""
    tree = ast.parse(compiled.source(name).read_text())
    waits = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    ends = [line for node in ast.walk(tree) if isinstance(node, ast.Try) for line in node.finalbody]
    assert [ast.unparse(line) for line in ends if any(isinstance(each, waits) for each in ast.walk(line))] == []
    ours = {name.rpartition(".")[2] for name in known() if name.rpartition(".")[0] in compiled.names()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.decorator_list:
            bases = {ast.unparse(base).partition("[")[0] for base in node.bases} - {"ABC", "NamedTuple", "Protocol"}
            set_here = [
                ast.unparse(line) for line in node.body if isinstance(line, ast.Assign | ast.AnnAssign) and line.value
            ]
            assert bases <= ours or set_here == [], node.name
            known_here = [line for line in set_here if not MAY_BE_SET.fullmatch(line)]
            assert known_here == [], node.name


def test_each_module_is_there_once() -> None:
    names = compiled.names()
    assert len(names) == len(set(names))
    assert [name for name in names if not compiled.source(name).exists()] == []


def test_the_compiler_is_the_one_that_is_pinned() -> None:
    assert compiled.COMPILER.replace(" ", "==") in (compiled.ROOT / "requirements-dev.txt").read_text().splitlines()


class Room:
    """A project of its own, with a file in the place of one compiled module: which of the two is found is what counts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in {
            "gateway_project/__init__.py": "from gateway_project import compiled\ncompiled.use()\n",
            "gateway_project/compiled.py": Path(compiled.__file__).read_text(),
            "tenants/__init__.py": "",
        }.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        for name in compiled.names():
            path = root / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text("def where(): return 'source'\n")

    def compile(self) -> None:
        place = self._say("compiled.directory()")
        extension = self._say("compiled.EXTENSION_SUFFIXES[0]")
        file = Path(place, "tenants", f"uuid7{extension}")
        file.parent.mkdir(parents=True)
        file.touch()

    def _say(self, what: str) -> str:
        return self.run(f"import gateway_project; from gateway_project import compiled; print({what})")

    def found(self, **environment: str) -> str:
        """Where a process would load the module from."""
        code = "import gateway_project, importlib.util as i; print(i.find_spec('tenants.uuid7').origin)"
        return "source" if self.run(code, **environment).endswith(".py") else "compiled"

    def run(self, code: str, **environment: str) -> str:
        env = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.root, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()


def test_what_was_compiled_is_used_until_anything_changes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    assert room.found() == "source"
    room.compile()
    assert room.found(GATEWAY_COMPILED="1") == "compiled"
    assert room.found() == room.found(GATEWAY_COMPILED="0") == "source"
    changed = tmp_path / "routing" / "gateway.py"
    before = changed.read_text()
    changed.write_text(before + "\n")
    assert room.found(GATEWAY_COMPILED="1") == "source"  # all or none: they call each other without Python in between
    changed.write_text(before)
    assert room.found(GATEWAY_COMPILED="1") == "compiled"
