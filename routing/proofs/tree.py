"""``manage.py serve`` and all its processes, to be killed and stopped at will, and started again."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from routing.proofs.installation import ROOT, Installation
from routing.proofs.waiting import until
from tenants.spool_owners import owners

DRAIN, LOCK = "gateway-drain", "drain.lock"
END_SECONDS = 90.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Tree:
    """Its processes are a group of their own: whoever is killed with it is one of them."""

    def __init__(self, at: Installation, workers: int) -> None:
        self.at, self.count = at, workers
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        command = [sys.executable, "manage.py", "serve", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--workers", str(self.count)]
        with (self.at.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                command, cwd=ROOT, env=self.at.environment, stdout=log, stderr=log, process_group=0
            )
        self.starts += 1

    def wait_ready(self) -> None:
        until(lambda: self.ended or self.ready, "the gateway is ready")
        if self.ended:
            raise RuntimeError(f"The gateway does not start: {self.log[-3000:]}")

    @property
    def log(self) -> str:
        return (self.at.directory / "serve.log").read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def revive(self) -> bool:
        """Start it again if it has ended, as service managers do; whether it had."""
        if not self.ended:
            return False
        self.kill()
        self.start()
        return True

    @property
    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def children(self) -> dict[int, str]:
        """What each process is called that the parent has started."""
        process = self.process
        found: dict[int, str] = {}
        # Each of its threads has children of its own.
        for task in Path(f"/proc/{process.pid}/task").glob("*/children") if process is not None else ():
            with contextlib.suppress(OSError):
                found |= {int(child): _name(child) for child in task.read_text().split()}
        return {pid: name for pid, name in found.items() if name}

    def workers(self) -> list[int]:
        return [pid for pid, name in self.children().items() if name != DRAIN]

    def serving(self) -> list[int]:
        """Those of the workers that have got as far as a spool: their owners are named after them."""
        named = {owner.rsplit(".", 2)[1] for owner in owners(self.at.spool)}
        return [pid for pid in self.workers() if str(pid) in named]

    def drains(self) -> list[int]:
        return [pid for pid, name in self.children().items() if name == DRAIN]

    def draining(self) -> list[int]:
        """Those of the drains that have got to work."""
        return [pid for pid in self.drains() if str(self.at.spool / LOCK) in opened(pid)]

    def signal(self, pid: int, what: signal.Signals) -> bool:
        """To one of the children; False if it is gone."""
        if self.ended or pid not in self.children():
            return False
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """All of it, at once."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            until(lambda: not _group_alive(process.pid), "the killed are gone")

    def terminate(self) -> int:
        """As an operator ends it; its exit code. What does not end in time is killed."""
        process = self.process
        assert process is not None
        process.terminate()
        try:
            return process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            self.kill()


def opened(pid: int) -> set[str]:
    """What a process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()))
    return found


def _name(child: str) -> str:
    """Empty for what is neither a worker nor a drain."""
    with contextlib.suppress(OSError):
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
            return Path(f"/proc/{child}/comm").read_text().strip()
    return ""


def _group_alive(group: int) -> bool:
    """Whether a process of the group still runs: one that nobody has waited for is gone, too."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


@contextlib.contextmanager
def serving(at: Installation, workers: int) -> Iterator[Tree]:
    """Ready; whatever is left of it is killed at the end."""
    tree = Tree(at, workers)
    try:
        tree.start()
        tree.wait_ready()
        yield tree
    finally:
        tree.kill()
