"""kill -9 at any moment, of any of the processes that share a spool: no row is lost, none is there twice."""

from __future__ import annotations

import os
import random
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from tests.spool_entries import Rows
from tests.spool_processes import (
    ASKED,
    CHECKPOINTED,
    INTENDED,
    INTERRUPTED,
    MESSAGE,
    SETTLED,
    Tell,
    drain,
    sweep,
)

ROOT = Path(__file__).resolve().parent.parent
KILLS = 240
#: How many messages a process may send before it is killed, at most.
PATIENCE = {"write": 150, "sweep": 12, "drain": 6}
AT_ONCE = ("write", "write", "sweep", "sweep", "drain", "drain")


@dataclass
class Told:
    """What all writers have said before they died."""

    asked: set[str] = field(default_factory=set)
    intended: set[str] = field(default_factory=set)
    checkpoints: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)

    def take(self, message: bytes) -> None:
        kind, raw, number = MESSAGE.unpack(message)
        key = UUID(bytes=raw).hex
        if kind == ASKED:
            self.asked.add(key)
        elif kind == INTENDED:
            self.intended.add(key)
        elif kind == CHECKPOINTED:
            self.checkpoints[key] = number
        elif kind == SETTLED:
            self.settled[key] = number


@dataclass
class Victim:
    role: str
    pid: int
    fd: int
    left: int
    buffer: bytes = b""

    def read(self) -> list[bytes]:
        """What it has sent since; it ends with its life."""
        data = self.buffer + (read := os.read(self.fd, 65_536))
        whole = len(data) - len(data) % MESSAGE.size
        self.buffer = data[whole:]
        if not read:
            raise EOFError(f"a process that should {self.role} ended by itself")
        return [data[place : place + MESSAGE.size] for place in range(0, whole, MESSAGE.size)]


class Nursery:
    def __init__(self, directory: Path, process: subprocess.Popen[str], rng: random.Random) -> None:
        self.directory, self.process, self.rng = directory, process, rng
        self.selector = selectors.DefaultSelector()
        self.born = 0

    def start(self, role: str) -> None:
        self.born += 1
        pipe = self.directory / f"pipe-{self.born}"
        os.mkfifo(pipe)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{role} {self.rng.getrandbits(30)} {pipe}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        victim = Victim(role, pid, os.open(pipe, os.O_RDONLY), self.rng.randint(0, PATIENCE[role]))
        pipe.unlink()
        self.selector.register(victim.fd, selectors.EVENT_READ, victim)

    def kill(self, victim: Victim, told: Told) -> None:
        os.kill(victim.pid, signal.SIGKILL)
        while True:
            try:
                messages = victim.read()
            except EOFError:
                break
            for message in messages:
                told.take(message)
        assert not victim.buffer
        self.selector.unregister(victim.fd)
        os.close(victim.fd)

    def victims(self) -> list[Victim]:
        return [key.data for key in self.selector.get_map().values()]


@contextmanager
def nursery(directory: Path) -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.spool_processes", str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Nursery(directory, process, random.Random())
        try:
            yield made
        finally:
            for victim in made.victims():
                made.kill(victim, Told())
            process.kill()


def slaughter(nursery: Nursery, told: Told) -> Counter[str]:
    """Kill one after the other, each after as many messages as chance wants, and put another in its place."""
    kills: Counter[str] = Counter()
    for role in AT_ONCE:
        nursery.start(role)
    while kills.total() < KILLS:
        for key, _ in nursery.selector.select():
            victim: Victim = key.data
            messages = victim.read()
            for message in messages:
                told.take(message)
            victim.left -= len(messages)
            if victim.left <= 0:
                nursery.kill(victim, told)
                kills[victim.role] += 1
                nursery.start(victim.role)
    for victim in nursery.victims():
        nursery.kill(victim, told)
        kills[victim.role] += 1
    return kills


def settle_all(directory: Path) -> dict[str, tuple[str, int, int]]:
    def nobody(kind: bytes, id: UUID, number: int) -> None: ...

    tell: Tell = nobody
    rows, until = Rows(directory / "rows.sqlite3"), time.monotonic() + 120
    while list((directory / "spool").iterdir()) and time.monotonic() < until:
        sweep(directory, tell)  # not all at once: the kernel may close a dead process's pipe long before its lock
        drain(directory, rows, 1_000, tell)
    found = rows.all()
    rows.connection.close()
    return found


def test_killed_at_any_moment_no_row_is_lost_or_double(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told()
    with nursery(tmp_path) as made:
        kills = slaughter(made, told)
    rows = settle_all(tmp_path)
    died_writing = kills["write"]

    assert told.intended <= rows.keys() <= told.asked
    assert len(rows.keys() - told.intended) <= died_writing  # an intent that was written, and not yet confirmed
    assert not [key for key, (_, _, other) in rows.items() if other]
    assert {key: ("", tokens, 0) for key, tokens in told.settled.items()}.items() <= rows.items()
    unconfirmed = rows.keys() - told.settled.keys()
    assert len([key for key in unconfirmed if not rows[key][0]]) <= died_writing
    for key in unconfirmed:
        last = told.checkpoints.get(key, 0)
        assert last <= rows[key][1] <= last + 1
    interrupted = [key for key, (kind, _, _) in rows.items() if kind == INTERRUPTED]
    assert len(interrupted) > 50 and len(told.settled) > 500 and min(kills[role] for role in PATIENCE) > 10
    assert list((tmp_path / "spool").iterdir()) == []
    with capsys.disabled():
        print(
            f"\n{kills.total()} kills {dict(kills)}, {len(rows)} rows, {len(interrupted)} interrupted, none lost or double"
        )


@pytest.mark.parametrize(("role", "least"), [("writer", 100), ("sweeper", 20), ("drain", 20)])
def test_death_at_each_system_call_loses_and_doubles_nothing(role: str, least: int) -> None:
    command = [sys.executable, "-m", "tests.spool_deaths", role]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
