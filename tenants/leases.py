"""What is limited, and the slices of it that one worker may spend from memory. No Django here, and no I/O.

A ``Counter`` is one limit of one subject: a budget of nano-dollars in a period, tokens or requests in any 60 seconds, or
requests at once. A ``Lease`` is what this worker has been granted of one counter's window: what is granted to all workers
and spent never passes the cap, so what a worker does within its lease needs nobody's leave. ``tenants.wallet`` holds a
worker's leases, ``tenants.lease_store`` grants them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tenants.periods import NEVER, Period, Window

MOST: Final = 10**18
"""Of a cap and of one reservation: a thousand million dollars. Sums of some of them fit in 64 bits."""
UNBOUNDED: Final = 1 << 62


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


@dataclass(frozen=True, slots=True)
class Counter:
    """One limit. A limit that gets another window gets another name, too: what was counted in the old one is not what
    the new one asks for. ``subject`` is whom it counts alone, where one limit is set for each of many, such as end users.
    What is not hard is never refused, only counted. ``seconds`` are those of a trailing window, else 0."""

    name: str
    cap: int
    window: Period | Trailing
    unit: str = MONEY
    subject: str = ""
    hard: bool = True
    key: str = field(init=False, repr=False, compare=False)
    seconds: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"{self.name!r} is no name of a counter.")
        if not 0 <= self.cap <= MOST:
            raise ValueError(f"A cap is from 0 to {MOST:,}.")
        object.__setattr__(self, "key", f"{self.name}/{self.subject}")
        object.__setattr__(self, "seconds", self.window.seconds if isinstance(self.window, Trailing) else 0)


class Label(NamedTuple):
    """What a charge is charged to: a lease of the process that makes it, and the window that this is of. The number is 0
    where nothing is leased."""

    number: int
    start: int
    counter: str
    subject: str


def write_label(label: Label) -> str:
    return "/".join(map(str, label))


def read_label(text: str) -> Label:
    """Raises ValueError."""
    number, start, counter, subject = text.split("/", 3)
    return Label(int(number), int(start), counter, subject)


class Mark:
    """One reservation in a trailing window."""

    __slots__ = ("amount", "at", "lease", "place", "settled")

    def __init__(self, lease: Lease, place: int, amount: int, at: float) -> None:
        self.lease, self.place, self.amount, self.at = lease, place, amount, at
        self.settled = False

    def settle(self, actual: int) -> None:
        if not self.settled:  # else it has left the window before
            self.lease.reserved -= self.amount
            self.lease.spent += actual
            self.amount, self.settled = actual, True


class Lease:
    """A slice of one counter's window. All times but ``start``, ``end`` and ``until`` are of a clock that never jumps.

    ``granted`` is all that this lease ever got, less what it gave back; ``spent`` and ``reserved`` are of it, in a trailing
    window only what is still in that. ``sequence`` is of its last exchange, ``asked`` of the one that is under way, 0 if
    none is; ``told`` is what the store, as far as one knows, believes that it has.
    """

    __slots__ = (
        "asked",
        "closing",
        "counter",
        "end",
        "gone",
        "granted",
        "kept",
        "known_until",
        "label",
        "low",
        "number",
        "others",
        "pool",
        "refilled_at",
        "reserved",
        "scarce_until",
        "sequence",
        "slice",
        "spent",
        "start",
        "told",
        "trail",
        "until",
        "used_at",
    )

    def __init__(self, number: int, counter: Counter, window: Window, tick: float) -> None:
        self.number, self.counter = number, counter
        self.start, self.end = window
        self.until = self.end
        self.granted = 0 if counter.hard else UNBOUNDED
        self.spent = self.reserved = 0
        trailing = isinstance(counter.window, Trailing)
        label = Label(number if counter.hard else 0, self.start, counter.name, counter.subject)
        self.label = "" if trailing else write_label(label)
        self.trail: deque[Mark] | None = deque() if trailing and counter.window != CONCURRENT else None
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

    def forget(self, tick: float) -> None:
        """Let go of what was admitted too long ago to be in a trailing window."""
        trail = self.trail
        if not trail:
            return
        before = tick - self.counter.seconds
        while trail and trail[0].at < before:
            mark = trail.popleft()
            if mark.settled:
                self.spent -= mark.amount
            else:
                self.reserved -= mark.amount
                mark.settled = True

    def room_in(self, missing: int, tick: float) -> float | None:
        """Seconds until ``missing`` more is free in a trailing window, by what this worker knows. None if it does not."""
        window = self.counter.window
        if not isinstance(window, Trailing) or not window.seconds:
            return None
        for mark in self.trail or ():
            missing -= mark.amount
            if missing <= 0:
                return max(0.0, mark.at + window.seconds - tick)
        return window.seconds


class Settled:
    """``charges`` go to the database with the request's row, by label."""

    __slots__ = ("bound_exceeded", "charges")

    def __init__(self, charges: dict[str, int], bound_exceeded: bool) -> None:
        self.charges, self.bound_exceeded = charges, bound_exceeded


class Reservation:
    """What one request holds of several leases until ``Wallet.settle``."""

    __slots__ = ("admitted_at", "amounts", "leases", "marks", "settled")

    def __init__(self, leases: list[Lease], amounts: list[int], marks: list[Mark], now: float) -> None:
        self.leases, self.amounts, self.marks, self.admitted_at = leases, amounts, marks, now
        self.settled: Settled | None = None

    @property
    def bounds(self) -> dict[str, int]:
        """What is charged, by label, if this process does not live to settle: for the intent."""
        bounds: dict[str, int] = {}
        for place, lease in enumerate(self.leases):
            if label := lease.label:
                bounds[label] = bounds.get(label, 0) + self.amounts[place]
        return bounds


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
