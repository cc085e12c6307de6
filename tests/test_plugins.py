"""Kinds of providers and dialects of other packages: installed, found once, checked, and used like our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from providers import plugins
from providers.conformance import Sample, faults
from providers.dialects import UPSTREAMS
from providers.plugins import DIALECTS, KINDS, PluginError
from providers.presets import ALL_APIS, PRESETS, Preset
from tests.live import LIMIT, environment
from tests.packages import acme_llm
from tests.recordings import REPOSITORY

WHOLE = {"id": "a", "model": "x", "bits": ["sa", "id"], "in": 3, "out": 2}
LINES = [{"id": "a", "model": "x"}, {"bit": "sa"}, {"bit": "id"}, {"in": 3, "out": 2}]
STREAM = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)


def install(at: Path, entry_points: str = acme_llm.entry_points, more: str = "") -> Path:
    """The package as an installer would leave it."""
    (at / "acme_llm.py").write_text(Path(acme_llm.__file__).read_text() + more)
    info = at / "acme_llm-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-llm\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return at


def python(at: Path, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    data = at / "data"
    data.mkdir(exist_ok=True, mode=0o700)
    env = {**environment(data, extra), "PYTHONPATH": f"{at}{os.pathsep}{REPOSITORY}"}
    return subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=LIMIT
    )


def ran(at: Path, *command: str) -> str:
    done = python(at, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# ---------------------------------------------------------------- one that is right

CALL = """
import asyncio, json
import httpx
from routing.gateway import Gateway
from routing.declarations import Provider, Route, Target
from providers.upstream import Connections

sent = []
def acme(request):
    sent.append([request.url.path, dict(request.headers), json.loads(request.content)])
    live = sent[-1][2]["live"]
    return httpx.Response(200, content=STREAM) if live else httpx.Response(200, json=WHOLE)

async def main():
    gateway = Gateway(
        Connections(transports={"*": httpx.MockTransport(acme)}),
        providers=[Provider("them", "acme", api_key="acme-key")],
        routes=[Route("m", [Target("them", model="acme-1")])],
    )
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.25}
    async with gateway:
        whole = await gateway.chat(**asked)
        chunks = [chunk async for chunk in gateway.stream(**asked)]
    print(json.dumps({"sent": sent, "whole": whole, "chunks": chunks}))

