"""Between a worker's wallet and the store: requests wait here, in their order, while slices are fetched for them. No Django
here: requests use it.

One exchange is under way at a time, for all who wait: hundreds that come at once to an empty lease cost one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from tenants.leases import Ask, Counter, Grant, Key, Needs, Refusal, Reservation
from tenants.wallet import Wallet

Exchange = Callable[[list[Ask]], Awaitable[list[Grant]]]
"""As ``tenants.lease_threads.DatabaseLeases.exchange``. What it raises is raised to those who wait."""
Shortages = Callable[[], Awaitable[list[Key]]]

MOST_ASKS: Final = 100
"""In one exchange: others wait for what it locks."""
GATHERING: Final = 0.25
"""Seconds that an exchange waits for more to ask for, as long as no request waits for it."""
MOST_TRIES: Final = 8
"""Others may be quicker again and again; then a request is refused."""


class Waiter:
    __slots__ = ("amounts", "counters", "future", "needs", "now", "tries")

    def __init__(self, counters: Sequence[Counter], amounts: list[int], now: float, needs: Needs) -> None:
        self.counters, self.amounts, self.now, self.needs = counters, amounts, now, needs
        self.future: asyncio.Future[Reservation | Refusal] = asyncio.get_running_loop().create_future()
        self.tries = 0


class Refills:
    """``waits`` counts requests that had to wait, ``exchanges`` round trips, ``failures`` those without an answer: for
    metrics."""

    def __init__(self, wallet: Wallet, exchange: Exchange, shortages: Shortages) -> None:
        self.wallet = wallet
        self._exchange, self._shortages = exchange, shortages
        self._waiting: deque[Waiter] = deque()
        self._turn = asyncio.Lock()
        self._pressed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.waits = self.exchanges = self.failures = 0

    def reserve_now(self, counters: Sequence[Counter], amounts: list[int], now: float) -> Reservation | Refusal | Needs:
        """As ``Wallet.reserve``."""
        outcome = self.wallet.reserve(counters, amounts, now)
        if self.wallet.hungry:
            self._start()
        return outcome

    async def reserve(self, counters: Sequence[Counter], amounts: list[int], now: float) -> Reservation | Refusal:
        """The same; asks the store for more where the wallet has not enough, and raises what that raises."""
        outcome = self.reserve_now(counters, amounts, now)
        return await self.wait(counters, amounts, now, outcome) if isinstance(outcome, Needs) else outcome

    async def tick(self) -> None:
        """Give back what is not used, above all what others are short of. Several times a second; raises what the store
        raises."""
        self.wallet.scarce(await self._shortages())
        async with self._turn:
            await self._ask(self.wallet.returns(time.time()))

    async def close(self) -> None:
        """Give back all that is not used, when no request comes any more. Raises what the store raises."""
        self._pressed.set()
        if self._task is not None:
            await self._task
        async with self._turn:
            await self._ask(self.wallet.returns(time.time(), everything=True))

    async def wait(
        self, counters: Sequence[Counter], amounts: list[int], now: float, needs: Needs
    ) -> Reservation | Refusal:
        """Until there is more, or is known not to be, after ``reserve_now`` has told what it ``needs``."""
        self.waits += 1
        waiter = Waiter(counters, amounts, now, needs)
        self._waiting.append(waiter)
        self._pressed.set()
        self._start()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            done = waiter.future.done() and not waiter.future.cancelled() and not waiter.future.exception()
            outcome = waiter.future.result() if done else None
            if isinstance(outcome, Reservation):  # served a moment before its client left
                self.wallet.settle(outcome, [0] * len(outcome.amounts))
            raise

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting or self.wallet.hungry:
            if not self._waiting:
                await self._gather()
            async with self._turn:
                asks = self.wallet.asks(waiter.needs for waiter in self._waiting)
                try:
                    await self._ask(asks)
                except Exception as error:
                    self._fail(error)
                else:
                    self._serve()

    async def _gather(self) -> None:
        """Nobody waits yet, and more leases will soon be hungry: one exchange for all costs little more than for one."""
        self._pressed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pressed.wait(), GATHERING)

    async def _ask(self, asks: list[Ask]) -> None:
        try:
            for first in range(0, len(asks), MOST_ASKS):
                self.exchanges += 1
                self.wallet.take(await self._exchange(asks[first : first + MOST_ASKS]))
        except BaseException:
            self.failures += 1
            raise
        finally:
            self.wallet.failed(asks)  # those that have got no answer

    def _serve(self) -> None:
        """Let those who wait try again, in their order, before anybody else can."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if waiter.future.done():
                continue
            waiter.tries += 1
            try:
                outcome = self.wallet.reserve(waiter.counters, waiter.amounts, waiter.now)
            except Exception as error:
                waiter.future.set_exception(error)
                continue
            if not isinstance(outcome, Needs):
                waiter.future.set_result(outcome)
            elif waiter.tries < MOST_TRIES:
                waiter.needs = outcome
                self._waiting.append(waiter)
            else:
                lease, amount = outcome.amounts[0]
                renews_at = lease.counter.window.renews_at(waiter.now)
                available = max(0, lease.free + lease.pool)
                waiter.future.set_result(Refusal(lease.counter, amount - lease.free, renews_at, "held", available))

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.future.done():
                waiter.future.set_exception(error)
