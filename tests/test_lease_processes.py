"""Real processes over a real database, killed and stopped as they come: every budget holds, and nearly all of it is used.

The same on SQLite and on PostgreSQL, whichever the suite runs on. What is true is read from the logs that the processes
leave, never from the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter as Count
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tenants.labels import apart, read_label
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseWindow
from tenants.lease_store import end, settle
from tests.lease_process import COUNTERS, LARGEST, MOST_AT_ONCE, MOST_TOKENS, SECONDS, TENANT
from tests.recordings import REPOSITORY

PROCESSES, TASKS = 4, 8
EVENTS = 12
"""Every fourth stops one for a while, the others kill one."""
PATIENCE = 100.0
UNHURT = (None, 0, -signal.SIGTERM)  # runs, has ended, was told to before it could listen


class Line(NamedTuple):
    what: str
    number: int
    tick: float
    charges: dict[str, int]
    tokens: int


class Crew:
    """The processes, and the drain of their logs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.drained: Count[str] = Count()
        self.dead_since: dict[str, float] = {}
        self.ended: set[str] = set()
        self.born = 0

    def start(self) -> None:
        self.born += 1
        owner = f"worker{self.born}"
        named = {
            name: connection.settings_dict[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
        }
        options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
        told = {
            "database": {**named, "OPTIONS": options},
            "directory": str(self.directory),
            "owner": owner,
            "workers": PROCESSES,
            "tasks": TASKS,
            "seed": self.born,
        }
        (self.directory / f"{owner}.lock").touch()
        command = [sys.executable, "-m", "tests.lease_process", json.dumps(told)]
        self.running[owner] = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | {"PYTHONWARNINGS": "error"})

    def kill(self, owner: str) -> None:
        process = self.running.pop(owner)
        process.kill()
        process.wait()

    def lines(self, owner: str) -> list[Line]:
        path = self.directory / f"{owner}.log"
        text = path.read_text() if path.exists() else ""
        return [Line(*json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def owners(self) -> list[str]:
        return [f"worker{number + 1}" for number in range(self.born)]

    def drain(self) -> None:
        """Settle what is new in the logs; bury those whose lock can be taken."""
        for owner in self.owners():
            if owner not in self.ended:
                dead = self._is_dead(owner)  # before its log is read: then that is all of it
                lines = self.lines(owner)
                self._settle(owner, lines[self.drained[owner] :], len(lines))
                if dead:
                    self._bury(owner, lines)

    def _is_dead(self, owner: str) -> bool:
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context((self.directory / f"{owner}.lock").open())
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return owner not in self.running or self.running[owner].poll() is not None  # else it has not begun yet

    def _settle(self, owner: str, lines: list[Line], sequence: int) -> None:
        charges = [pair for line in lines if line.what == "S" for pair in line.charges.items()]
        settle(connection, owner, charges, sequence, timezone.now())
        self.drained[owner] = sequence

    def _bury(self, owner: str, lines: list[Line]) -> None:
        since = self.dead_since.setdefault(owner, time.monotonic())
        charges = [pair for line in left_open(lines) for pair in line.charges.items()]
        settle(connection, owner, charges, sequence=10**9, now=timezone.now())
        if not end(connection, owner, timezone.now(), quiet=time.monotonic() - since):
            self.ended.add(owner)

    def until(self, condition: Callable[[], bool]) -> None:
        """Drain until then."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            assert all(process.poll() in UNHURT for process in self.running.values()), "one has failed"
            self.drain()
            time.sleep(0.02)


def left_open(lines: list[Line]) -> list[Line]:
    settled = {line.number for line in lines if line.what == "S"}
    return [line for line in lines if line.what == "I" and line.number not in settled]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path)
    yield made
    for process in made.running.values():
        process.kill()
        process.wait()


@pytest.mark.django_db(transaction=True)
def test_budgets_hold_over_processes_that_are_killed(crew: Crew) -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 3000")
    for counter in COUNTERS:
        LeaseCounter.objects.create(name=counter.name, cap=counter.cap, seconds=SECONDS if "5" in counter.name else 0)
    for _ in range(PROCESSES):
        crew.start()
    rng = random.Random(1)
    for number in range(EVENTS):
        crew.until(lambda: all(len(crew.lines(owner)) > 100 for owner in crew.running) or spent(TENANT.name) > 0.9)
        owner = rng.choice(list(crew.running))
        if number % 4 == 3:
            pause(crew, owner)
        else:
            crew.kill(owner)
            crew.start()
    crew.until(lambda: spent(TENANT.name) >= 0.97)
    for process in crew.running.values():
        process.send_signal(signal.SIGTERM)
    for owner, process in crew.running.items():
        # Whoever was told so before it could listen has done nothing yet.
        assert process.wait(PATIENCE) == 0 or (process.returncode == -signal.SIGTERM and not crew.lines(owner))
    crew.until(lambda: len(crew.ended) == crew.born)
    assert_all_is_accounted_for(crew)


def pause(crew: Crew, owner: str) -> None:
    """While others go on, and are refused what it holds."""
    process = crew.running[owner]
    process.send_signal(signal.SIGSTOP)
    others = {each: len(crew.lines(each)) for each in crew.running if each != owner}
    try:
        crew.until(
            lambda: spent(TENANT.name) > 0.9 or all(len(crew.lines(each)) > at + 50 for each, at in others.items())
        )
    except OperationalError:  # it was stopped within a transaction, and SQLite lets nobody else write until it goes on
        assert connection.vendor == "sqlite"
    finally:
        process.send_signal(signal.SIGCONT)


def spent(counter: str) -> float:
    """The share of its cap, as the database has it."""
    row = LeaseWindow.objects.filter(counter=counter).first()
    cap = next(each.cap for each in COUNTERS if each.name == counter)
    return row.spent / cap if row else 0


def assert_all_is_accounted_for(crew: Crew) -> None:
    logs = {owner: crew.lines(owner) for owner in crew.owners()}
    true: Count[str] = Count()
    for lines in logs.values():
        for line in [*(line for line in lines if line.what == "S"), *left_open(lines)]:
            for label, amount in apart(line.charges.items()):
                true[read_label(label).counter] += amount
    assert not HeldLease.objects.exists()
    for counter in COUNTERS:
        row = LeaseWindow.objects.get(counter=counter.name)
        assert (row.granted, row.spent) == (0, true[counter.name]), counter.name
        assert true[counter.name] <= counter.cap, counter.name
    assert true[TENANT.name] * 100 >= TENANT.cap * 97 and TENANT.cap >= 50 * LARGEST
    assert most_tokens(logs) <= MOST_TOKENS and most_at_once(logs) <= MOST_AT_ONCE
    served = sum(line.what == "I" for lines in logs.values() for line in lines)
    print(
        f"{connection.vendor}: {served:,} requests, {crew.born - PROCESSES} kills, "
        + ", ".join(f"{each.name} {true[each.name] / each.cap:.2%}" for each in COUNTERS[:4])
        + f"; at most {most_tokens(logs):,} of {MOST_TOKENS:,} tokens and {most_at_once(logs)} of {MOST_AT_ONCE} at once"
    )


def most_tokens(logs: dict[str, list[Line]]) -> int:
    """In any SECONDS of admission times."""
    admitted = []
    for lines in logs.values():
        actual = {line.number: line.tokens for line in lines if line.what == "S"}
        admitted += [
            (line.tick, actual.get(line.number, line.tokens)) for line in lines if line.what == "I" and line.tokens
        ]
    admitted.sort()
    most = used = first = 0
    for tick, tokens in admitted:
        used += tokens
        while admitted[first][0] < tick - SECONDS:
            used -= admitted[first][1]
            first += 1
        most = max(most, used)
    return most


def most_at_once(logs: dict[str, list[Line]]) -> int:
    """By what was settled; what was killed ended some time."""
    changes: list[tuple[float, int]] = []
    for lines in logs.values():
        ended = {line.number: line.tick for line in lines if line.what == "S"}
        for line in lines:
            if line.what == "I" and line.number in ended and is_limited(line):
                changes += [(line.tick, 1), (ended[line.number], -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def is_limited(line: Line) -> bool:
    """Of the key with a limit of requests at once: of the second project, without tokens."""
    return not line.tokens and any(read_label(label).counter == "2b" for label, _ in apart(line.charges.items()))


def test_the_log_of_the_rest(tmp_path: Path) -> None:
    """What the proof reads: a torn line is none."""
    crew = Crew(tmp_path)
    lines: list[list[Any]] = [["I", 1, 0.5, {"1/0/b/": 5}, 0], ["I", 2, 0.6, {}, 0], ["S", 1, 0.7, {"1/0/b/": 3}, 0]]
    (tmp_path / "worker1.log").write_text("".join(json.dumps(line) + "\n" for line in lines) + '["S", 2, 0.')
    assert [line.number for line in left_open(crew.lines("worker1"))] == [2]