asyncio.run(main())
"""


def test_a_package_conforms() -> None:
    assert faults(acme_llm, [Sample("said", whole=WHOLE, stream=STREAM)]) == []


def test_clients_of_any_dialect_are_answered_by_it(tmp_path: Path) -> None:
    install(tmp_path)
    told = json.loads(ran(tmp_path, "-c", f"WHOLE, STREAM = {WHOLE!r}, {STREAM!r}\n{CALL}"))
    (path, headers, doc), (_, _, live) = told["sent"]
    assert path == "/v9/talk" and headers["api-key"] == "acme-key" and headers["acme-version"] == "9"
    assert doc == {"model": "acme-1", "said": [{"who": "user", "words": ["hello"]}], "live": False, "heat": 0.25}
    assert live == {**doc, "live": True}
    assert told["whole"]["choices"][0]["message"]["content"] == "said"
    assert told["whole"]["usage"]["total_tokens"] == 5
    pieces = [choice["delta"].get("content") for chunk in told["chunks"] for choice in chunk["choices"]]
    assert "".join(filter(None, pieces)) == "said"


CONFIG = {
    "version": 1,
    "providers": [{"name": "them", "kind": "acme", "api_key": "acme-key"}],
    "routes": [{"model": "m", "targets": [{"provider": "them", "api": "acme"}]}],
}
TABLE = """
import django, os, json
os.environ["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
django.setup()
from routing.load import Loader
from routing.warnings import warnings
from providers.models import Provider
table = Loader().refresh()
(target,) = table.routes["m"].targets
row = Provider.objects.get()
print(json.dumps([sorted(target.upstream.apis), target.upstream.base_url, row.get_kind_display(), [w.text for w in warnings()]]))
"""


def test_the_admin_the_api_and_files_know_it_and_its_leaving_breaks_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))
    ran(tmp_path, "manage.py", "migrate", "-v", "0")
    ran(tmp_path, "manage.py", "apply", str(tmp_path / "config.yaml"))
    assert "No changes detected" in ran(tmp_path, "manage.py", "makemigrations", "--check", "--dry-run")
    assert json.loads(ran(tmp_path, "-c", TABLE)) == [["acme"], "https://api.acme.test", "Acme", []]
    (tmp_path / "acme_llm-1.0.dist-info" / "entry_points.txt").write_text("")
    apis, address, kind, dangers = json.loads(ran(tmp_path, "-c", TABLE))
    assert (apis, address, kind) == ([], "", "acme")
    assert "Provider them is of the kind acme, which no package here has: nothing is sent to it." in dangers


# ---------------------------------------------------------------- those that are wrong


def test_a_wrong_one_stops_the_start_in_words(tmp_path: Path) -> None:
    install(tmp_path, more="\ndel url\n")
    for command in (["manage.py", "serve", "--port", "0"], ["manage.py", "check"]):
        done = python(tmp_path, *command)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "acme (acme_llm of the package acme-llm) in llm_gateway.dialects: it has no url" in done.stderr
    library = python(tmp_path, "-c", "import routing.gateway")
    assert "providers.plugins.PluginError: acme (acme_llm" in library.stderr


def dialect(**changes: Any) -> Any:
    names = {name: getattr(acme_llm, name) for name in ("NAME", "API", "NEEDS_DATA", *plugins.CALLED)}
    return SimpleNamespace(**{**names, **changes})


class Entry(SimpleNamespace):
    """An entry point of a package that is not there."""

    dist = None

    def __lt__(self, other: Any) -> bool:
        return bool(self.name < other.name)

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def entry(group: str, found: Any, name: str = "acme") -> Any:
    return Entry(name=name, value="acme_llm", group=group, found=found)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    entries: list[Any] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: [each for each in entries if each.group == group])
    before = dict(UPSTREAMS), list(ALL_APIS), dict(PRESETS)
    yield entries
    assert before == (UPSTREAMS, ALL_APIS, PRESETS), "of several nothing is taken where one is wrong"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            [entry(DIALECTS, ImportError("No module named 'x'"))],
            "acme (acme_llm) in llm_gateway.dialects: No module named",
        ),
        ([entry(DIALECTS, RuntimeError())], "RuntimeError"),
        ([entry(DIALECTS, dialect(NAME="other"))], "its NAME is 'other' and not 'acme'"),
        ([entry(DIALECTS, dialect(API="A B"))], "its API must be"),
        ([entry(DIALECTS, dialect(API="chat"))], "the API chat is there already"),
        ([entry(DIALECTS, dialect(NEEDS_DATA=()))], "NEEDS_DATA must be a frozenset"),
        ([entry(DIALECTS, dialect(read_error=lambda status: None))], "its read_error must take 2 arguments"),
        ([entry(DIALECTS, dialect(NAME="gemini"), "gemini")], "the name is there already"),
        ([entry(DIALECTS, dialect()), entry(DIALECTS, dialect())], "the name is there already"),
        ([entry(DIALECTS, dialect()), entry(DIALECTS, dialect(NAME="b"), "b")], "the API acme is there already"),
        ([entry(DIALECTS, dialect(NAME="A"), "A")], "a name has 1 to 40"),
        ([entry(KINDS, {"title": "x"})], "it is no providers.presets.Preset"),
        ([entry(KINDS, Preset("openai"), "openai")], "the name is there already"),
        ([entry(KINDS, Preset("", "https://x.test"))], "its title must be a text"),
        ([entry(KINDS, Preset("X", "x.test"))], "its base_url must begin with"),
        ([entry(KINDS, Preset("X", apis=("acme",)))], "there is no API acme; there are chat"),
        ([entry(KINDS, Preset("X", apis=()))], "its apis must name at least one"),
        ([entry(KINDS, Preset("X", auth="basic"))], "its auth must be one of bearer"),
        ([entry(KINDS, Preset("X", stream_usage="maybe"))], "its stream_usage must be one of native, ask"),
        ([entry(KINDS, Preset("X", variant="mine"))], "its variant must be one of"),
        ([entry(DIALECTS, dialect()), entry(KINDS, Preset("X", auth="basic"))], "its auth must be one of"),
    ],
)
def test_what_is_wrong_is_said(installed: list[Any], entries: list[Any], words: str) -> None:
    installed += entries
    with pytest.raises(PluginError) as error:
        plugins.load.__wrapped__()
    assert words in str(error.value)


def test_all_that_is_wrong_is_said_at_once(installed: list[Any]) -> None:
    installed += [entry(DIALECTS, dialect(API="")), entry(KINDS, None), entry(KINDS, Preset("X", auth="y"), "b")]
    with pytest.raises(PluginError) as error:
        plugins.load.__wrapped__()
    assert str(error.value).count("; ") == 2


def test_our_own_presets_would_pass() -> None:
    assert all(plugins.checked_kind(preset, []) is preset for preset in PRESETS.values())
    assert all(plugins.checked_dialect(name, found) is found for name, found in UPSTREAMS.items())
