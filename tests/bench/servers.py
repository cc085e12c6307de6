"""Servers as the bench runs them: each a process group of its own, its whole tree pinned to one core.

Also what is asked of them while they run: memory and processor time of the tree, and one plain HTTP call.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside inherits the core, and so does all that it starts in its turn."""
    if not hasattr(os, "sched_setaffinity"):
        yield  # not Linux: the figures are then less steady, and `__main__` says so
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def call(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One HTTP call on a connection of its own: status and body; status 0 if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


@dataclass
class Server:
    """A started process group. `stop` ends all of it, and nothing else."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: list[str], port: int, core: int, log: Path, env: Mapping[str, str]) -> "Server":
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err, pinned(core):
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        return cls(name, port, process, log)

    def wait_ready(self, path: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while call(self.port, path)[0] != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.tail()}")
            time.sleep(0.1)

    def tail(self) -> str:
        texts = [path.read_text(errors="replace")[-1500:] for path in (self.log, self.log.with_suffix(".err"))]
        return "\n".join(texts).strip()

    def tree(self) -> list[int]:
        """The pids of the group's leader and all that descend from it."""
        pids = map(int, filter(str.isdigit, os.listdir("/proc")))
        parents = {pid: int(stat[1]) for pid in pids if (stat := _stat(pid))}  # read once: others end meanwhile
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def rss_mb(self) -> float:
        """Resident memory of the tree in MB; 0 where there is no /proc. Pages that processes share count in each."""
        if not os.path.isdir("/proc/self"):
            return 0.0
        pages = sum(int(stat[21]) for stat in map(_stat, self.tree()) if stat)
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_seconds(self) -> float:
        if not os.path.isdir("/proc/self"):
            return 0.0
        ticks = sum(int(stat[11]) + int(stat[12]) for stat in map(_stat, self.tree()) if stat)
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, sent)
            try:
                self.process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                continue
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a worker that outlived its leader


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from its third field on (the second, the name, may hold spaces); empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
