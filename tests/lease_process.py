"""One worker process for tests: reserves, "calls an upstream", settles, until it is told to stop or killed.

``python -m tests.lease_process '<JSON>'``. It holds a lock as long as it lives, and writes what it does to a log, one line a
write: ``I id tick bounds tokens`` before a dispatch, ``S id tick charges tokens`` after it. Whoever can take the lock knows
that it is dead, and by the log what it did and what it left open.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tenants.leases import CONCURRENT, Counter, Refusal, Reservation, Trailing
from tenants.periods import Period
from tenants.refills import Refills
from tenants.wallet import Wallet
from tests.wallet_bench import log_uniform

TICK = 0.1
LARGEST = 1_000_000
SECONDS = 2
MOST_TOKENS, MOST_AT_ONCE = 2_000, 5
TENANT = Counter("1tenant", 105 * LARGEST, Period("total"))
PROJECTS = (Counter("2a", 50 * LARGEST, Period("total")), Counter("2b", 60 * LARGEST, Period("total")))
KEY = Counter("3key", 9 * LARGEST, Period("total"))
AT_ONCE = Counter("4at-once", MOST_AT_ONCE, CONCURRENT, "requests")
TOKENS = Counter("5tokens", MOST_TOKENS, Trailing(SECONDS), "tokens")
#: What a request may be: one key with a small budget, one with a limit of requests at once, one with a limit of tokens.
LEVELS: tuple[tuple[Counter, ...], ...] = (
    (TENANT, PROJECTS[0], KEY),
    (TENANT, PROJECTS[0]),
    (TENANT, PROJECTS[1], AT_ONCE),
    (TENANT, PROJECTS[1], TOKENS),
)
COUNTERS = (TENANT, *PROJECTS, KEY, AT_ONCE, TOKENS)


class Process:
    def __init__(self, directory: Path, owner: str, refills: Refills) -> None:
        self.refills, self.stopping = refills, False
        self.log = os.open(directory / f"{owner}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.ids = itertools.count()

    async def work(self, rng: random.Random) -> None:
        while not self.stopping:
            levels = rng.choice(LEVELS)
            bound, tokens = log_uniform(rng, LARGEST), log_uniform(rng, 200)
            unit = {"nano-dollars": bound, "tokens": tokens, "requests": 1}
            made = await self.refills.reserve(levels, [unit[level.unit] for level in levels], time.time())
            if isinstance(made, Refusal):
                await asyncio.sleep(0.005)
            else:
                actual = {"nano-dollars": log_uniform(rng, bound), "tokens": rng.randint(0, tokens), "requests": 0}
                await self.serve(made, levels, actual, rng)

    async def serve(
        self, made: Reservation, levels: tuple[Counter, ...], actual: dict[str, int], rng: random.Random
    ) -> None:
        number = next(self.ids)
        tokens = made.amounts[levels.index(TOKENS)] if TOKENS in levels else 0
        self.write("I", number, made.tick, made.bounds, tokens)
        await asyncio.sleep(rng.expovariate(300))
        ended = time.monotonic()
        settled = self.refills.wallet.settle(made, [actual[level.unit] for level in levels])
        self.write("S", number, ended, settled.charges, actual["tokens"] if TOKENS in levels else 0)

    def write(self, *values: Any) -> None:
        os.write(self.log, json.dumps(values).encode() + b"\n")

    async def run(self, tasks: int, seed: int) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, self, "stopping", True)
        working = [asyncio.create_task(self.work(random.Random(seed * 1_000 + number))) for number in range(tasks)]
        while not self.stopping:
            await asyncio.sleep(TICK)
            await self.refills.tick()
        await asyncio.gather(*working)
        await self.refills.close()


async def main(told: dict[str, Any]) -> None:
    from tenants.lease_threads import DatabaseLeases

    store = DatabaseLeases(told["owner"], workers=told["workers"], timeout=30)
    refills = Refills(Wallet(), store.exchange, store.shortages)
    process = Process(Path(told["directory"]), told["owner"], refills)
    await process.run(told["tasks"], told["seed"])
    await asyncio.to_thread(store.close)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    lock = os.open(Path(told["directory"], f"{told['owner']}.lock"), os.O_RDONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    apps = ["django.contrib.auth", "django.contrib.contenttypes", "tenants"]
    settings.configure(DATABASES={"default": told["database"]}, INSTALLED_APPS=apps, USE_TZ=True)
    django.setup()
    asyncio.run(main(told))
