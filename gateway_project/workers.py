"""Several uvicorn processes on one listening socket: started afresh when they die, drained together.

Workers are spawned, not forked: each loads the application itself, with its own event loop, threads and metrics file.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import django
from django.conf import settings

from gateway_project.drain_process import METRICS
from gateway_project.server import Server, config

log = logging.getLogger(__name__)

MOST_PAUSE = 30.0  # seconds before a worker that dies again and again is started once more
STEADY_SECONDS = 30.0  # a worker that lived as long as this did not die of its start
HOPELESS = 5  # deaths in a row while no worker is steady
GRACE_SECONDS = 15.0  # beyond the drain, for writing what waits to be written
PARENTS_WORD = signal.SIGUSR1
SPAWN = multiprocessing.get_context("spawn")


class Worker(Server):
    """A server that its parent tells to end. SIGTERM may reach it directly, too, as service managers send it to every
    process at once: that alone must not count as the second word, which cuts streams."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(PARENTS_WORD, self.handle_exit)
        signal.signal(signal.SIGTERM, lambda *_: self.drain(settings.GATEWAY_DRAIN_DELAY))
        yield


def work(bound: socket.socket, count: int) -> None:
    """One of ``count`` workers, from its birth as a bare process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; the parent hears it for us
    django.setup()
    settings.GATEWAY_WORKERS = count
    threading.Thread(target=_follow_parent, daemon=True).start()
    Worker(config()).run([bound])


def _follow_parent() -> None:
    """A parent that was killed could not say so: drain as if it had."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


class Workers:
    def __init__(self, bound: socket.socket, count: int) -> None:
        self.bound = bound
        self.started: dict[SpawnProcess, float] = {}
        self.count = count
        self.pause = 0.0
        self.early_deaths = 0
        self.hopeless = False
        self.signals = 0
        self.told = 0

    def run(self) -> None:
        """Keep ``count`` workers alive until a signal comes or none can be started, then wait until they have drained."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._signalled)
        while not self.signals:
            while len(self.started) < self.count and not self.signals:
                self._start()
            wait([worker.sentinel for worker in self.started], timeout=0.2)
            self._bury()
        self.bound.close()  # the workers hold their own: the port closes when they close it
        self._drain()

    def _signalled(self, *_: object) -> None:
        self.signals += 1

    def _tell(self) -> None:
        """Pass the signals on that came since. From the loop, not the handler: no worker is missed that just starts."""
        while self.told < self.signals:
            self.told += 1
            for worker in self.started:
                if worker.pid is not None and worker.exitcode is None:
                    os.kill(worker.pid, PARENTS_WORD)

    def _start(self) -> None:
        worker = SPAWN.Process(target=work, args=(self.bound, self.count), name="worker")
        worker.start()
        self.started[worker] = time.monotonic()

    def _bury(self) -> None:
        """Forget dead workers; those that died young make the next start wait, each time twice as long."""
        for worker in [worker for worker in self.started if worker.exitcode is not None]:
            lived = time.monotonic() - self.started.pop(worker)
            forget_metrics(worker.pid)
            if self.signals:
                continue
            log.error("worker %s ended with %s after %.0f s; starting another", worker.pid, worker.exitcode, lived)
            self._rest(lived)

    def _rest(self, lived: float) -> None:
        """Pause before the next start; or give up, if workers die of their very start."""
        now = time.monotonic()
        steady = lived >= STEADY_SECONDS or any(now - started >= STEADY_SECONDS for started in self.started.values())
        self.early_deaths = 0 if steady else self.early_deaths + 1
        self.pause = 0.0 if steady else min(MOST_PAUSE, self.pause * 2 or 0.1)
        if self.early_deaths >= HOPELESS:
            self.hopeless = True
            self.signals += 1
        while not self.signals and time.monotonic() < now + self.pause:
            time.sleep(0.05)

    def _drain(self) -> None:
        end = time.monotonic() + settings.GATEWAY_DRAIN_DELAY + settings.GATEWAY_DRAIN_TIMEOUT + GRACE_SECONDS
        while self.started and time.monotonic() < end:
            self._tell()
            wait([worker.sentinel for worker in self.started], timeout=0.2)
            self._bury()
        for worker in self.started:
            log.error("worker %s did not end in time and is killed", worker.pid)
            worker.kill()
            worker.join()


def metrics_directory(data: Path) -> Path:
    """A fresh directory in which the workers' metrics meet; those of processes that are gone are removed."""
    for old in data.glob("metrics-*"):
        if not _alive(old.name.removeprefix("metrics-")):
            shutil.rmtree(old, ignore_errors=True)
    path = data / f"metrics-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)  # a container's process ids come again
    path.mkdir(mode=0o700)
    os.environ[METRICS] = str(path)
    return path


def forget_metrics(pid: int | None) -> None:
    """A dead worker's gauges count no more; its counters do."""
    from prometheus_client.multiprocess import mark_process_dead

    if METRICS in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def run(bound: socket.socket, count: int) -> None:
    directory = metrics_directory(settings.GATEWAY_DATA_DIR)
    workers = Workers(bound, count)
    try:
        workers.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if workers.hopeless:
        raise SystemExit("No worker can be started; what each said stands above.")
