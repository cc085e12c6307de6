"""A process that dies at its first system call, then one that dies at its second, and so on until one lives: ``python -m
tests.spool_deaths writer | sweeper | drain``. After each death all is recovered, drained and compared.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from tenants.spool import Spool, recover
from tenants.spool_owners import claim
from tests.spool_entries import BOUNDS, Rows, die, numbered
from tests.spool_processes import drain, sweep

CALLS = "open close write ftruncate truncate mkdir rename unlink rmdir".split()
REQUESTS = 12
SEGMENT = 1_200
Say = Callable[[str, int], None]
_write, _kill = os.write, os.kill


class Death:
    """Kills its own process before its call ``number``; of a write, before it or in the middle."""

    def __init__(self, number: int, middle: bool) -> None:
        self.left, self.middle = number, middle
        for name in CALLS:
            setattr(os, name, self._wrapped(getattr(os, name), name))
        fcntl.flock = self._wrapped(fcntl.flock, "flock")

    def _wrapped(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left <= 0:
                if name == "write" and self.middle:
                    real(args[0], args[1][: len(args[1]) // 2])
                _kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call


def _silent(kind: bytes, id: UUID, number: int) -> None: ...


def _teller(pipe: int) -> Say:
    def say(word: str, number: int) -> None:
        _write(pipe, f"{word} {number}\n".encode())

    return say


def writer(directory: Path, say: Say) -> None:
    spool = Spool(claim(directory / "spool"), segment_bytes=SEGMENT)
    for number in range(1, REQUESTS + 1):
        say("asked", number)
        spool.intend(numbered(number), BOUNDS, 3)
        say("intended", number)
        spool.checkpoint(numbered(number, output_tokens=1))
        if number % 3:
            spool.settle(numbered(number, output_tokens=2))
            say("settled", number)
    for number in range(3, REQUESTS + 1, 3):
        spool.settle(numbered(number, output_tokens=2))
        say("settled", number)
    spool.close()


def sweeper(directory: Path, say: Say) -> None:
    sweep(directory, _silent)


def drainer(directory: Path, say: Say) -> None:
    rows = Rows(directory / "rows.sqlite3")
    for _ in range(REQUESTS):
        drain(directory, rows, 3, _silent)


def dead_writer(directory: Path, closed: bool) -> None:
    """What the other two find: half of the requests open; or all settled."""
    spool = Spool(claim(directory / "spool"), segment_bytes=SEGMENT)
    for number in range(1, REQUESTS + 1):
        spool.intend(numbered(number), BOUNDS, 3)
    for number in range(1, REQUESTS + 1, 1 if closed else 2):
        spool.settle(numbered(number, output_tokens=2))
    spool.close() if closed else die(spool)


def run(
    role: Callable[[Path, Say], None], directory: Path, death: tuple[int, bool]
) -> tuple[bool, dict[str, set[int]]]:
    """Whether it died, and what it said before."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        Death(*death)
        try:
            role(directory, _teller(writing))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        words = [line.split() for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    said: dict[str, set[int]] = {"asked": set(), "intended": set(), "settled": set()}
    for word, number in words:
        said[word].add(int(number))
    return status != 0, said


def finish(directory: Path) -> dict[int, tuple[str, int, int]]:
    """Recover, drain and remove all that is left, and nothing must be."""
    root, rows = directory / "spool", Rows(directory / "rows.sqlite3")
    for _ in range(REQUESTS):
        sweep(directory, _silent)
        drain(directory, rows, 1_000, _silent)
    assert not root.exists() or not list(root.iterdir()), list(root.rglob("*"))
    found = {UUID(name).int: row for name, row in rows.all().items()}
    rows.connection.close()
    assert not any(other for _, _, other in found.values())
    return found


def check_writer(rows: dict[int, tuple[str, int, int]], said: dict[str, set[int]]) -> None:
    assert said["intended"] <= rows.keys() <= said["asked"], (rows, said)
    assert all(rows[number] == ("", 2, 0) for number in said["settled"])
    assert len([number for number in rows.keys() - said["settled"] if not rows[number][0]]) <= 1


def check_other(rows: dict[int, tuple[str, int, int]], closed: bool) -> None:
    for number in range(1, REQUESTS + 1):
        assert rows.pop(number) == (("", 2, 0) if closed or number % 2 else ("interrupted", 0, 0))
    assert not rows


def deaths(name: str, middle: bool) -> int:
    """Returns how many there were."""
    role = {"writer": writer, "sweeper": sweeper, "drain": drainer}[name]
    for count in range(1, 10_000):
        with tempfile.TemporaryDirectory() as made:
            directory = Path(made)
            if name != "writer":
                dead_writer(directory, closed=name == "drain")
            died, said = run(role, directory, (count, middle))
            rows = finish(directory)
            check_writer(rows, said) if name == "writer" else check_other(rows, name == "drain")
            assert recover(directory / "spool", "nobody") is None
            if not died:
                return count - 1
    raise AssertionError("it never lives")


if __name__ == "__main__":
    print(sum(deaths(sys.argv[1], middle) for middle in (False, True)))
