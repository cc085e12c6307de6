"""What is limited, and the slices of it that one worker may spend from memory. No Django here, and no I/O.

A ``Counter`` is one limit of one subject: a budget of nano-dollars in a period, tokens or requests in any 60 seconds, or
requests at once. A ``Lease`` is what this worker has been granted of one counter's window: what is granted to all workers
and spent never passes the cap, so what a worker does within its lease needs nobody's leave. ``tenants.wallet`` holds a
worker's leases, ``tenants.lease_store`` grants them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tenants.labels import BETWEEN, Label, write_label
from tenants.periods import NEVER, Period, Window

MOST: Final = 10**18
"""Of a cap and of one reservation: a thousand million dollars. Sums of some of them fit in 64 bits."""
UNBOUNDED: Final = 1 << 62
FOREVER: Final = math.inf
STEPS: Final = 600
"""A trailing window moves on in so many: no more are remembered, however many requests there are, and what one of them
holds comes back late by one of them at most."""


class LeasesAway(Exception):
    """The store cannot be asked: a hard limit is served only from leases that are held."""


class OwnerEnded(Exception):
    """Others have been told that this process is dead. What it holds is no longer its own: it must take another name."""


@dataclass(frozen=True, slots=True)
class Trailing:
    """Any ``seconds`` up to now, by admission. With 0 a reservation counts as long as it is not settled."""

    seconds: float

    def window(self, now: float) -> Window:
        if not 0 <= now < NEVER:
            raise ValueError(f"{now!r} is not a time that limits know.")
        return Window(0, NEVER)

    def renews_at(self, now: float) -> None:
        """Not at once: bit by bit."""


CONCURRENT: Final = Trailing(0)
MONEY: Final = "nano-dollars"
"""The unit of budgets."""

Key = tuple[str, str, int]
"""Of a window: counter, subject and start."""


@dataclass(slots=True, eq=False)
class Counter:
    """One limit, which does not change. A limit that gets another window gets another name, too: what was counted in the old
    one is not what the new one asks for. ``subject`` is whom it counts alone, where one limit is set for each of many, such
    as end users. What is not hard is never refused, only counted. ``seconds`` are those of a trailing window, else 0.
    ``lease`` is the one that a wallet has found for it last: it may be over, or another wallet's."""

    name: str
    cap: int
    window: Period | Trailing
    unit: str = MONEY
    subject: str = ""
    hard: bool = True
    key: str = field(init=False, repr=False)
    seconds: float = field(init=False, repr=False)
    lease: Lease | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"{self.name!r} is no name of a counter.")
        if not 0 <= self.cap <= MOST:
            raise ValueError(f"A cap is from 0 to {MOST:,}.")
        self.key = f"{self.name}/{self.subject}"
        self.seconds = self.window.seconds if isinstance(self.window, Trailing) else 0


class Step:
    """What was admitted within a short time of a trailing window, which moves on by such steps. It leaves the window when
    ``at`` does, the time of its last admission; whatever is settled later belongs to nobody any more."""

    __slots__ = ("at", "began", "left", "reserved", "spent")

    def __init__(self, tick: float) -> None:
        self.began = self.at = tick
        self.reserved = self.spent = 0
        self.left = False


class Lease:
    """A slice of one counter's window. All times but ``start``, ``end`` and ``until`` are of a clock that never jumps.

    ``granted`` is all that this lease ever got, less what it gave back; ``spent`` and ``reserved`` are of it, in a trailing
    window only what is still in that: something of it leaves the window after ``forget_at``. ``sequence`` is of its last
    exchange, ``asked`` of the one that is under way, 0 if none is; ``told`` is what the store, as far as one knows, believes
    that it has. ``label`` is what charges to it are charged to, "" if there are none. ``closing``: nothing is reserved in it
    any more.
    """

    __slots__ = (
        "asked",
        "closing",
        "counter",
        "end",
        "forget_at",
        "gone",
        "granted",
        "kept",
        "known_until",
        "label",
        "low",
        "number",
        "others",
        "owner",
        "pool",
        "refilled_at",
        "reserved",
        "scarce_until",
        "sequence",
        "slice",
        "spent",
        "start",
        "steps",
        "told",
        "trailing",
        "until",
        "used_at",
    )

    def __init__(self, number: int, counter: Counter, window: Window, tick: float, owner: object = None) -> None:
        self.number, self.counter, self.owner = number, counter, owner
        self.start, self.end = window
        self.until = self.end
        self.granted = 0 if counter.hard else UNBOUNDED
        self.spent = self.reserved = 0
        trailing = isinstance(counter.window, Trailing)
        label = Label(number if counter.hard else 0, self.start, counter.name, counter.subject)
        self.label = "" if trailing else write_label(label)
        self.trailing = trailing and counter.window != CONCURRENT
        self.steps: deque[Step] = deque()
        self.forget_at = FOREVER
        self.slice, self.low = 0, -1
        self.pool = self.others = UNBOUNDED
        self.known_until = self.refilled_at = self.scarce_until = tick
        self.used_at = tick
        self.sequence = self.asked = self.told = self.kept = 0
        self.closing = self.gone = False

    @property
    def free(self) -> int:
        """What may be reserved now; below zero after a charge beyond its bound."""
        return self.granted - self.spent - self.reserved

    def step(self, tick: float) -> Step:
        """Where what is admitted now counts, in a trailing window."""
        steps, seconds = self.steps, self.counter.seconds
        if steps and tick - steps[-1].began < seconds / STEPS:
            last = steps[-1]
            last.at = tick
            return last
        last = Step(tick)
        steps.append(last)
        if self.forget_at == FOREVER:
            self.forget_at = tick + seconds
        return last

    def forget(self, tick: float) -> None:
        """Let go of what was admitted too long ago to be in a trailing window."""
        if tick <= self.forget_at:
            return
        steps, seconds = self.steps, self.counter.seconds
        while steps and steps[0].at + seconds < tick:
            step = steps.popleft()
            self.spent -= step.spent
            self.reserved -= step.reserved
            step.left = True
        self.forget_at = steps[0].at + seconds if steps else FOREVER

    def room_in(self, missing: int, tick: float) -> float | None:
        """Seconds until ``missing`` more is free in a trailing window, by what this worker knows. None if it does not."""
        window = self.counter.window
        if not isinstance(window, Trailing) or not window.seconds:
            return None
        for step in self.steps:
            missing -= step.reserved + step.spent
            if missing <= 0:
                return max(0.0, step.at + window.seconds - tick)
        return window.seconds


