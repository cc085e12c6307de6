"""What one worker does with its leases: reserve before a dispatch, settle after it, ask for more, give back. No Django
here, no I/O and no lock: its event loop is the only one that calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tenants.leases import MOST, UNBOUNDED, Ask, Counter, Grant, Key, Lease, Needs, Refusal, Reservation, Step, Trailing
from tenants.slices import IDLE, RECHECK, RECHECK_SPENT, SCARCE, appetite, excess


class Place(NamedTuple):
    key: str
    start: int
    hard: bool


class Wallet:
    """``hungry`` are leases that will soon be used up: have ``asks`` ask for them before a request has to wait.

    Amounts are whole numbers. Each process has a wallet of its own, whose leases the store knows by its owner's name. One
    exchange at a time: to the store, a later one makes those void that have not come yet.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = self._sequence = 0
        self._places: dict[Place, Lease] = {}
        self._leases: dict[int, Lease] = {}
        self.hungry: set[Lease] = set()

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def __len__(self) -> int:
        return len(self._leases)

    def reserve(self, counters: Sequence[Counter], amounts: list[int], now: float) -> Reservation | Refusal | Needs:
        """Take an amount of each counter, or nothing of any. ``now`` is the request's admission by the wall clock: it says
        in which windows it counts, also when it is tried again. ValueError for a time or an amount that cannot be."""
        if len(counters) != len(amounts):
            raise ValueError("Each counter has one amount.")
        tick = self._clock()
        leases: list[Lease] = []
        trailing = False
        try:
            for place, counter in enumerate(counters):
                amount = amounts[place]
                lease = counter.lease
                if lease is None or not self._holds(lease, counter, now):
                    lease = self._find(counter, now, tick)
                if lease is None:
                    break
                if lease.trailing:
                    trailing = True
                    lease.forget(tick)
                room = lease.granted - lease.spent - lease.reserved
                if not 0 <= amount <= room:
                    break
                lease.reserved += amount
                lease.used_at = tick
                leases.append(lease)
                if room - amount < lease.low:
                    self.hungry.add(lease)
            else:
                steps = _steps(leases, amounts, tick) if trailing else []
                return Reservation(leases, amounts, steps, now, tick)
        except BaseException:
            _undo(leases, amounts)
            raise
        _undo(leases, amounts)
        return self._short(counters, amounts, now, tick)

    def settle(self, reservation: Reservation, actual: list[int]) -> Reservation:
        """Replace what was reserved by what it was, in the windows of its admission, in full also where that is more. Once:
        what is settled stays as it is. Zeros for what was never dispatched."""
        if reservation.settled:
            return reservation
        leases, amounts = reservation.leases, reservation.amounts
        if len(actual) != len(leases):
            raise ValueError("Each counter has one amount.")
        for cost in actual:
            if cost < 0:
                raise ValueError("Nothing costs less than nothing.")
        steps = iter(reservation.steps)
        for place, lease in enumerate(leases):
            amount, cost = amounts[place], actual[place]
            if cost > amount:
                reservation.bound_exceeded = True
            if lease.trailing:
                step = next(steps)
                if step.left:
                    continue
                step.reserved -= amount
                step.spent += cost
                lease.spent += cost
            elif lease.label:
                lease.spent += cost
            lease.reserved -= amount
        reservation.charges = reservation.told(actual)
        reservation.settled = True
        return reservation

    def asks(self, waiting: Iterable[Needs] = ()) -> list[Ask]:
        """What to ask the store for, so that those who wait can go on, and for what is hungry. Leases that are being asked
        for are left out. Follow it by ``take`` or ``failed``."""
        tick = self._clock()
        wanted: dict[Lease, list[int]] = {lease: [] for lease in sorted(self.hungry, key=_number)}
        self.hungry.clear()
        for needs in waiting:
            for lease, amount in needs.amounts:
                wanted.setdefault(lease, []).append(amount)
        asks = []
        for lease, amounts in wanted.items():
            lease.forget(tick)
            ahead = not amounts
            need = max(0, sum(amounts) - lease.free)
            if lease.asked or lease.closing or not (ahead or need):
                continue
            least = max(0, min(amounts, default=0) - lease.free)
            asks.append(self._ask(lease, least, need, appetite(lease, need, tick)))
        return asks

    def returns(self, now: float, *, everything: bool = False) -> list[Ask]:
        """What to give back: several times a second, so that others can use it. ``everything`` that is free at the end of
        the process; what is reserved stays. Follow it by ``take`` or ``failed``."""
        tick = self._clock()
        asks = []
        for lease in list(self._leases.values()):
            if lease.asked:
                continue
            lease.forget(tick)
            over = everything or lease.closing or now >= lease.end or tick - lease.used_at > IDLE
            if over and not lease.reserved and not (lease.trailing and lease.spent):
                asks += self._close(lease)
            elif lease.counter.hard:
                lease.granted -= max(0, excess(lease, over or tick < lease.scarce_until))
                debt = max(0, -lease.free)
                if debt or lease.granted < lease.told:
                    asks.append(self._ask(lease, 0, debt, debt))
        return asks

    def take(self, grants: Iterable[Grant]) -> None:
        """The store's answers. Those to what has been given up meanwhile are left out."""
        tick = self._clock()
        for grant in grants:
            lease = self._leases.get(grant.number)
            if lease is None or lease.asked != grant.sequence:
                continue
            lease.asked = 0
            self.hungry.discard(lease)
            if lease.closing:
                del self._leases[grant.number]
                continue
            given = grant.granted - lease.kept
            lease.granted = lease.told = grant.granted
            lease.pool, lease.others, lease.gone = grant.pool, grant.others, grant.gone
            lease.known_until = tick + (RECHECK if grant.others else RECHECK_SPENT)
            lease.until = min(lease.end, grant.until)
            if not grant.met:
                lease.scarce_until = tick + SCARCE
            if given:
                lease.slice = min(lease.slice, given)
            lease.low = given // 2 if tick >= lease.scarce_until else -1

    def failed(self, asks: Iterable[Ask]) -> None:
        """There was no answer: nobody knows whether the store did what it was asked. The next exchange says so anew."""
        for ask in asks:
            lease = self._leases.get(ask.number)
            if lease is not None and lease.asked == ask.sequence:
                lease.asked = 0
                lease.told = UNBOUNDED

    def scarce(self, windows: Iterable[Key]) -> None:
        """Somebody else could not be served from these, by counter, subject and start."""
        tick = self._clock()
        for counter, subject, start in windows:
            lease = self._places.get(Place(f"{counter}/{subject}", start, True))
            if lease is not None:
                lease.scarce_until = tick + SCARCE

    def recheck(self) -> None:
        """Limits have been changed: believe no earlier "no"."""
        for lease in self._leases.values():
            lease.known_until = self._clock()

    def _holds(self, lease: Lease, counter: Counter, now: float) -> bool:
        """Whether this is the lease of the window that ``now`` is in."""
        return (
            lease.owner is self and lease.counter is counter and lease.start <= now < lease.until and not lease.closing
        )

    def _find(self, counter: Counter, now: float, tick: float) -> Lease | None:
        """The lease of the window that ``now`` is in, made if need be. None outside a fixed period."""
        window = counter.window.window(now)
        if window is None:
            return None
        place = Place(counter.key, window.start, counter.hard)
        lease = self._places.get(place)
        if lease is None:
            self._numbers += 1
            lease = self._places[place] = self._leases[self._numbers] = Lease(
                self._numbers, counter, window, tick, self
            )
        lowered = counter.cap < lease.counter.cap
        if lowered:
            lease.scarce_until = tick + SCARCE
        lease.counter = counter
        if lowered or now >= lease.until:  # what was granted while the cap was higher is asked for again
            lease.granted -= max(0, lease.free)
            lease.until = lease.end
        counter.lease = lease
        return lease

    def _short(self, counters: Sequence[Counter], amounts: list[int], now: float, tick: float) -> Refusal | Needs:
        wanted: dict[Lease, int] = {}
        for counter, amount in zip(counters, amounts, strict=True):
            if not 0 <= amount <= MOST:
                raise ValueError(f"{amount!r} is no amount that can be reserved.")
            lease = counter.lease
            if lease is None or not self._holds(lease, counter, now):
                lease = self._find(counter, now, tick)
            if lease is None:
                return Refusal(counter, amount, counter.window.renews_at(now), "closed")
            lease.forget(tick)
            wanted[lease] = wanted.get(lease, 0) + amount
            missing = wanted[lease] - lease.free
            if missing > lease.pool and tick < lease.known_until and not lease.asked:
                return _refusal(lease, missing, now, tick)
        return Needs(tuple((lease, amount) for lease, amount in wanted.items() if amount > lease.free))

    def _close(self, lease: Lease) -> list[Ask]:
        """End a lease. Its place is free for another one."""
        place = Place(lease.counter.key, lease.start, lease.counter.hard)
        if self._places.get(place) is lease:
            del self._places[place]
        lease.closing = True
        self.hungry.discard(lease)
        if not lease.sequence:
            del self._leases[lease.number]
            return []
        lease.granted = min(lease.granted, lease.spent)
        return [self._ask(lease, 0, 0, 0)]

    def _ask(self, lease: Lease, least: int, need: int, want: int) -> Ask:
        self._sequence += 1
        lease.sequence = lease.asked = self._sequence
        lease.kept = lease.granted
        counter = lease.counter
        return Ask(
            lease.number,
            lease.asked,
            counter.name,
            counter.subject,
            lease.start,
            lease.granted,
            least,
            need,
            min(want, MOST),
            lease.closing,
        )


def _number(lease: Lease) -> int:
    return lease.number


def _undo(leases: list[Lease], amounts: list[int]) -> None:
    for lease, amount in zip(leases, amounts, strict=False):
        lease.reserved -= amount


def _steps(leases: list[Lease], amounts: list[int], tick: float) -> list[Step]:
    steps = []
    for place, lease in enumerate(leases):
        if lease.trailing:
            step = lease.step(tick)
            step.reserved += amounts[place]
            steps.append(step)
    return steps


def _refusal(lease: Lease, missing: int, now: float, tick: float) -> Refusal:
    counter, available = lease.counter, max(0, lease.free + lease.pool)
    if lease.gone:
        return Refusal(counter, missing, None, "gone")
    if isinstance(counter.window, Trailing):
        seconds = lease.room_in(missing, tick)
        return Refusal(counter, missing, None if seconds is None else now + seconds, "held", available)
    held = missing <= lease.pool + lease.others + lease.reserved
    return Refusal(counter, missing, counter.window.renews_at(now), "held" if held else "spent", available)
