"""The README's section about hooks, and its example as a module."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recordings import REPOSITORY

SECTION = (REPOSITORY / "README.md").read_text().partition("\n## Hooks\n")[2].partition("\n## ")[0]
CODE: dict[str, str] = dict(re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))


@pytest.fixture
def house_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """Importable, and one that may be chosen."""
    (tmp_path / "house_rules.py").write_text(CODE["python"])
    monkeypatch.syspath_prepend(tmp_path)
    settings.GATEWAY_HOOKS = ["house_rules:HouseRules"]
    yield __import__("house_rules")
    del sys.modules["house_rules"]
