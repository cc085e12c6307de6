"""The gateway's own secrets and the directory they live in.

On SQLite they are made on first use and kept in the data directory: one machine, one file system. On any other
database several machines share the data, so they must be given; an absent one stops the start.

``python -m gateway_project.keyring`` prints a new value of each that is not set, as lines for a .env file.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from gateway_project.environment import Environment, Refused, load_env_file

COMMAND = "python -m gateway_project.keyring >> .env"
LEAST_LENGTH = 16


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


MAKERS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "GATEWAY_ENCRYPTION_KEYS": _fernet_key,
    "GATEWAY_KEY_PEPPERS": lambda: secrets.token_urlsafe(32),
}


def data_directory(env: Environment, base: Path) -> Path:
    """``GATEWAY_DATA_DIR``, made with mode 0700 if it is not there. One that exists is the operator's: left as it is."""
    path = env.read("GATEWAY_DATA_DIR", lambda text: Path(text).expanduser().absolute(), base / "data")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"GATEWAY_DATA_DIR: {path} cannot be made: {error.strerror}.") from None
    return path


def keyring(env: Environment, data: Path, generate: bool) -> dict[str, str]:
    """The value of each secret: as given, or with ``generate`` as kept in ``data``."""
    found = {name: env.text(name) for name in MAKERS}
    missing = [name for name, value in found.items() if not value]
    if missing and not generate:
        raise Refused(
            f"{', '.join(missing)} must be set: with a database other than SQLite nothing is generated, because every"
            f" machine that shares the database needs the same. Make what is missing with:  {COMMAND}"
        )
    return found | {name: kept(data / name.lower(), MAKERS[name]) for name in missing}


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text of ``path``, which is made with mode 0600 if absent. Of several processes at once one makes it."""
    try:
        if not path.exists():
            _create(path, make())
        text = path.read_text().strip()
    except OSError as error:
        raise Refused(f"{path} can be neither read nor made: {error.strerror}.") from None
    if not text:
        raise Refused(f"{path} is empty. Restore it from a backup, or delete it to have a new one made.")
    return text


def _create(path: Path, text: str) -> None:
    # A link appears whole or not at all, and the first wins: no process ever reads half a secret.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def encryption_keys(text: str) -> list[str]:
    """The list of Fernet keys; the first encrypts, all decrypt."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    try:
        if not [Fernet(key) for key in keys]:
            raise ValueError
    except ValueError:
        raise Refused(f"GATEWAY_ENCRYPTION_KEYS: not 32 bytes in URL-safe base64. Make one with:  {COMMAND}") from None
    return keys


def peppers(text: str) -> list[bytes]:
    """The list of peppers; the first hashes new keys, all find old ones."""
    found = [pepper.strip().encode() for pepper in text.split(",") if pepper.strip()]
    if not found or any(len(pepper) < LEAST_LENGTH for pepper in found):
        raise Refused(f"GATEWAY_KEY_PEPPERS: shorter than {LEAST_LENGTH} characters. Make one with:  {COMMAND}")
    return found


def main() -> None:
    load_env_file(Path(__file__).resolve().parent.parent)
    for name, make in MAKERS.items():
        if not os.environ.get(name):
            sys.stdout.write(f"{name}={make()}\n")


if __name__ == "__main__":
    main()
