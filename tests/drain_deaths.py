"""Processes that tests kill: one that writes a spool, one that drains it. ``python -m tests.drain_deaths '<JSON>'``.

The writer appends to a log what it has done, each after the fact: ``A id`` before an intent, ``I id`` after it, ``S id
amount`` when it is settled.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from tenants.ledger import Entry
from tenants.spool import Spool
from tenants.spool_owners import claim

LABEL = "0/0/b1.1/"
BOUND = 1_000
SEGMENT = 8_000


def write(told: dict[str, Any]) -> None:
    rng, log = random.Random(told["seed"]), os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    spool = Spool(claim(Path(told["root"])), segment_bytes=SEGMENT)
    under_way: list[Entry] = []

    def say(word: str, id: UUID, amount: int = 0) -> None:
        os.write(log, f"{word} {id} {amount}\n".encode())

    while True:
        if len(under_way) < rng.randint(1, 8):
            entry = Entry(route="fast", status=200)
            say("A", entry.id)
            spool.intend(entry, {LABEL: BOUND}, "v1")
            say("I", entry.id)
            under_way.append(entry)
        else:
            entry = under_way.pop(rng.randrange(len(under_way)))
            entry.cost = rng.randint(0, BOUND)
            entry.charges = {LABEL: entry.cost}
            spool.settle(entry)
            say("S", entry.id, entry.cost)
        time.sleep(0.002)


def drain(told: dict[str, Any]) -> None:
    import django
    from django.conf import settings

    apps = ["django.contrib.auth", "django.contrib.contenttypes", "tenants"]
    settings.configure(DATABASES={"default": told["database"]}, INSTALLED_APPS=apps, USE_TZ=True)
    django.setup()
    from tenants.drain_spools import Spools

    spools = Spools(Path(told["root"]), batch=told["batch"], segment_bytes=SEGMENT)
    while True:
        spools.turn(sweeping=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    {"write": write, "drain": drain}[given["role"]](given)
