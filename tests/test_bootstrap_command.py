"""``manage.py bootstrap``: who is told the secrets, and that many at once make one of each."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway_project.keyring import MAKERS
from tests.live import database, environment
from tests.recordings import REPOSITORY


def start(data: Path, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "bootstrap", "--migrate", *arguments]
    env = environment(data, {"GATEWAY_ENV_FILE": "", **extra})
    return subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(data: Path, *arguments: str, **extra: str) -> str:
    process = start(data, *arguments, **extra)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def test_secrets_go_into_a_file_unless_a_terminal_or_the_operator_wants_them(tmp_path: Path) -> None:
    output = run(tmp_path)
    file = tmp_path / "first-start.txt"
    assert str(file) in output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = next(word for word in file.read_text().split() if word.startswith("gw-"))
    assert key not in output
    assert run(tmp_path).strip() == ""
    assert "Authorization: Bearer gw-" in run(tmp_path / "another", PRINT_SECRETS="1")
    assert not (tmp_path / "another" / "first-start.txt").exists()


def test_migrate_makes_the_table_of_the_shared_cache(tmp_path: Path) -> None:
    run(tmp_path)
    with contextlib.closing(database(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM gateway_shared_cache").fetchone()[0] == 0


def test_json(tmp_path: Path) -> None:
    hidden = json.loads(run(tmp_path / "one", "--json"))
    assert set(hidden) == {"admin_url", "providers", "secrets_file"}
    shown = json.loads(run(tmp_path / "two", "--json", PRINT_SECRETS="1"))
    assert {"username", "password", "key", "curl"} <= set(shown)
    assert {"username", "password", "key", "curl"} <= set(json.loads(Path(hidden["secrets_file"]).read_text()))
    assert set(json.loads(run(tmp_path / "two", "--json"))) == {"admin_url", "providers"}


def test_a_terminal_is_told(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    env = environment(tmp_path, {"GATEWAY_ENV_FILE": ""})
    process = subprocess.Popen(
        [sys.executable, "manage.py", "bootstrap", "--migrate"], cwd=REPOSITORY, env=env, stdout=child
    )
    os.close(child)
    output = b""
    try:
        while piece := os.read(parent, 4096):
            output += piece
    except OSError:  # Linux's way of saying that the other side is closed
        pass
    os.close(parent)
    assert process.wait(120) == 0
    assert b"Authorization: Bearer gw-" in output
    assert not (tmp_path / "first-start.txt").exists()


def at_once(data: list[Path], **extra: str) -> list[dict[str, Any]]:
    processes = [start(path, "--json", PRINT_SECRETS="1", **extra) for path in data]
    ended = [(process.communicate(timeout=240), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0] * len(data), ended
    return [json.loads(output) for (output, _), _ in ended]


def test_three_at_once_make_one_of_each(tmp_path: Path) -> None:
    told = at_once([tmp_path] * 3)
    assert sum("password" in found for found in told) == 1
    assert sum("key" in found for found in told) == 1
    with contextlib.closing(database(tmp_path)) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("auth_user", "tenants_tenant", "tenants_apikey", "providers_provider")
        ]
    assert counts == [1, 1, 1, 1]


@pytest.fixture
def empty_postgres() -> Iterator[str]:
    """The URL of a database of its own."""
    server, name = os.environ["DATABASE_URL"], f"gateway_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.postgres
def test_three_machines_at_once_make_one_of_each(tmp_path: Path, empty_postgres: str) -> None:
    secrets = {name: make() for name, make in MAKERS.items()}
    told = at_once([tmp_path / str(number) for number in range(3)], DATABASE_URL=empty_postgres, **secrets)
    assert sum("password" in found for found in told) == 1
    assert sum("key" in found for found in told) == 1
    with psycopg.connect(empty_postgres) as connection:
        tables = ("auth_user", "tenants_tenant", "tenants_apikey", "providers_provider")
        rows = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    assert rows == [(1,)] * 4


@pytest.mark.postgres
def test_a_machine_with_another_secret_is_refused(tmp_path: Path, empty_postgres: str) -> None:
    secrets = {name: make() for name, make in MAKERS.items()}
    run(tmp_path, DATABASE_URL=empty_postgres, **secrets)
    process = start(
        tmp_path, DATABASE_URL=empty_postgres, **secrets | {"GATEWAY_KEY_PEPPERS": MAKERS["GATEWAY_KEY_PEPPERS"]()}
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert errors.startswith("CommandError: GATEWAY_KEY_PEPPERS is not the one that this database was written with")
