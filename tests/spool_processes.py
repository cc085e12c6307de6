"""Processes that write, recover and drain a spool until somebody kills them: ``python -m tests.spool_processes DIRECTORY``.

It reads ``role seed pipe`` from its input, forks a process for each line and prints its id. The process tells what it has
done through the named pipe, in messages of one size, each after the fact.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from uuid import UUID

from tenants.ledger import Entry
from tenants.spool import Spool, recover
from tenants.spool_owners import claim, orphans, owners, tidy
from tenants.spool_reader import acknowledge, read, retire
from tenants.uuid7 import uuid7
from tests.spool_entries import BOUNDS, Rows

MESSAGE = Struct("<c16sI")
ASKED, INTENDED, CHECKPOINTED, SETTLED, WORKED = b"a", b"i", b"c", b"s", b"w"
INTERRUPTED = "interrupted"
SEGMENT = 6_000
Tell = Callable[[bytes, UUID, int], None]


def write(directory: Path, seed: int, tell: Tell) -> None:
    rng = random.Random(seed)
    spool = Spool(claim(directory / "spool"), segment_bytes=SEGMENT)
    tokens: dict[UUID, int] = {}
    while True:
        if len(tokens) < rng.randint(1, 12):
            key = uuid7()
            tell(ASKED, key, 0)
            spool.intend(Entry(key, model="m" * rng.randint(0, 300)), BOUNDS, 3)
            tell(INTENDED, key, 0)
            tokens[key] = 0
            continue
        key = rng.choice(list(tokens))
        tokens[key] += 1
        if rng.random() < 0.3:
            spool.checkpoint(Entry(key, output_tokens=tokens[key]))
            tell(CHECKPOINTED, key, tokens[key])
        else:
            spool.settle(Entry(key, output_tokens=tokens[key]))
            tell(SETTLED, key, tokens.pop(key))


def sweep(directory: Path, tell: Tell) -> None:
    """Close what the dead left open."""
    root = directory / "spool"
    for owner in orphans(root):
        recovered = recover(root, owner, segment_bytes=SEGMENT)
        if recovered is None:
            continue
        for intent in recovered.interrupted:
            assert intent.bounds == BOUNDS and intent.price_version == 3
            intent.entry.error_kind = INTERRUPTED
            recovered.settle(intent.entry)
            tell(WORKED, intent.entry.id, 0)
        recovered.close()
    tidy(root)


def drain(directory: Path, rows: Rows, limit: int, tell: Tell) -> None:
    root = directory / "spool"
    for owner in owners(root):
        batch = read(root, rows.position(owner), limit)
        rows.commit(batch.entries, batch.position)
        acknowledge(root, batch.position)
        retire(root, batch.position)
        if batch.entries:
            tell(WORKED, batch.entries[-1].id, len(batch.entries))


def work(directory: Path, role: str, seed: int, pipe: Path) -> None:
    fd = os.open(pipe, os.O_WRONLY)

    def tell(kind: bytes, id: UUID, number: int) -> None:
        os.write(fd, MESSAGE.pack(kind, id.bytes, number))

    if role == "write":
        write(directory, seed, tell)
    rows = Rows(directory / "rows.sqlite3")
    while True:
        sweep(directory, tell) if role == "sweep" else drain(directory, rows, 1 + seed % 40, tell)
        time.sleep(0.001)


def main(directory: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    for line in sys.stdin:
        role, seed, pipe = line.split()
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                work(directory, role, int(seed), Path(pipe))
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
