"""``python -m gateway_project.compiling``: compile the modules of ``gateway_project.compiled``. It takes a minute or two, once for
each change, and needs mypy, setuptools and a C compiler."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

from gateway_project.compiled import PLACE, ROOT, directory, names, source

FLAGS = ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases"]


def build() -> Path:
    """Where it lies now; what was compiled of earlier sources is removed. SystemExit where a compiler finds an error."""
    root = directory()
    if root.is_dir():
        return root
    PLACE.mkdir(parents=True, exist_ok=True)
    for old in PLACE.iterdir():
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        made = Path(folder, "made")
        os.chdir(ROOT)
        files = [str(source(name).relative_to(ROOT)) for name in names()]
        modules = mypycify([*FLAGS, *files], opt_level="2", debug_level="0", multi_file=True, target_dir=folder)
        command = ["build_ext", f"--build-lib={made}", f"--build-temp={folder}/temp", f"--parallel={os.cpu_count()}"]
        setup(name="compiled", packages=[], py_modules=[], ext_modules=modules, script_args=["--quiet", *command])
        made.rename(root)
    return root


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
