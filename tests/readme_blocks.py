"""The README's code, as somebody would paste it into files, and what runs it."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.live import LIMIT, environment, free_port, wait_until
from tests.recordings import REPOSITORY


def blocks(heading: str) -> dict[str, str]:
    """The Python of one section of the README by the file that its first line names."""
    text = (REPOSITORY / "README.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```python\n(# ([\w.]+)(?:: [^\n]*)?\n.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return {name: code for code, name in found}


def surroundings(folder: Path, **extra: str) -> dict[str, str]:
    """A program's environment in which the gateway is installed, and nothing of it is set."""
    clean = environment(folder, {"PYTHONPATH": str(REPOSITORY), **extra})
    return {name: value for name, value in clean.items() if not name.startswith("GATEWAY_")}


def run(folder: Path, *arguments: str, **extra: str) -> str:
    """What ``python arguments`` prints in ``folder``."""
    command = [sys.executable, *arguments]
    env = surroundings(folder, **extra)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@contextlib.contextmanager
def served(folder: Path, application: str, **extra: str) -> Iterator[int]:
    """``uvicorn application`` in ``folder``, from when it listens until it is told to end; its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=surroundings(folder, **extra), stdout=log, stderr=log)

    def told() -> str:
        return (folder / "server.log").read_text(errors="replace")

    def listens() -> bool:
        assert process.poll() is None, told()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), LIMIT):
            return True
        return False

    try:
        wait_until(listens, "the server listens")
        yield port
    finally:
        process.terminate()
        process.wait(LIMIT)
    assert "Traceback" not in told(), told()


def project(folder: Path) -> Path:
    """A new Django project named shop; where its settings are."""
    run(folder, "-m", "django", "startproject", "shop", ".")
    return folder / "shop"
