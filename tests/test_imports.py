"""The arrows of the house, and the data plane's independence of Django."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "gateway_project": {"routing", "providers", "tenants"},
    "routing": {"providers", "tenants"},
    "providers": set(),
    "tenants": set(),
}
#: What requests use: importable, and usable as a library, without Django settings.
DATA_PLANE = (
    "routing.gateway",
    "routing.views",
    "routing.table",
    "routing.log",
    "routing.metrics",
    "providers.upstream",
    "providers.dialects",
    "providers.embeddings",
    "providers.media",
    "providers.variants.registry",
    "providers.signers.sigv4",
    "providers.signers.google",
    "providers.demo",
    "tenants.ledger",
    "tenants.keys",
    "tenants.objects",
    "tenants.responses",
)
ENGINES = {"aiohttp", "httpcore", "httptools"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def modules(app: str) -> list[Path]:
    return [path for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_imports_follow_the_arrows(app: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(app)
        for name in imports(path)
        if (top := name.split(".")[0]) in MAY_IMPORT and top != app and top not in MAY_IMPORT[app]
    ]
    assert modules(app) and wrong == []


def test_only_one_module_imports_an_engine() -> None:
    users = {
        str(path.relative_to(ROOT))
        for app in MAY_IMPORT
        for path in modules(app)
        if ENGINES & {name.split(".")[0] for name in imports(path)}
    }
    assert users == {"providers/engines.py", "providers/aiohttp_engine.py", "providers/native_engine.py"}
    callers = {
        str(path.relative_to(ROOT))
        for app in MAY_IMPORT
        for path in modules(app)
        if "providers.engines" in imports(path) or ("providers" in imports(path) and "engines" in path.read_text())
    }
    assert callers - {"providers/engines.py"} == {"providers/upstream.py"}


@pytest.mark.parametrize("module", DATA_PLANE)
def test_data_plane_needs_no_django(module: str) -> None:
    code = f"import sys, {module}; bad = [m for m in sys.modules if m.split('.')[0] in ('django', 'channels')]; sys.exit(str(bad) if bad else 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
