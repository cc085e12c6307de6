"""Compiles the installed price catalogue into a file: ``python -m tenants.price_compile FILE``. No Django here.

A process of its own, since the package takes 120 MB.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from tenants import price_rows
from tenants.price_catalogue import compile_catalogue

BEFORE = ".before.json"


def compile_to(file: Path) -> bool:
    """Compile into ``file``, whole or not at all; whether anything is different now. What stood there is kept beside it.
    Imports the package. Raises OSError."""
    text = price_rows.write(compile_catalogue())
    before = file.read_bytes() if file.is_file() else None
    if before == text.encode():
        return False
    if before is not None:
        _replace(file.with_suffix(BEFORE), before)
    _replace(file, text.encode())
    return True


def _replace(file: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(data)
            made.flush()
            os.fsync(made.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


if __name__ == "__main__":
    compile_to(Path(sys.argv[1]))
