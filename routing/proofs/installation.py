"""An installation for one proof: a directory, a database of its own, an environment in which the operator's is not seen."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from routing.proofs.plan import Plan

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("GATEWAY_", "LLM_GATEWAY_", "SERVER_", "SECRET_", "DJANGO_", "DATABASE_", "OPENAI_", "ANTHROPIC_", "GEMINI_")
SECONDS = 120.0
PREFIX = "gateway_proof_"
NO_PRICES = {"format": 1, "source": "none", "vendors": [], "unexpressed": []}


class Failed(Exception):
    """A command of the installation has failed; the text is what it said."""


class Installation:
    def __init__(self, directory: Path, database: str, extra: Mapping[str, str] | None = None) -> None:
        self.directory, self.database = directory, database
        self.spool = directory / "spool"
        self.log = directory / "upstream.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # they start again and again
        prices = directory / "prices.json"
        prices.write_text(json.dumps(NO_PRICES))
        self.environment |= {
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "GATEWAY_ENV_FILE": "",
            "GATEWAY_DATA_DIR": str(directory),
            "GATEWAY_SPOOL_DIR": str(self.spool),
            "GATEWAY_PRICES_FILE": str(prices),
            "GATEWAY_DRAIN_DELAY": "0",
            "GATEWAY_DRAIN_TIMEOUT": "10",
            "GATEWAY_TELL_ADMISSION": "1",
            "LLM_GATEWAY_LOG_LEVEL": "warning",
            "DATABASE_URL": database,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "GATEWAY_ENCRYPTION_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "GATEWAY_KEY_PEPPERS": secrets.token_urlsafe(32),
            **(extra or {}),
        }

    def manage(self, *arguments: str) -> str:
        """Raises Failed."""
        return self._run([sys.executable, "manage.py", *arguments])

    def ask(self, module: str, told: Any = None) -> Any:
        """What a module of the proofs answers within this installation, in JSON. Raises Failed."""
        return json.loads(self._run([sys.executable, "-m", module], json.dumps(told)))

    def make(self, plan: Plan, upstream: str) -> Made:
        self.manage("migrate", "--verbosity", "0")
        answer = self.ask("routing.proofs.site", {**plan.document(), "upstream": upstream})
        return Made(answer["keys"], answer["counters"])

    def _run(self, command: list[str], told: str = "") -> str:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=ROOT,
            env=self.environment,
            input=told,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{' '.join(command[1:3])}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout


class Made:
    """``keys`` are in the clear, ``counters`` the budgets' names in the store; both by path."""

    def __init__(self, keys: dict[str, str], counters: dict[str, str]) -> None:
        self.keys, self.counters = keys, counters


@contextmanager
def installation(database: str = "", *, keep: bool = False, **extra: str) -> Iterator[Installation]:
    """On SQLite, or on a new database beside the one that the URL names; all of it is taken away at the end."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with _database(database, directory) as url:
            yield Installation(directory, url, extra)
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _database(url: str, directory: Path) -> Iterator[str]:
    if not url:
        yield f"sqlite:///{directory / 'gateway.sqlite3'}"
        return
    name = f"{PREFIX}{secrets.token_hex(6)}"
    _say(url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        _say(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _say(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)


@contextmanager
def upstream(at: Installation, **options: float) -> Iterator[str]:
    """The base URL of an upstream that writes down what it serves in the installation's directory."""
    command = [sys.executable, "-m", "routing.proofs.upstream", str(at.log)]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
