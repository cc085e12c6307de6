"""What becomes of the requests, leases and directories of processes that died."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tenants.drain_spools import Spools
from tenants.ledger import Entry
from tenants.models import LeaseCounter, LeaseOwner, SpoolPosition, Usage
from tenants.spool_owners import owners
from tenants.spool_records import Intent
from tenants.sweep import REMEMBERED, Sweep, settle
from tests.drained_spools import LABEL, budget, charged, drained, lease, leases, settled, spool, window
from tests.spool_entries import die
from tests.usage_entries import an_entry, assert_rollups_are_the_sum_of_the_rows

pytestmark = pytest.mark.django_db
SOFT = "0/0/b8.1/"


def interrupted(entry: Entry, bounds: dict[str, int] | None = None, price_version: str = "v1") -> Entry:
    return settle(Intent(entry, bounds or {}, price_version))


@pytest.mark.parametrize(
    ("facts", "bounds", "cost"),
    [
        ({}, {LABEL: 900}, 900),
        ({"cost": 5, "if_interrupted": "zero"}, {LABEL: 900, SOFT: 900}, 900),
        ({"bound": 900}, {LABEL: 900, "3/0/tokens.1/": 5_000}, 900),
        ({"cost": 40, "bound": 900}, {}, 40),
        ({"bound": 900}, {}, 0),
        ({"cost": 40, "bound": 900, "if_interrupted": "bound"}, {}, 900),
        ({"cost": 40, "bound": None, "if_interrupted": "bound"}, {}, 40),
        ({"cost": 40, "bound": 900, "if_interrupted": "zero"}, {}, 0),
    ],
)
def test_what_an_interrupted_request_costs(facts: dict[str, Any], bounds: dict[str, int], cost: int) -> None:
    made = interrupted(an_entry(**facts), bounds)
    assert (made.interrupted, made.error_kind, made.cost) == (True, "interrupted", cost)
    assert made.charges == bounds and made.price_version == "v1"


def test_a_budget_that_only_counts_is_charged_what_it_costs() -> None:
    assert interrupted(an_entry(cost=40, charges={SOFT: 0})).charges == {SOFT: 40}
    assert interrupted(an_entry(cost=40, charges={SOFT: 0}), {LABEL: 90}).charges == {SOFT: 90, LABEL: 90}


def test_without_a_price_it_has_no_cost() -> None:
    assert interrupted(an_entry(), price_version="").cost is None


@pytest.mark.parametrize(("known", "told"), [(0, 502), (200, 200)])
def test_its_status_is_what_the_client_saw(known: int, told: int) -> None:
    assert interrupted(an_entry(status=known)).status == told


def test_what_a_dead_process_left_open_is_charged_and_its_lease_ends(tmp_path: Path) -> None:
    budget()
    dead = spool(tmp_path)
    lease(dead.held.owner, 10_000)
    settled(dead, [charged(300)])
    counted, bounded = an_entry(status=0), an_entry(status=0)
    dead.intend(bounded, {LABEL: 2_000}, "v1")
    dead.intend(counted, {}, "v1")
    dead.checkpoint(an_entry(id=counted.id, cost=70, status=200, output_tokens=9))
    die(dead)
    spools = drained(tmp_path)
    rows = {row.id: row for row in Usage.objects.filter(interrupted=True)}
    assert (rows[bounded.id].cost, rows[bounded.id].status) == (2_000, 502)
    assert (rows[counted.id].cost, rows[counted.id].status, rows[counted.id].output_tokens) == (70, 200, 9)
    assert window() == (0, 2_300) and leases() == 0 and spools.sweep.interrupted == 2
    assert owners(tmp_path) == [] and SpoolPosition.objects.count() == 0 and Usage.objects.count() == 3
    assert_rollups_are_the_sum_of_the_rows()


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    budget()
    alive = spool(tmp_path)
    lease(alive.held.owner, 10_000)
    alive.intend(an_entry(), {LABEL: 5})
    drained(tmp_path)
    assert Usage.objects.count() == 0 and leases() == 1 and owners(tmp_path) == [alive.held.owner]
    alive.close()


def test_trailing_windows_outlive_the_dead(tmp_path: Path) -> None:
    """What it admitted last still counts, by a clock that never jumps."""
    LeaseCounter.objects.create(name="rpm.1", cap=100, seconds=60)
    dead = spool(tmp_path)
    lease(dead.held.owner, 10, counter="rpm.1")
    owner = dead.held.owner
    die(dead)
    now = [1_000.0]
    spools = Spools(tmp_path)
    spools.sweep = Sweep(tmp_path, "default", clock=lambda: now[0])
    for _ in range(59):
        assert spools.turn(sweeping=True)
        now[0] += 1
    assert leases() == 1 and owners(tmp_path) == [owner]
    now[0] += 20
    assert spools.turn(sweeping=True) and leases() == 0 and owners(tmp_path) == []


def test_a_directory_goes_only_when_all_of_it_is_stored(tmp_path: Path) -> None:
    dead = spool(tmp_path)
    settled(dead, [charged(1) for _ in range(3)])
    dead.close()
    sweep = Sweep(tmp_path, "default")
    assert not sweep.end(SpoolPosition.objects.of(dead.held.owner))
    assert LeaseOwner.objects.count() == 0 and owners(tmp_path)
    drained(tmp_path)
    assert owners(tmp_path) == [] and LeaseOwner.objects.get().ended_at is not None


def test_recovering_again_after_dying_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = spool(tmp_path)
    for _ in range(5):
        dead.intend(an_entry(), {})
    die(dead)
    sweep, real, count = Sweep(tmp_path, "default"), settle, [0]

    def dying(intent: Intent) -> Entry:
        count[0] += 1
        if count[0] == 3:
            raise OSError("killed here")
        return real(intent)

    with monkeypatch.context() as patch:
        patch.setattr("tenants.sweep.settle", dying)
        sweep.recover()
    assert sweep.interrupted == 0
    drained(tmp_path)
    assert Usage.objects.filter(interrupted=True).count() == Usage.objects.count() == 5


def test_what_was_settled_after_all_stays_as_it_was(tmp_path: Path) -> None:
    """The intent was written again by a thread that came too late."""
    budget()
    dead, entry = spool(tmp_path), charged(10)
    settled(dead, [entry])
    dead.intend(entry, {LABEL: 900})
    die(dead)
    drained(tmp_path)
    assert not Usage.objects.get().interrupted and window() == (0, 10)


def test_positions_that_nobody_moves_are_forgotten(tmp_path: Path) -> None:
    alive, now = spool(tmp_path), timezone.now()
    long_ago = now - REMEMBERED - timedelta(days=1)
    changed = {alive.held.owner: long_ago, "elsewhere": long_ago, "gone": long_ago, "gone lately": now}
    for name, at in changed.items():
        SpoolPosition.objects.create(owner=name, segment=2, changed_at=at)
    LeaseOwner.objects.create(name="elsewhere", seen_at=long_ago)
    Sweep(tmp_path, "default").tidy()
    assert set(SpoolPosition.objects.values_list("owner", flat=True)) == changed.keys() - {"gone"}
    alive.close()
