"""What the environment may say, what is made of it, and what stops the start."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_project.database import database
from gateway_project.environment import Environment, Refused
from gateway_project.keyring import MAKERS, encryption_keys, peppers
from gateway_project.logs import NotCancelled
from gateway_project.public import Address, is_loopback
from tests.live import environment
from tests.recordings import REPOSITORY


def manage(data: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    env = environment(data, {"GATEWAY_ENV_FILE": "", **extra})
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SERVER_PORT", "http"),
        ("SERVER_PORT", "70000"),
        ("SERVER_READ_TIMEOUT", "0"),
        ("SERVER_WRITE_TIMEOUT", "soon"),
        ("GATEWAY_DRAIN_DELAY", "-1"),
        ("GATEWAY_PUBLIC_URL", "gateway.example"),
        ("GATEWAY_PUBLIC_URL", "https://gateway.example/path"),
        ("GATEWAY_TRUSTED_PROXIES", "proxy"),
        ("GATEWAY_MAX_BODY_BYTES", "big"),
        ("GATEWAY_UPSTREAM_TRANSPORT", "requests"),
        ("GATEWAY_ALLOW_ANONYMOUS", "maybe"),
        ("LLM_GATEWAY_LOG_LEVEL", "loud"),
        ("OPENAI_TIMEOUT", "long"),
        ("LLM_GATEWAY_PROVIDERS_DEFAULT", "nobody"),
        ("DATABASE_URL", "mysql://somewhere/else"),
        ("DATABASE_URL", "nonsense"),
        ("GATEWAY_ENCRYPTION_KEYS", "short"),
        ("GATEWAY_KEY_PEPPERS", "short"),
        ("GATEWAY_EMAIL_URL", "mail.example.com"),
    ],
)
def test_a_value_not_understood_stops_the_start_and_names_the_variable(tmp_path: Path, name: str, text: str) -> None:
    done = manage(tmp_path, "check", **{name: text})
    assert done.returncode != 0
    assert f"{name}: " in done.stderr.strip().splitlines()[-1]


def test_refusals_do_not_repeat_secrets() -> None:
    for refuse in (
        lambda: encryption_keys("tell-nobody"),
        lambda: peppers("tell-nobody"),
        lambda: database(Environment({"DATABASE_URL": "postgres://u:tell-nobody@[bad"}), Path()),
    ):
        with pytest.raises(Refused) as refused:
            refuse()
        assert "tell-nobody" not in str(refused.value)


def test_unknown_variables_are_told_with_a_guess(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", GATEWAY_DRAIN_DELY="3", SERVER_COLOUR="red")
    assert done.returncode == 0
    assert "GATEWAY_DRAIN_DELY is set and means nothing here. Did you mean GATEWAY_DRAIN_DELAY?" in done.stderr
    assert "SERVER_COLOUR is set" in done.stderr


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_PUBLIC_URL=https://from-file.example\nSERVER_HOST=10.9.8.7\n")
    code = "from django.conf import settings; print(settings.GATEWAY_ADDRESS)"
    done = manage(tmp_path, "shell", "-v0", "-c", code, GATEWAY_ENV_FILE=str(file), SERVER_HOST="127.0.0.1")
    assert "https://from-file.example" in done.stdout, done.stderr
    assert "10.9.8.7" not in done.stdout


def test_postgresql_without_secrets_is_refused_with_the_command_that_makes_them(tmp_path: Path) -> None:
    url = "postgres://nobody@127.0.0.1:1/none"
    plain = dict.fromkeys(MAKERS, "")
    done = manage(tmp_path, "check", DATABASE_URL=url, **plain)
    refusal = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert all(name in refusal for name in MAKERS)
    command = refusal.rpartition("with:  ")[2].removesuffix(" >> .env").split()
    made = subprocess.run(
        [sys.executable, *command[1:]],
        cwd=REPOSITORY,
        env=environment(tmp_path, {"GATEWAY_ENV_FILE": "", **plain}),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert set(lines) == set(MAKERS)
    assert manage(tmp_path, "check", DATABASE_URL=url, **lines).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == []


def test_databases(tmp_path: Path) -> None:
    sqlite = database(Environment({}), tmp_path)
    assert sqlite["ENGINE"] == "django_prometheus.db.backends.sqlite3"
    assert stat.S_IMODE(Path(sqlite["NAME"]).stat().st_mode) == 0o600
    assert sqlite["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    elsewhere = database(Environment({"DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}), tmp_path)
    assert elsewhere["NAME"] == str(tmp_path / "other.db")
    postgres = database(Environment({"DATABASE_URL": "postgres://u:p%40ss@db:5433/gw?sslmode=require"}), tmp_path)
    assert postgres["ENGINE"] == "django_prometheus.db.backends.postgresql"
    assert (postgres["HOST"], postgres["PORT"], postgres["PASSWORD"]) == ("db", 5433, "p@ss")
    assert postgres["OPTIONS"] == {"sslmode": "require"}


def test_public_url_decides_hosts_origins_and_tls() -> None:
    plain = Address("", "127.0.0.1", 8080).django()
    assert plain["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert "SECURE_SSL_REDIRECT" not in plain
    tls = Address("https://gw.example:8443", "0.0.0.0", 8080).django()
    assert "gw.example" in tls["ALLOWED_HOSTS"]
    assert "0.0.0.0" not in tls["ALLOWED_HOSTS"]
    assert tls["CSRF_TRUSTED_ORIGINS"] == ["https://gw.example:8443"]
    assert tls["SECURE_SSL_REDIRECT"] and tls["SESSION_COOKIE_SECURE"] and tls["SECURE_SSL_HOST"] == "gw.example:8443"
    assert "[2001:db8::7]" in Address("", "2001:db8::7", 80).django()["ALLOWED_HOSTS"]


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        (Address("", "127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (Address("", "0.0.0.0", 80), "http://127.0.0.1:80"),
        (Address("", "::1", 8080), "http://[::1]:8080"),
        (Address("https://gw.example", "0.0.0.0", 8080), "https://gw.example"),
    ],
)
def test_printed_address(address: Address, printed: str) -> None:
    assert address.url == printed


@pytest.mark.parametrize(
    ("url", "host", "private"),
    [
        ("", "127.0.0.1", True),
        ("http://localhost:8080", "127.0.0.1", True),
        ("https://gw.example", "127.0.0.1", False),  # a proxy lets others in
        ("", "0.0.0.0", False),
        ("http://localhost:8080", "0.0.0.0", False),
    ],
)
def test_who_may_come_without_a_key_unless_the_operator_says_more(
    tmp_path: Path, url: str, host: str, private: bool
) -> None:
    assert Address(url, host, 8080).private is private
    code = "from django.conf import settings; print(settings.GATEWAY_ALLOW_ANONYMOUS)"
    told = [
        manage(
            tmp_path, "shell", "-v0", "-c", code, GATEWAY_PUBLIC_URL=url, SERVER_HOST=host, GATEWAY_ALLOW_ANONYMOUS=flag
        ).stdout
        for flag in ("", "1")
    ]
    assert told == [f"{private}\n", "True\n"]


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "gateway.example", ""))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"GATEWAY_PUBLIC_URL": "https://gateway.example"},
        {"GATEWAY_PUBLIC_URL": "http://gateway.internal:8080", "SERVER_HOST": "0.0.0.0"},
    ],
)
def test_nothing_to_warn_of_before_deployment(tmp_path: Path, extra: dict[str, str]) -> None:
    tmp_path.chmod(0o700)
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **extra)
    assert done.returncode == 0, done.stderr
    assert "WARNINGS" not in done.stderr


def test_a_data_directory_that_others_may_read_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "(mode 755)" in manage(tmp_path, "check").stderr


def test_a_cancelled_request_is_no_error_in_the_log() -> None:
    def record(error: BaseException) -> logging.LogRecord:
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception", (), (type(error), error, None))

    assert not NotCancelled().filter(record(asyncio.CancelledError()))
    assert NotCancelled().filter(record(ValueError()))


def test_the_suite_leaves_the_developers_directory_alone() -> None:
    assert os.environ["GATEWAY_DATA_DIR"] != str(REPOSITORY / "data")
