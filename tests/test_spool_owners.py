"""Whose spool it is: proof of death, one recovery at a time, directories that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenants.spool import Spool, recover
from tenants.spool_owners import SpoolUnavailable, claim, dead, hold, orphans, owners, remove, size, tidy
from tests.spool_entries import BOUNDS, die, numbered, opened

ROOT = Path(__file__).resolve().parent.parent

OWNER = """
import os, sys, time
from pathlib import Path
from tenants.spool import Spool
from tenants.spool_owners import claim
from tests.spool_entries import BOUNDS, numbered, opened
spool = opened(Path(sys.argv[1]))
spool.intend(numbered(1), BOUNDS)
"""
WAIT = "print(spool.held.owner, flush=True); sys.stdin.read()"


@contextmanager
def process(root: Path, code: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that has run ``code`` and says so; it ends when its input does."""
    command = [sys.executable, "-c", OWNER + code, str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield started, started.stdout.readline().split()
        finally:
            started.kill()


def test_an_owner_is_dead_when_its_process_is(tmp_path: Path) -> None:
    with process(tmp_path, WAIT) as (owner, (name,)):
        assert owners(tmp_path) == [name] and orphans(tmp_path) == [] and not dead(tmp_path, name)
        owner.send_signal(signal.SIGSTOP)  # paused is not dead
        assert hold(tmp_path, name) is None and recover(tmp_path, name) is None
        owner.kill()
        owner.wait()
        assert orphans(tmp_path) == [name] and dead(tmp_path, name)
        recovered = recover(tmp_path, name)
        assert recovered is not None and len(recovered.interrupted) == 1
        assert orphans(tmp_path) == []


def test_the_child_of_an_owner_neither_keeps_it_alive_nor_writes(tmp_path: Path) -> None:
    code = """
if not os.fork():
    try:
        spool.intend(numbered(2), BOUNDS)
    except Exception as error:
        print(str(error).replace(" ", "_"), os.getpid(), spool.held.owner, flush=True)
    spool.close()
    sys.stdin.read()
    os._exit(0)
os.wait()
"""
    with process(tmp_path, code) as (owner, (error, child, name)):
        assert "closed" in error and not dead(tmp_path, name)
        owner.kill()
        owner.wait()
        os.kill(int(child), 0)  # it lives
        recovered = recover(tmp_path, name)
        assert recovered is not None and [intent.entry.id.int for intent in recovered.interrupted] == [1]


def test_a_program_that_an_owner_starts_does_not_keep_it_alive(tmp_path: Path) -> None:
    code = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], close_fds=False)
print(child.pid, spool.held.owner, flush=True)
child.wait()
"""
    with process(tmp_path, code) as (owner, (child, name)):
        owner.kill()
        owner.wait()
        os.kill(int(child), 0)
        assert orphans(tmp_path) == [name]


def test_of_many_that_recover_at_once_one_wins(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    die(spool)
    threads, ready = 8, threading.Barrier(8)
    for _ in range(20):
        won: list[Spool | None] = []

        def work(won: list[Spool | None]) -> None:
            ready.wait(30)
            won.append(recover(tmp_path, spool.held.owner))

        started = [threading.Thread(target=work, args=(won,)) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        winners = [each for each in won if each is not None]
        assert len(won) == threads and len(winners) == 1
        die(winners[0])


def test_siblings_in_processes_of_their_own_recover_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(50):
        spool.intend(numbered(number), BOUNDS)
    die(spool)
    code = f"""
from tenants.spool import recover
print("ready", flush=True)
sys.stdin.readline()
recovered = recover(Path(sys.argv[1]), {spool.held.owner!r})
print(len(recovered.interrupted) if recovered else "lost", flush=True)
sys.stdin.read()
"""
    with process(tmp_path, code) as (first, _), process(tmp_path, code) as (second, _):
        for each in (first, second):
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        said = [each.stdout.readline().strip() for each in (first, second) if each.stdout is not None]
        assert sorted(said) == ["50", "lost"]


def test_looking_for_the_dead_hides_none_of_them(tmp_path: Path) -> None:
    for number in range(5):
        spool = opened(tmp_path)
        spool.intend(numbered(number), BOUNDS)
        die(spool)
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.extend(orphans(tmp_path) for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 200 and all(found == owners(tmp_path) for found in seen)


def test_claims_succeed_while_others_tidy(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            tidy(tmp_path)

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    held = [claim(tmp_path) for _ in range(300)]
    done.set()
    for thread in threads:
        thread.join()
    assert owners(tmp_path) == sorted(each.owner for each in held) and not any(
        dead(tmp_path, each.owner) for each in held
    )
    tidy(tmp_path)
    assert len(list(tmp_path.iterdir())) == 300
    for each in held:
        remove(each)
        each.release()
        each.release()
    assert list(tmp_path.iterdir()) == []


def test_what_was_half_made_or_half_removed_is_tidied_away(tmp_path: Path) -> None:
    tidy(tmp_path / "nothing")
    spool = opened(tmp_path)
    spool.settle(numbered(1))
    die(spool)
    gone = tmp_path / ".owner.1.gone"
    spool.held.directory.rename(gone)
    (tmp_path / ".owner.2.new").mkdir()
    assert owners(tmp_path) == [] and size(tmp_path) == 0
    tidy(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_meanwhile_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.close()
    held = hold(tmp_path, spool.held.owner)
    assert held is not None
    real = os.fstat

    def late(fd: int) -> os.stat_result:
        monkeypatch.setattr(os, "fstat", real)
        remove(held)
        return real(fd)

    held.release()
    monkeypatch.setattr("tenants.spool_owners.os.fstat", late)
    assert hold(tmp_path, spool.held.owner) is None and owners(tmp_path) == []


def test_a_name_of_ones_own(tmp_path: Path) -> None:
    assert owners(tmp_path / "nothing") == orphans(tmp_path / "nothing") == []
    spool = Spool(claim(tmp_path / "made" / "here", "worker-1"))
    with pytest.raises(SpoolUnavailable, match="exists already"):
        claim(tmp_path / "made" / "here", "worker-1")
    spool.close()
    again = recover(tmp_path / "made" / "here", "worker-1")
    assert again is not None and not (tmp_path / "made" / "here").stat().st_mode & 0o077