class Reservation:
    """What one request holds of several leases until ``Wallet.settle``, which tells its ``charges``: by label, or by all
    that are charged alike, they go to the database with the request's row. ``steps`` are those of the leases whose windows
    trail, in their order, and ``labels`` those of all the leases. ``admitted_at`` is by the wall clock, ``tick`` by the one
    that never jumps."""

    __slots__ = ("admitted_at", "amounts", "bound_exceeded", "charges", "labels", "leases", "settled", "steps", "tick")

    def __init__(self, leases: list[Lease], amounts: list[int], steps: list[Step], now: float, tick: float) -> None:
        self.leases, self.amounts, self.steps = leases, amounts, steps
        self.labels = BETWEEN.join([lease.label for lease in leases if lease.label])
        self.admitted_at, self.tick = now, tick
        self.settled = self.bound_exceeded = False
        self.charges: dict[str, int] = {}

    @property
    def bounds(self) -> dict[str, int]:
        """What is charged, by label, if this process does not live to settle: for the intent."""
        return self.told(self.amounts)

    def told(self, amounts: list[int]) -> dict[str, int]:
        """So much for each lease, by label. Those of budgets, which are of the same money, are nearly always alike."""
        if not self.labels:
            return {}
        first, alike = -1, True
        for place, lease in enumerate(self.leases):
            if lease.label:
                if first < 0:
                    first = amounts[place]
                elif amounts[place] != first:
                    alike = False
        if alike:
            return {self.labels: first}
        told: dict[str, int] = {}
        for place, lease in enumerate(self.leases):
            if label := lease.label:
                told[label] = told.get(label, 0) + amounts[place]
        return told


class Refusal(NamedTuple):
    """``reason``: "spent" (nothing comes back before it renews), "held" (others, or requests under way, may give back),
    "closed" (not within its fixed period) or "gone" (the limit was deleted). ``renews_at`` is None if it never does.
    ``available`` is what, as far as one knows, could be had."""

    counter: Counter
    missing: int
    renews_at: float | None
    reason: str
    available: int = 0


class Needs(NamedTuple):
    """These leases are too small for the request: ask for more, then reserve again."""

    amounts: tuple[tuple[Lease, int], ...]


class Ask(NamedTuple):
    """One exchange: what is not kept is given back; from what then is there, ``need`` is asked for, at any rate ``least``,
    and up to ``want`` if there is plenty. Sequences rise: an exchange is void that comes after one with higher ones. The
    ``last`` ends the lease: nothing is reserved in it any more."""

    number: int
    sequence: int
    counter: str
    subject: str
    start: int
    keep: int
    least: int = 0
    need: int = 0
    want: int = 0
    last: bool = False


class Grant(NamedTuple):
    """The answer. ``granted`` is all that the lease has now; ``pool`` is what nobody has, ``others`` what others hold.
    Not ``met``: not even ``least`` was there. From ``until`` on the cap may be lower."""

    number: int
    sequence: int
    granted: int
    pool: int
    others: int
    met: bool = True
    until: int = NEVER
    gone: bool = False


def crossed(thresholds: Sequence[int], cap: int, spent: int, warned: int) -> tuple[int, ...]:
    """Of ``thresholds``, percents of the cap: those that are reached and greater than ``warned``, the last one told."""
    return tuple(percent for percent in sorted(thresholds) if percent > warned and reached(percent, cap, spent))


def reached(percent: int, cap: int, spent: int) -> bool:
    return spent > 0 and spent * 100 >= cap * percent
