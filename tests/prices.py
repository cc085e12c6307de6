"""The catalogue of prices for tests: a file that is compiled once for a machine, a release and our compiler."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tenants.price_compile import compile_to
from tests.recordings import REPOSITORY

__all__ = ["catalogue"]


def compiled() -> Path:
    """Another text of the compiler makes another file."""
    sources = [REPOSITORY / "tenants" / name for name in ("price_catalogue.py", "price_rows.py", "pricing.py")]
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:8]
    usual = Path(os.environ["GATEWAY_PRICES_FILE"])
    path = usual.with_name(f"{usual.stem}-{digest}.json")
    if not path.exists():
        compile_to(path)
    return path


@pytest.fixture
def catalogue(settings: pytest.FixtureRequest) -> Path:
    """The compiled catalogue, in force for snapshots that are loaded in the test."""
    settings.GATEWAY_PRICES_FILE = compiled()  # type: ignore[attr-defined]
    return compiled()
