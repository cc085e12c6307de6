"""The catalogue compiles to the same text every time, from what is installed; workers load that text alone."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

from tenants import price_rows
from tenants.price_catalogue import compile_catalogue
from tenants.price_rows import Catalogue
from tests.recordings import REPOSITORY

PACKAGE = ("genai_prices", "pydantic", "httpx2", "django")


@cache
def compiled() -> Catalogue:
    return compile_catalogue()


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_compiles_to_the_same_text_without_any_network() -> None:
    code = """
import socket, sys
def refused(*_): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refused
from tenants.price_catalogue import compile_catalogue
from tenants.price_rows import write
sys.stdout.write(write(compile_catalogue()))
"""
    text = price_rows.write(compiled())
    assert run(code, PYTHONHASHSEED="1", PYTHONUTF8="1") == text
    assert run(code, PYTHONHASHSEED="2", PYTHONUTF8="1", TZ="Asia/Tokyo") == text
    assert price_rows.read(text) == compiled()


def test_workers_never_load_the_package() -> None:
    modules = "pricing, price_table, price_rows, price_changes, price_catalogue, units"
    told = f"import sys; from tenants import {modules}; print([m for m in {PACKAGE} if m in sys.modules])"
    assert run(told).strip() == "[]"
    users = [path.name for path in (REPOSITORY / "tenants").glob("*.py") if "genai_prices" in path.read_text()]
    assert users == ["price_catalogue.py"]


def test_a_worker_may_load_some_vendors() -> None:
    text = price_rows.write(compiled())
    some = {vendor.name: vendor for vendor in price_rows.read(text, {"azure", "groq"}).vendors}
    assert set(some) == {"azure", "groq", *some["azure"].fallback}
