"""Settings of the test suite: the gateway's own, in a directory of their own, whatever the developer's shell holds."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

FOREIGN = ("GATEWAY_", "LLM_GATEWAY_", "SERVER_", "SECRET_KEY", "DJANGO_", "PRINT_SECRETS")
VENDORS = ("_API_KEY", "_BASE_URL", "_TIMEOUT", "_MAX_RETRIES")
#: What a run of the suite is told: the engine, the databases, and whether all parts must be there.
KEPT = {"GATEWAY_COMPILED", "GATEWAY_UPSTREAM_TRANSPORT", "GATEWAY_REQUIRE_ALL", "GATEWAY_RECORDINGS", "GATEWAY_SPECS"}

for name in [name for name in os.environ if name.startswith(FOREIGN) or name.endswith(VENDORS)]:
    if name not in KEPT:
        del os.environ[name]

_data = Path(tempfile.gettempdir(), f"gateway-tests-{os.getpid()}")
for old in _data.parent.glob("gateway-tests-*"):  # mypy loads settings, too, and leaves without a good-bye
    if not Path("/proc", old.name.rpartition("-")[2]).exists() or old == _data:
        shutil.rmtree(old, ignore_errors=True)
_data.mkdir(mode=0o700)
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ |= {
    "GATEWAY_ENV_FILE": "",  # a developer's .env is not read, here and in processes that tests start
    "GATEWAY_DATA_DIR": str(_data),
    "DJANGO_SETTINGS_MODULE": "gateway_project.settings",  # for those processes
}
#: The catalogue of prices, compiled once for this machine and release: processes that tests start read it, ours asks
#: ``tests.prices.catalogue`` for it.
_catalogue = Path(tempfile.gettempdir(), f"gateway-prices-{os.getuid()}", f"prices-{version('genai-prices')}.json")
_catalogue.parent.mkdir(mode=0o700, exist_ok=True)
os.environ["GATEWAY_PRICES_FILE"] = str(_catalogue)
if os.environ.get("DATABASE_URL"):
    os.environ["SECRET_KEY"] = "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz-"
    os.environ["GATEWAY_ENCRYPTION_KEYS"] = "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE="
    os.environ["GATEWAY_KEY_PEPPERS"] = "only-for-tests-only-for-tests"

from gateway_project.database import SQLITE  # noqa: E402
from gateway_project.settings import *  # noqa: E402, F403
from gateway_project.settings import DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"] == SQLITE:
    # A file, as in production: threads have connections of their own, and wait for each other.
    DATABASES["default"]["TEST"] = {"NAME": str(_data / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
GATEWAY_PRICES_FILE = _data / "no-prices.json"
