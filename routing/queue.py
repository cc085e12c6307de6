"""How many requests a provider has at once, and who is next: fair between tenants, in proportion to their weights.

Each tenant has a clock of its own that its use of places moves on: seconds of use divided by its weight. The waiting
tenant whose clock is furthest behind is next (start-time fair queueing). What a request will use is not known when it
begins: it is charged the mean, and the difference when it leaves. Who comes back after a rest is at most ``BURST``
requests ahead of the present, and nobody pays back more than ``DEBT`` of them at once. In a full queue room is made by
whoever waits most for their weight.

One event loop, no locks, no tasks. Every operation takes O(log n).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from routing.ranking import Ranking

FIRST_HOLD = 1.0  # seconds that a request is thought to take before any has ended
NEWEST = 0.1  # how much the newest request says of the mean
LIGHTEST = 1e-3
BURST, DEBT = 3, 10


@dataclass(frozen=True, slots=True)
class Caps:
    """``places`` is how many requests the provider has at once, 0 for any number; ``waiting`` how many more may wait."""

    places: int = 0
    waiting: int = 0


UNCAPPED = Caps()


class QueueFull(Exception):
    """No place came free in time, or none would. ``position`` is where the request stood, or would have stood, at the
    most; ``eta`` the seconds until it would have had its turn, as a guess."""

    def __init__(self, position: int, eta: float) -> None:
        super().__init__(f"no place is free; position {position}, about {eta:.1f} seconds")
        self.position = position
        self.eta = eta


class Place:
    """The right to call the provider, until ``leave``, which may be called again. ``waited`` is in seconds."""

    __slots__ = ("_began", "_charged", "_queue", "_tenant", "waited")

    def __init__(self, queue: Queue, tenant: _Tenant, now: float, waited: float = 0.0) -> None:
        clock, charged = tenant.clock, queue.hold
        if clock > queue.present:
            queue.present = clock
        tenant.clock = clock + charged / tenant.weight
        tenant.active += 1
        queue.active += 1
        self._queue: Queue | None = queue
        self._tenant, self._began, self._charged = tenant, now, charged
        self.waited = waited

    def leave(self) -> None:
        queue, tenant, self._queue = self._queue, self._tenant, None
        if queue is None:
            return
        held = asyncio.get_running_loop().time() - self._began
        hold = queue.hold = queue.hold + NEWEST * (held - queue.hold)
        clock, weight = tenant.clock, tenant.weight
        owed = (held - self._charged) / weight
        if owed > 0:
            owed = min(owed, max(0.0, queue.present + DEBT * hold / weight - clock))
        tenant.clock = clock + owed
        tenant.active -= 1
        queue.active -= 1
        if queue.waiting or not queue.active:
            queue.left(tenant)


class _Waiter(NamedTuple):
    number: int
    since: float
    turn: asyncio.Future[Place]


class _Tenant:
    __slots__ = ("active", "clock", "id", "joined", "waiters", "weight")

    def __init__(self, id: int, clock: float) -> None:
        self.id = id
        self.active = self.joined = 0
        self.clock = clock
        self.weight = 1.0
        self.waiters: OrderedDict[int, _Waiter] = OrderedDict()


class Queue:
    """The places of one provider: ``active`` requests have one, ``waiting`` ones wait for one; ``hold`` is the mean of
    the seconds that one is kept, and ``present`` the clock of whoever was served last. Without a cap nobody waits, but all are
    counted: a cap may come at any time."""

    def __init__(self, caps: Caps = UNCAPPED) -> None:
        self.caps = caps
        self.active = self.waiting = 0
        self.hold = FIRST_HOLD
        self.present = 0.0
        self._weights = 0.0  # of the tenants that wait
        self._tenants: dict[int, _Tenant] = {}
        self._remembered = 64
        self._next = Ranking()  # by clock
        self._longest = Ranking()  # by waiters for their weight, the most first

    async def enter(self, tenant_id: int, weight: float = 1.0, limit_seconds: float = 0.0) -> Place:
        """A place, waited for if need be. Raises QueueFull. Whoever is cancelled gives up its place."""
        place = self.take(tenant_id, weight)
        if place is not None:
            return place
        loop = asyncio.get_running_loop()
        tenant = self._tenant(tenant_id, weight)
        self._make_room(tenant, limit_seconds)
        waiter = self._join(tenant, _Waiter(tenant.joined, loop.time(), loop.create_future()))
        timer = loop.call_later(limit_seconds, self._refuse, tenant, waiter)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._give_up(tenant, waiter)
            raise
        finally:
            timer.cancel()

    def take(self, tenant_id: int, weight: float = 1.0) -> Place | None:
        """A place at once, None where one must wait."""
        places = self.caps.places
        if places and (self.waiting or self.active >= places):
            return None
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.weight != weight:
            tenant = self._tenant(tenant_id, weight)
        latest = self.present - BURST * self.hold / tenant.weight
        if tenant.clock < latest:
            tenant.clock = latest
        return Place(self, tenant, asyncio.get_running_loop().time())

    def change(self, caps: Caps) -> None:
        """From now on these caps. Nobody who has a place loses it; who waits beyond the new bound is refused."""
        self.caps = caps
        self._serve()
        while self.waiting > caps.waiting and self.waiting:
            self._push_out()

    def expected(self, tenant_id: int, weight: float = 1.0) -> tuple[int, float]:
        """The position at which a request of this tenant would stand now, at the most, and about how many seconds."""
        ahead = len(self._tenants[tenant_id].waiters) if tenant_id in self._tenants else 0
        return self._forecast(ahead, ahead, max(weight, LIGHTEST))

    # places

    def _tenant(self, id: int, weight: float) -> _Tenant:
        tenant = self._tenants.get(id)
        if tenant is None:
            if len(self._tenants) >= self._remembered:
                self._forget()
            tenant = self._tenants[id] = _Tenant(id, self.present)
        if tenant.waiters:
            self._weights += max(weight, LIGHTEST) - tenant.weight
        tenant.weight = max(weight, LIGHTEST)
        return tenant

    def _forget(self) -> None:
        """Drop the tenants about whom there is nothing to remember."""
        kept = (each for each in self._tenants.values() if each.active or each.waiters or each.clock > self.present)
        self._tenants = {each.id: each for each in kept}
        self._remembered = max(64, 2 * len(self._tenants))

    def left(self, tenant: _Tenant) -> None:
        """A place of this tenant's has come free, and others wait or nobody is there any more."""
        if tenant.waiters:
            self._next.put(tenant.id, tenant.clock)
        if self.waiting:
            self._serve()
        else:  # nobody is ahead or behind
            self._tenants.clear()
            self.present = 0.0

    def _serve(self) -> None:
        """Hand out what places are free."""
        while self.waiting and (not self.caps.places or self.active < self.caps.places):
            tenant = self._tenants[self._next.first()[1]]  # type: ignore[index]
            waiter = next(iter(tenant.waiters.values()))
            self._remove(tenant, waiter)
            if not waiter.turn.done():  # else cancelled, and not yet told
                now = waiter.turn.get_loop().time()
                waiter.turn.set_result(Place(self, tenant, now, now - waiter.since))
                if tenant.waiters:
                    self._next.put(tenant.id, tenant.clock)

    # the queue

    def _join(self, tenant: _Tenant, waiter: _Waiter) -> _Waiter:
        if not tenant.waiters:
            tenant.clock = max(tenant.clock, self.present - BURST * self.hold / tenant.weight)
            self._weights += tenant.weight
            self._next.put(tenant.id, tenant.clock)
        tenant.waiters[waiter.number] = waiter
        tenant.joined += 1
        self.waiting += 1
        self._longest.put(tenant.id, -len(tenant.waiters) / tenant.weight)
        return waiter

    def _remove(self, tenant: _Tenant, waiter: _Waiter) -> None:
        if tenant.waiters.pop(waiter.number, None) is None:
            return
        self.waiting -= 1
        if tenant.waiters:
            self._longest.put(tenant.id, -len(tenant.waiters) / tenant.weight)
        else:
            self._weights = self._weights - tenant.weight if self.waiting else 0.0
            self._next.drop(tenant.id)
            self._longest.drop(tenant.id)

    def _make_room(self, tenant: _Tenant, limit_seconds: float) -> None:
        """Raises QueueFull where this tenant may not wait."""
        if limit_seconds > 0 and self.waiting < self.caps.waiting:
            return
        longest = self._longest.first()
        if limit_seconds > 0 and longest is not None and -longest[0] > (len(tenant.waiters) + 1) / tenant.weight:
            self._push_out()
            return
        raise QueueFull(*self.expected(tenant.id, tenant.weight))

    def _push_out(self) -> None:
        """Refuse the last waiter of the tenant that has most for its weight."""
        tenant = self._tenants[self._longest.first()[1]]  # type: ignore[index]
        self._refuse(tenant, next(reversed(tenant.waiters.values())))

    def _refuse(self, tenant: _Tenant, waiter: _Waiter) -> None:
        if waiter.number not in tenant.waiters:
            return
        first = next(iter(tenant.waiters))
        ahead = min(waiter.number - first, len(tenant.waiters) - 1)
        full = QueueFull(*self._forecast(ahead, len(tenant.waiters), tenant.weight))
        self._remove(tenant, waiter)
        if not waiter.turn.done():
            waiter.turn.set_exception(full)

    def _give_up(self, tenant: _Tenant, waiter: _Waiter) -> None:
        self._remove(tenant, waiter)
        with suppress(asyncio.CancelledError, QueueFull):
            waiter.turn.result().leave()  # it came together with the cancellation

    def _forecast(self, ahead: int, own: int, weight: float) -> tuple[int, float]:
        """While ``ahead`` of one's own and this one are served, the others get as much for their weights, if they want it."""
        others = self._weights - (weight if own else 0.0)
        between = min(self.waiting - own, math.ceil(round((ahead + 1) * others / weight, 6)))
        position = 1 + ahead + max(between, 0)
        return position, position * self.hold / max(self.caps.places, 1)


class Queues(dict[int, Queue]):
    """The queues of all providers, by their id; each is made at the first need."""

    def __init__(self) -> None:
        super().__init__()
        self.caps: Mapping[int, Caps] = {}

    def apply(self, caps: Mapping[int, Caps]) -> None:
        """The caps of a new snapshot. A provider that is gone keeps its queue until nobody is in it."""
        self.caps = caps
        for provider_id, queue in list(self.items()):
            queue.change(caps.get(provider_id, UNCAPPED))
            if provider_id not in caps and not queue.active:
                del self[provider_id]

    def __missing__(self, provider_id: int) -> Queue:
        queue = self[provider_id] = Queue(self.caps.get(provider_id, UNCAPPED))
        return queue
