"""How long a dead owner has admitted nothing, and when nobody can tell."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tenants import spool_ages
from tenants.spool_ages import BORN, quiet
from tenants.spool_segment import path_of, segments
from tests.spool_entries import BOUNDS, die, numbered, opened


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """The directory of one that wrote its last segment a hundred seconds ago, and began a hundred before that."""
    spool = opened(tmp_path)
    spool.intend(numbered(1), BOUNDS)
    die(spool)
    directory = spool.held.directory
    boot, wall, steady = json.loads((directory / BORN).read_text())
    (directory / BORN).write_text(json.dumps([boot, wall - 200, steady - 200]))
    for number in segments(directory):
        os.utime(path_of(directory, number), (time.time() - 100, time.time() - 100))
    return directory


def test_since_the_last_segment_was_written(dead: Path) -> None:
    assert 100 <= quiet(dead) < 150


def test_nobody_can_tell_after_the_clock_was_set(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = time.time()
    for jump in (-3_600, 3_600, 5):
        monkeypatch.setattr(time, "time", lambda jump=jump: wall + jump)
        assert quiet(dead) == 0


def test_nobody_can_tell_after_another_start_of_the_machine(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_ages, "boot", lambda: "another")
    assert quiet(dead) == 0
    monkeypatch.setattr(spool_ages, "boot", lambda: "")
    assert quiet(dead) == 0


@pytest.mark.parametrize("text", ["", "{}", "[1]", '["a", "b", "c"]', "\0"])
def test_nobody_can_tell_where_it_is_damaged(dead: Path, text: str) -> None:
    (dead / BORN).write_text(text)
    assert quiet(dead) == 0
    (dead / BORN).unlink()
    assert quiet(dead) == 0
