"""Writers and drains are killed at random moments, several at once; then rows, charges and leases are what was done."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tenants.drain_spools import Spools
from tenants.models import LeaseCounter, LeaseOwner, LeaseWindow, SpoolPosition, Usage
from tenants.spool_owners import owners
from tenants.spool_segment import path_of, segments
from tenants.sweep import REMEMBERED, Sweep
from tests.drain_deaths import BOUND
from tests.recordings import REPOSITORY
from tests.usage_entries import assert_rollups_are_the_sum_of_the_rows

pytestmark = pytest.mark.django_db(transaction=True)
KILLS = 12
PATIENCE = 60.0


class Processes:
    def __init__(self, directory: Path) -> None:
        self.root, self.log = directory / "spool", directory / "log"
        self.rng, self.born = random.Random(5), 0
        self.running: list[tuple[str, subprocess.Popen[bytes]]] = []
        names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
        options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
        self.database = {name: connection.settings_dict[name] for name in names} | {"OPTIONS": options}

    def start(self, role: str) -> None:
        self.born += 1
        told: dict[str, Any] = {"role": role, "root": str(self.root), "log": str(self.log), "seed": self.born}
        told |= {"database": self.database, "batch": self.rng.randint(1, 30)}
        command = [sys.executable, "-m", "tests.drain_deaths", json.dumps(told)]
        self.running.append((role, subprocess.Popen(command, cwd=REPOSITORY)))

    def kill_one(self) -> str:
        role, process = self.running.pop(self.rng.randrange(len(self.running)))
        assert process.poll() is None, role
        process.kill()
        process.wait()
        return role

    def said(self, word: str) -> dict[str, int]:
        text = self.log.read_text() if self.log.exists() else ""
        lines = [line.split() for line in text.splitlines()]
        return {name: int(amount) for said, name, amount in lines if said == word}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    while made.running:
        made.kill_one()


def tear(root: Path) -> None:
    """The machine was too full, or too quick to die, for the whole of a last record."""
    for owner in owners(root):
        if not (root / owner / "closed").exists():
            last = path_of(root / owner, segments(root / owner)[-1])
            with last.open("ab") as file:
                file.write(b"\xff\x04\x40\0\0\0 half of a settlement")


def test_kills_at_random(processes: Processes) -> None:
    LeaseCounter.objects.create(name="b1.1", cap=10**15)
    for role in ("write", "write", "drain", "drain"):
        processes.start(role)
    for _ in range(KILLS):
        before, end = len(processes.said("S")), time.monotonic() + PATIENCE
        while len(processes.said("S")) < before + 20:
            assert time.monotonic() < end, "nothing goes on"
            time.sleep(processes.rng.random() / 10)
        processes.start(processes.kill_one())
    while processes.running:
        processes.kill_one()
    tear(processes.root)
    spools = Spools(processes.root)
    while owners(processes.root):
        assert spools.turn(sweeping=True)
    check(processes)


def check(processes: Processes) -> None:
    rows = {str(row.id): row for row in Usage.objects.all()}
    asked, intended, settled = (processes.said(word) for word in "AIS")
    assert intended.keys() <= rows.keys() <= asked.keys() and len(settled) > 100
    for name, row in rows.items():
        if name in settled:
            assert (row.interrupted, row.cost) == (False, settled[name])
        elif not row.interrupted:
            assert 0 <= (row.cost or 0) <= BOUND  # settled, and killed before it could say so
        else:
            assert (row.cost, row.error_kind) == (BOUND, "interrupted")
    assert any(row.interrupted for row in rows.values())
    assert LeaseWindow.objects.get().spent == sum(row.cost or 0 for row in rows.values())
    assert os.listdir(processes.root) in ([], ["drain.json"])
    # A drain that dies between an owner's directory and its position leaves the position: it is forgotten in time.
    SpoolPosition.objects.update(changed_at=timezone.now() - REMEMBERED - timedelta(days=1))
    LeaseOwner.objects.update(ended_at=timezone.now() - REMEMBERED - timedelta(days=1))
    Sweep(processes.root, "default").tidy()
    assert SpoolPosition.objects.count() == 0
    assert_rollups_are_the_sum_of_the_rows()
