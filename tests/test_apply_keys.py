"""``manage.py apply``: keys and secrets."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from django.core.management import CommandError
from pytest_django.fixtures import Settings as SettingsWrapper

from routing.apply_read import Refused
from tenants import keys
from tenants.models import ApiKey, Tenant
from tests.apply_site import GOLDEN, SECRETS, apply_environment, do, run

pytestmark = pytest.mark.django_db
assert apply_environment  # the fixture


def test_a_new_key_goes_to_a_file_of_its_own(tmp_path: Path, settings: SettingsWrapper) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    assert "created key t/k" in run(file, "--dry-run")
    assert not list(tmp_path.glob("*.txt"))
    printed = run(file)
    (kept,) = tmp_path.glob("*.txt")
    label, plain = kept.read_text().strip().split(": ")
    assert label == "key t/k"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ApiKey.objects.get().digest == keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()
    assert str(kept) in printed
    assert plain not in printed
    run(file)
    assert list(tmp_path.glob("*.txt")) == [kept]


def test_a_new_key_is_printed_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINT_SECRETS", "1")
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    assert re.search(r"^key t/k: gw-[\w-]{43}$", run(file), re.MULTILINE)
    assert not list(tmp_path.glob("*.txt"))


def test_a_key_that_cannot_be_kept_is_not_made(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.GATEWAY_DATA_DIR = tmp_path / "gone"
    file = tmp_path / "keys.yaml"
    file.write_text("version: 1\ntenants: [{name: t, keys: [{name: k}]}]")
    with pytest.raises(FileNotFoundError):
        run(file)
    assert not Tenant.objects.exists()


def test_no_secret_is_printed(tmp_path: Path) -> None:
    secrets = ["sk-canary-0123456789", "gw-canary-0123456789", *SECRETS.values()]
    good = f"providers: [{{name: p, kind: openai, api_key: {secrets[0]}}}]\ntenants: [{{name: t, keys: [{{name: k, key: {secrets[1]}}}]}}]\n"
    file = tmp_path / "file.yaml"
    said = []
    for text in (
        good,
        good + "aliases: [{name: a*, model: b}]",
        good + "broken: [",
        good.replace("kind: openai", "kind: openai\n  kind: x"),
        good.replace("}]}]", "}, {name: l, key: gw-canary-0123456789}]}]"),
    ):
        file.write_text("version: 1\n" + text)
        try:
            said.append(run(file, "--verbosity", "2"))
        except CommandError as error:
            said.append(str(error))
    said.append(run(GOLDEN / "full.yaml", "--verbosity", "3"))
    assert [secret for secret in secrets if secret in "\n".join(said)] == []
    assert sum("Nothing was changed." in one for one in said) == 4


def test_a_key_under_an_older_pepper_is_unchanged(settings: SettingsWrapper) -> None:
    file = "tenants: [{name: t, keys: [{name: k, key: gw-01234567890123456789}]}]"
    do(file)
    settings.GATEWAY_KEY_PEPPERS = [b"a new pepper", *settings.GATEWAY_KEY_PEPPERS]
    assert do(file) == []
    with pytest.raises(Refused, match="in use already"):
        do("tenants: [{name: u, keys: [{name: k, key: gw-01234567890123456789}]}]")
