"""The process that moves what is in the spools to the database, so that this work shares no interpreter with requests.

Whoever serves keeps it alive; it ends after the workers, once all is stored. It needs none of them, and none needs it: with
it gone the spools grow, until another one begins where it ended.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import django
from django.conf import settings

from gateway_project import garbage

log = logging.getLogger(__name__)

NAME = "gateway-drain"
METRICS = "PROMETHEUS_MULTIPROC_DIR"  # where the workers' metrics meet
PARENTS_WORD = signal.SIGUSR1
FLAG = "GATEWAY_DRAIN_PROCESS"
STORE_SECONDS = 15.0  # for what is left when the workers have ended
START_SECONDS = 10.0  # that it may still take to start by then
MOST_PAUSE = 30.0
NICE = 5
STEADY_SECONDS = 30.0
SPAWN = multiprocessing.get_context("spawn")


def work() -> None:
    """From its birth as a bare process. What service managers and keyboards send to every process is for the parent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {PARENTS_WORD})
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(NAME)  # for ps and top
    os.environ.pop(METRICS, None)  # it has none, and the workers' directory may be gone before it has started
    django.setup()
    with contextlib.suppress(OSError):
        os.nice(NICE)  # where there is no core to spare, requests come first
    from routing.plane import spool_options
    from tenants.drain_loop import Drain
    from tenants.notice_sender import NoticeSender

    garbage.settle()
    drain = Drain(settings.GATEWAY_SPOOL_DIR, **spool_options())
    drain.start()
    NoticeSender().start()
    threading.Thread(target=_follow_parent, daemon=True).start()
    signal.sigwait({PARENTS_WORD})
    drain.stop(STORE_SECONDS)


def _follow_parent() -> None:
    """A parent that was killed could not say so. Its workers may have requests under way."""
    from tenants.spool_owners import dead, owners

    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    end = time.monotonic() + settings.GATEWAY_DRAIN_DELAY + settings.GATEWAY_DRAIN_TIMEOUT + STORE_SECONDS
    root = settings.GATEWAY_SPOOL_DIR
    while time.monotonic() < end and not all(dead(root, owner) for owner in owners(root)):
        time.sleep(0.2)
    os.kill(os.getpid(), PARENTS_WORD)


class DrainProcess:
    """Kept alive by a thread of whoever serves, from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self.process: SpawnProcess | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="drain-keeper", daemon=True)

    def start(self) -> None:
        os.environ[FLAG] = "1"
        settings.GATEWAY_DRAIN_PROCESS = True
        self._thread.start()

    def _tend(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            self.process = SPAWN.Process(target=work, name=NAME)
            self.process.start()
            while self.process.exitcode is None and not self._stopping.is_set():
                wait([self.process.sentinel], timeout=0.2)
            if self._stopping.is_set():
                return
            log.error("the drain %s ended with %s; starting another", self.process.pid, self.process.exitcode)
            pause = 0.0 if time.monotonic() - began >= STEADY_SECONDS else min(MOST_PAUSE, pause * 2 or 0.1)
            self._stopping.wait(pause)

    def stop(self) -> None:
        """Have it store what is left, and wait for that. What it cannot store is kept for the next start."""
        self._stopping.set()
        self._thread.join()
        process = self.process
        if process is None or process.exitcode is not None or process.pid is None:
            return
        os.kill(process.pid, PARENTS_WORD)
        process.join(START_SECONDS + STORE_SECONDS)
        if process.exitcode is None:
            log.error("the drain %s did not end in time and is killed; what it has not stored is kept", process.pid)
            process.kill()
            process.join()


@contextlib.contextmanager
def running() -> Iterator[DrainProcess]:
    drain = DrainProcess()
    drain.start()
    try:
        yield drain
    finally:
        drain.stop()
