"""``DATABASE_URL`` as Django's DATABASES: SQLite in the data directory by default, or PostgreSQL; both counted by django-prometheus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url

from gateway_project.environment import Environment, Refused

ENGINES = {
    "django.db.backends.sqlite3": "django_prometheus.db.backends.sqlite3",
    "django.db.backends.postgresql": "django_prometheus.db.backends.postgresql",
}
SQLITE = ENGINES["django.db.backends.sqlite3"]
#: Write-ahead log: readers never wait for the writer. NORMAL loses nothing when a process dies, only on power loss.
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000"
BUSY_SECONDS = 20
FILE_NAME = "gateway.sqlite3"


def database(env: Environment, data: Path) -> dict[str, Any]:
    text = env.text("DATABASE_URL")
    if not text:
        return _sqlite(data / FILE_NAME)
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(text))
    except (dj_database_url.ParseError, dj_database_url.UnknownSchemeError, ValueError):
        # The URL may hold a password: it is not repeated.
        raise Refused(
            "DATABASE_URL: not a URL such as postgres://user:password@host:5432/name or sqlite:////path/file."
        ) from None
    if found["ENGINE"] not in ENGINES:
        raise Refused("DATABASE_URL: only postgres:// and sqlite:// are supported.")
    if ENGINES[found["ENGINE"]] == SQLITE:
        return _sqlite(Path(found["NAME"]))
    # Connections are per thread, and under ASGI threads come and go: a kept one would be kept for nobody.
    return found | {"ENGINE": ENGINES[found["ENGINE"]], "CONN_MAX_AGE": 0}


def _sqlite(path: Path) -> dict[str, Any]:
    if str(path) != ":memory:":
        _make(path)
    # IMMEDIATE: a transaction that reads first and writes later waits its turn instead of failing with "locked".
    options = {"timeout": BUSY_SECONDS, "transaction_mode": "IMMEDIATE", "init_command": PRAGMAS}
    return {"ENGINE": SQLITE, "NAME": str(path), "OPTIONS": options}


def _make(path: Path) -> None:
    """Make the file with mode 0600; SQLite gives its -wal and -shm the same."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Refused(f"The database {path} cannot be opened: {error.strerror}.") from None
