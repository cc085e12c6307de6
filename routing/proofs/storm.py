"""What befalls a gateway while it works: its processes are killed and stopped, at moments that progress and chance choose."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from routing.proofs.tree import Tree
from routing.proofs.waiting import PAUSE, until

KILLS: Mapping[str, float] = {"worker": 0.7, "drain": 0.2, "tree": 0.1}
PAUSES = 0.25
"""For each kill."""
PAUSE_SECONDS = (0.5, 4.0)


class Storm:
    """``kills`` of them over a progress from 0 to 1. From ``start`` to ``join``; ``counts`` says what it has done. A gateway
    that gives up is started again, as service managers do."""

    def __init__(
        self, tree: Tree, progress: Callable[[], float], kills: int, seed: int, what: Mapping[str, float] = KILLS
    ) -> None:
        self.tree, self.progress, self.kills, self.what = tree, progress, kills, what
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._next = self._draw()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """End it; raises what went wrong in it."""
        self._over.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    @property
    def killed(self) -> int:
        return sum(self.counts[what] for what in self.what)

    def _run(self) -> None:
        try:
            while not self._over.is_set() and self.killed < self.kills:
                if self._due():
                    self._strike()
                self._keep_alive()
                self._over.wait(PAUSE)
            while not self._over.wait(PAUSE):
                self._keep_alive()
        except BaseException as error:
            self.error = error

    def _draw(self) -> str:
        """It waits until it can be done: whoever only starts is not struck."""
        (what,) = self.rng.choices(list(self.what), list(self.what.values()))
        return what

    def _due(self) -> bool:
        return self.progress() * (self.kills + 1) >= self.killed + 1

    def _strike(self) -> None:
        time.sleep(self.rng.uniform(0, PAUSE))  # to hit any point of the work, not always the same
        what = self._next
        if what == "tree":
            self.tree.kill()
            self.tree.start()
        elif not self._signal(what, signal.SIGKILL):
            return
        self.counts[what] += 1
        self._next = self._draw()
        if self.rng.random() < PAUSES:
            self._pause()

    def _signal(self, what: str, which: signal.Signals) -> bool:
        pids = self.tree.draining() if what == "drain" else self.tree.serving()
        return bool(pids) and self.tree.signal(self.rng.choice(pids), which)

    def _pause(self) -> None:
        """Others go on, and are refused what a stopped one holds."""
        pids = [*self.tree.serving(), *self.tree.draining()]
        if not pids:
            return
        pid = self.rng.choice(pids)
        if self.tree.signal(pid, signal.SIGSTOP):
            self.counts["pause"] += 1
            self._over.wait(self.rng.uniform(*PAUSE_SECONDS))
            self.tree.signal(pid, signal.SIGCONT)

    def _keep_alive(self) -> None:
        if self.tree.revive():
            self.counts["gave up"] += 1


def calm(tree: Tree) -> None:
    """Wait until it serves again, after whatever has befallen it: it may give up for that only now."""
    until(lambda: not tree.revive() and tree.ready, "the gateway is ready after the storm")
