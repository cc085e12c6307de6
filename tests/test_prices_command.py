"""``manage.py prices``: makes the catalogue's file, tells what is in it, and what another one changes."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from tests.prices import catalogue, compiled

__all__ = ["catalogue"]  # a fixture


def prices(*arguments: str) -> str:
    out = io.StringIO()
    call_command("prices", *arguments, stdout=out)
    return out.getvalue()


def test_it_makes_the_file_once(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices.json"
    assert prices("--compile") == f"{path}: made\n"
    assert path.read_bytes() == compiled().read_bytes()
    assert prices("--compile") == f"{path}: nothing new\n"


def test_it_tells_what_it_holds(catalogue: Path) -> None:
    said = prices()
    assert "genai-prices 0." in said and "vendors" in said and "rounded half-even" in said


def test_it_says_what_an_upgrade_changes(catalogue: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "prices-1.json", tmp_path / "prices-2.json"
    shutil.copy(catalogue, old)
    document = json.loads(old.read_text())
    vendor = next(vendor for vendor in document["vendors"] if vendor["name"] == "groq")
    first, second, third = vendor["models"][:3]
    (version,) = [version for version in first["versions"] if "rates" in version][-1:]
    version["rates"]["input_tokens"] = 123_000_000_000
    vendor["models"].remove(second)
    third["match"] = {"equals": ["another-name"]}
    new.write_text(json.dumps(document))
    said = prices("--diff", str(old), str(new))
    assert f"groq/{first['model']}" in said and "-> $123 / 1M tokens" in said
    assert f"groq/{second['model']}" in said and ": removed" in said
    assert f"groq/{third['model']}: names" in said
    assert prices("--diff", str(new), str(new)).startswith("0 changes")


def test_without_names_it_compares_with_the_one_before(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices-2.json"
    shutil.copy(compiled(), path)
    with pytest.raises(CommandError, match="no catalogue of before"):
        prices("--diff")
    shutil.copy(compiled(), tmp_path / "prices-1.json")
    assert prices("--diff").startswith("0 changes from genai-prices")


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00\xff"])
def test_a_file_that_is_none_is_said_so(content: bytes | None, tmp_path: Path, settings: Any) -> None:
    settings.GATEWAY_PRICES_FILE = path = tmp_path / "prices.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=r"prices\.json"):
        prices()
    with pytest.raises(CommandError, match="name two files"):
        prices("--diff", str(path))


@pytest.mark.django_db
def test_a_check_warns_of_a_catalogue_that_is_not_there(settings: Any, catalogue: Path, tmp_path: Path) -> None:
    def warned() -> list[str]:
        return [each.msg for each in run_checks(databases=["default"]) if each.id == "gateway.W011"]

    assert warned() == []
    settings.GATEWAY_PRICES_FILE = tmp_path / "none.json"
    assert "none.json" in warned()[0]
    assert [each for each in run_checks() if each.id == "gateway.W011"] == []
