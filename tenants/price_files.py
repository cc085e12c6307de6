"""Where the compiled catalogue of prices is kept, and the one that was in force before it.

A new release of the package has a file of its own: the one before stays for comparing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from django.conf import settings

from tenants import price_rows
from tenants.price_compile import BEFORE
from tenants.pricing import BadPrice

PACKAGE = "genai-prices"
ROOT = Path(__file__).resolve().parent.parent
LIMIT = 120  # seconds for compiling


def release() -> str:
    """Which release of the package is installed; "none" without it."""
    try:
        return installed(PACKAGE)
    except PackageNotFoundError:
        return "none"


def path() -> Path:
    """The file in force: GATEWAY_PRICES_FILE, or one in the data directory for the release that is installed."""
    return Path(settings.GATEWAY_PRICES_FILE or Path(settings.GATEWAY_DATA_DIR) / f"prices-{release()}.json")


def previous(of: Path) -> Path | None:
    """The file that was in force before ``of``, as far as it is still there."""
    found = [of.with_suffix(BEFORE), *of.parent.glob("prices-*.json")]
    aged = [(each.stat().st_mtime, each) for each in found if each != of and each.is_file()]
    return max(aged)[1] if aged else None


def problem() -> str:
    """Why there is no catalogue to be read; empty if there is one."""
    try:
        price_rows.sellers(path().read_bytes())
    except OSError as error:
        return f"{path()}: {error.strerror}"
    except BadPrice as error:
        return f"{path()}: {error}"
    return ""


def ensure() -> str:
    """Have the catalogue compiled where it is missing or damaged, by a process of its own, whose 120 MB end with it; why
    that failed, empty if it did not."""
    if not problem():
        return ""
    command = [sys.executable, "-m", "tenants.price_compile", str(path())]
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return problem() if done.returncode == 0 else (done.stderr.strip().splitlines() or ["It failed."])[-1]
