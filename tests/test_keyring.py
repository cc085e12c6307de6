"""The gateway's own secrets: made once, whole, and for the owner's eyes."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway_project.environment import Environment, Refused
from gateway_project.keyring import MAKERS, data_directory, encryption_keys, kept, keyring, peppers


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    data = data_directory(Environment({"GATEWAY_DATA_DIR": str(tmp_path / "new")}), tmp_path)
    made = keyring(Environment({}), data, generate=True)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {0o600}
    assert len(list(data.iterdir())) == len(MAKERS) == len(set(made.values()))
    assert keyring(Environment({}), data, generate=True) == made
    assert encryption_keys(made["GATEWAY_ENCRYPTION_KEYS"])
    assert peppers(made["GATEWAY_KEY_PEPPERS"])


def test_what_is_given_is_not_made(tmp_path: Path) -> None:
    assert keyring(Environment(dict.fromkeys(MAKERS, "given")), tmp_path, generate=True) == dict.fromkeys(
        MAKERS, "given"
    )
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    numbers = iter(range(1000))
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: kept(tmp_path / "secret", lambda: str(next(numbers))), range(64)))
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_an_empty_secret_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(Refused, match="is empty"):
        kept(tmp_path / "secret", lambda: "new")
