"""Workers that reserve, settle, die, pause, forget and come back, in a time of their own, beside a plain account of what
is true. After every step ``World.check`` holds them to it, to the nano-dollar."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenants.labels import apart, read_label
from tenants.leases import CONCURRENT, Ask, Counter, Key, Needs, Refusal, Reservation, Trailing
from tenants.periods import Period
from tenants.wallet import Wallet
from tests.lease_books import Books
from tests.wallet_bench import log_uniform

NOON = 1_790_000_000.0
SECONDS = 60
KEYS = 2
_worlds = itertools.count()


@dataclass(frozen=True)
class Sizes:
    """Caps and the largest request."""

    tenant: int = 5_000_000
    project: int = 4_000_000
    key: int = 3_000_000
    tokens: int = 20_000
    at_once: int = 6
    cost: int = 50_000


@dataclass(eq=False)
class Request:
    reservation: Reservation
    counters: Sequence[Counter]
    actual: Sequence[int]
    windows: Sequence[Key]


@dataclass(eq=False)
class Worker:
    owner: str
    wallet: Wallet
    open: list[Request] = field(default_factory=list)
    spool: list[Mapping[str, int]] = field(default_factory=list)
    drained: int = 0
    paused: bool = False
    died_at: float | None = None


class World:
    def __init__(self, books: Books, workers: int = 4, sizes: Sizes = Sizes(), period: str = "day") -> None:
        self.books, self.sizes = books, sizes
        self.wall, self.tick = NOON, 0.0
        self.name = f"w{next(_worlds)}-"
        self._owners = itertools.count()
        budgets = [
            self._counter("1tenant", sizes.tenant, Period(period)),
            self._counter("2project", sizes.project, Period("total")),
        ]
        at_once = self._counter("4at-once", sizes.at_once, CONCURRENT)
        self.levels = [
            (
                *budgets,
                self._counter("3key", sizes.key, Period(period, "Asia/Tokyo"), subject=f"k{number}"),
                at_once,
                self._counter("5tokens", sizes.tokens, Trailing(SECONDS), subject=f"k{number}"),
            )
            for number in range(KEYS)
        ]
        self.caps = {counter.name: counter.cap for level in self.levels for counter in level}
        self.workers = [self.born() for _ in range(workers)]
        self.dead: list[Worker] = []
        self.late: list[tuple[Worker, Sequence[Ask]]] = []
        self.charged: defaultdict[Key, int] = defaultdict(int)
        self.admitted: defaultdict[str, list[tuple[float, Request, int]]] = defaultdict(list)
        self.served = self.refused = 0
        self._totals: dict[Key, int] = {}

    def _counter(self, name: str, cap: int, window: Period | Trailing, subject: str = "") -> Counter:
        counter = Counter(f"{self.name}{name}", cap, window, subject=subject)
        self.books.define(counter.name, cap, SECONDS if window == Trailing(SECONDS) else 0)
        return counter

    def born(self) -> Worker:
        return Worker(f"{self.name}{next(self._owners)}", Wallet(lambda: self.tick))

    # What may happen

    def arrive(self, worker: Worker, key: int, bound: int, actual: int, tokens: int, fault: str = "") -> Refusal | None:
        """A request. ``fault`` befalls its exchange with the store, if it needs one."""
        counters, amounts = self.levels[key], [bound, bound, bound, 1, tokens]
        for _ in range(8):
            outcome = worker.wallet.reserve(counters, amounts, self.wall)
            if isinstance(outcome, Refusal):
                self.refused += 1
                return outcome
            if isinstance(outcome, Reservation):
                self._admit(worker, outcome, counters, (actual, actual, actual, 0, tokens * actual // bound))
                return None
            assert isinstance(outcome, Needs)
            if not self.exchange(worker, worker.wallet.asks([outcome]), fault):
                return None
        raise AssertionError("it never ends")

    def _admit(
        self, worker: Worker, reservation: Reservation, counters: Sequence[Counter], actual: Sequence[int]
    ) -> None:
        windows = []
        for counter in counters:
            window = counter.window.window(self.wall)
            assert window is not None
            windows.append((counter.name, counter.subject, window.start))
        request = Request(reservation, counters, actual, windows)
        worker.open.append(request)
        self.served += 1
        labels = [read_label(text) for text, _ in apart(reservation.bounds.items())]
        assert [(label.counter, label.subject, label.start) for label in labels] == windows[:3]
        self.admitted[counters[4].key].append((self.tick, request, reservation.amounts[4]))
        inside = [one for one in self.admitted[counters[4].key] if self.tick - one[0] <= SECONDS]
        self.admitted[counters[4].key] = inside
        used = sum(bound if not each.reservation.settled else each.actual[4] for _, each, bound in inside)
        assert used <= counters[4].cap, "more tokens in a minute than the limit"
        running = sum(len(each.open) for each in self.workers)
        assert running <= counters[3].cap, "more at once than the limit"

    def exchange(self, worker: Worker, asks: Sequence[Ask], fault: str = "") -> bool:
        """``lost``: the answer is; ``never``: it does not arrive; ``late``: it does when the worker has given it up."""
        if not asks:
            return True
        if fault in ("", "lost"):
            grants = self.books.exchange(worker.owner, asks, self.wall)
            if not fault:
                worker.wallet.take(grants)
        elif fault == "late":
            self.late.append((worker, asks))
        worker.wallet.failed(asks)
        return not fault

    def arrive_late(self) -> None:
        """What workers gave up comes to the store after all, unless it knows that they are dead."""
        worker, asks = self.late.pop(0)
        if worker.died_at is None:
            self.books.exchange(worker.owner, asks, self.wall)

    def finish(self, worker: Worker, place: int) -> None:
        request = worker.open.pop(place)
        settled = worker.wallet.settle(request.reservation, list(request.actual))
        charged = [amount for _, amount in apart(settled.charges.items())]
        assert not settled.bound_exceeded and charged == list(request.actual[:3])
        self._charge(worker, request, settled.charges)

    def _charge(self, worker: Worker, request: Request, charges: Mapping[str, int]) -> None:
        worker.spool.append(charges)
        for window, amount in zip(request.windows, (amount for _, amount in apart(charges.items())), strict=False):
            self.charged[window] += amount

    def look(self, worker: Worker, fault: str = "", *, everything: bool = False) -> None:
        worker.wallet.scarce(self.books.shortages(worker.owner, self.wall))
        self.exchange(worker, worker.wallet.returns(self.wall, everything=everything), fault)

    def drain(self, worker: Worker, count: int, *, again: bool = False) -> None:
        begin = worker.drained
        batch = worker.spool[begin : begin + count]
        for _ in range(2 if again else 1):
            charges = [pair for each in batch for pair in each.items()]
            self.books.settle(worker.owner, charges, begin + len(batch) - 1, self.wall)
        worker.drained = begin + len(batch)

    def kill(self, worker: Worker) -> None:
        self.workers[self.workers.index(worker)] = self.born()
        worker.died_at = self.tick
        self.dead.append(worker)

    def bury(self, worker: Worker) -> bool:
        """By whoever holds its lock: settle its spool, charge what it left open at its bound, then free the rest. False if
        something still counts."""
        for request in worker.open:
            self._charge(worker, request, request.reservation.bounds)
        worker.open = []
        self.drain(worker, len(worker.spool))
        assert worker.died_at is not None
        if self.books.end(worker.owner, self.tick - worker.died_at, self.wall):
            return False
        self.dead.remove(worker)
        return True

    # What must be

    def windows(self) -> set[Key]:
        budgets = {counter.name for counter in self.levels[0][:3]}
        return {key for key in self.charged if key[0] in budgets} | {
            window for worker in (*self.workers, *self.dead) for each in worker.open for window in each.windows[:3]
        }

    def check(self) -> None:
        """All that workers hold, owe and may still do, in every window, is accounted for and within its cap."""
        reserved: defaultdict[Key, int] = defaultdict(int)
        for worker in (*self.workers, *self.dead):
            for request in worker.open:
                for window, amount in zip(request.windows[:3], request.reservation.amounts, strict=False):
                    reserved[window] += amount
        state = self.books.state(self.name)
        free: defaultdict[Key, int] = defaultdict(int)
        for worker in self.workers:
            for lease in worker.wallet:
                free[lease.counter.name, lease.counter.subject, lease.start] += max(0, lease.free)
                known = state.held.get((worker.owner, lease.number), 0)
                assert lease.closing or lease.granted <= known, "a worker believes in more than it has"
        for window in self.windows():
            granted, spent = state.windows[window]
            true = self.charged[window] + reserved[window] + free[window]
            assert true <= granted + spent, (window, "the store does not know of all")
            cap = self.caps[window[0]]
            assert granted + spent <= max(cap, self._totals.get(window, 0)), (window, "passes its cap")
            self._totals[window] = granted + spent

    def saturate(self, rng: random.Random, bound: int) -> None:
        """Ask for the largest requests until nobody is served, though all have looked."""
        refused = 0
        while refused < 3 * len(self.workers):
            self.pass_time(0.3)
            worker = self.workers[refused % len(self.workers)]
            refused = refused + 1 if self.arrive(worker, rng.randrange(KEYS), bound, bound, 1) else 0
            while worker.open:
                self.finish(worker, 0)
            for each in self.workers:
                self.look(each)

    def end(self) -> None:
        """Everything is settled, everybody gives back: what is left is exactly what was charged."""
        self.late.clear()
        self.pass_time(SECONDS + 1)
        for worker in list(self.dead):
            assert self.bury(worker)
        for worker in self.workers:
            while worker.open:
                self.finish(worker, 0)
            assert not any(lease.reserved for lease in worker.wallet)
            self.look(worker, everything=True)
            assert len(worker.wallet) == 0
            self.drain(worker, len(worker.spool))
        state = self.books.state(self.name)
        assert state.held == {}
        for window in self.windows():
            assert state.windows[window] == (0, self.charged[window])
        for worker in self.workers:
            assert self.books.end(worker.owner, 0, self.wall) == 0
        assert self.books.state(self.name) == state

    def pass_time(self, seconds: float) -> None:
        self.tick += seconds
        self.wall += seconds


def run(world: World, rng: random.Random, steps: int, *, jump: bool = True) -> None:
    """Anything, at random."""
    faults = ("", "", "", "", "", "lost", "never", "late")
    for _ in range(steps):
        worker = rng.choice(world.workers)
        if worker.paused:
            worker.paused = rng.random() < 0.95
        elif rng.random() < 0.5:
            bound, tokens = log_uniform(rng, world.sizes.cost), log_uniform(rng, world.sizes.tokens // 50)
            world.arrive(worker, rng.randrange(KEYS), bound, log_uniform(rng, bound), tokens, rng.choice(faults))
        elif worker.open and rng.random() < 0.8:
            world.finish(worker, rng.randrange(len(worker.open)))
        else:
            _sometimes(world, worker, rng, rng.choice(faults), jump)
        world.check()


def _sometimes(world: World, worker: Worker, rng: random.Random, fault: str, jump: bool) -> None:
    what = rng.random()
    if what < 0.5:
        world.pass_time(rng.expovariate(1))
        for each in world.workers:
            if not each.paused:
                world.look(each, fault)
    elif what < 0.75:
        world.drain(worker, rng.randrange(20), again=rng.random() < 0.2)
    elif what < 0.82:
        world.kill(worker)
    elif what < 0.89 and world.dead:
        world.bury(rng.choice(world.dead))
    elif what < 0.95 and world.late:
        world.arrive_late()
    elif what < 0.97:
        worker.paused = True
    elif jump:
        world.wall += rng.choice((-30_000, -3_600, -5, 5, 3_600, 90_000))
