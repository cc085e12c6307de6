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
    "routing.library",
    "routing.mounting",
    "routing.paths",
    "routing.views",
    "routing.table",
    "routing.log",
    "routing.metrics",
    "routing.means",
    "routing.hook_classes",
    "routing.shipped.moderate",
    "providers.upstream",
    "providers.building",
    "providers.rules",
    "providers.dialects",
    "providers.embeddings",
    "providers.media",
    "providers.posting",
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
    server = {"gateway_project/protocol.py"}  # it shares the parser
    assert users - server == {"providers/engines.py", "providers/aiohttp_engine.py", "providers/native_connection.py"}
    callers = {
        str(path.relative_to(ROOT))
        for app in MAY_IMPORT
        for path in modules(app)
        if "providers.engines" in imports(path) or ("providers" in imports(path) and "engines" in path.read_text())
    }
    assert callers - {"providers/engines.py"} == {"providers/upstream.py"}


#: A gateway of declarations at work: whole, streamed, through its own hook, and as an application.
LIBRARY = """
import asyncio
from routing.gateway import Gateway
from routing.mounting import Mounted
async def send(message): assert message.get("status", 200) == 200
async def receive(): return {"type": "http.request", "body": b'{"model": "demo", "messages": []}'}
async def work():
    demo = {"name": "demo", "kind": "demo"}
    hooks = [{"name": "Redact"}, {"name": "Inject", "options": {"text": "Be kind."}}]
    gateway = Gateway(providers=[demo], defaults={"provider": "demo"}, hooks=hooks)
    asked = [{"role": "user", "content": "Hello"}]
    async with gateway:
        assert (await gateway.chat(model="demo", messages=asked))["choices"]
        assert [event async for event in gateway.stream(model="demo", messages=asked)]
        scope = {"type": "http", "method": "POST", "path": "/llm/v1/chat/completions", "headers": []}
        await Mounted(None, {"/llm": gateway})(scope, receive, send)
asyncio.run(work())
"""


@pytest.mark.parametrize(
    "code", [*(f"import {module}" for module in DATA_PLANE), LIBRARY], ids=[*DATA_PLANE, "at work"]
)
def test_data_plane_needs_no_django(code: str) -> None:
    told = "import sys; bad = [m for m in sys.modules if m.split('.')[0] in ('django', 'channels')]"
    code += f"\n{told}\nsys.exit(str(bad) if bad else 0)"
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
