"""From spools to rows: exactly once, with what they are charged, whatever is repeated or lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from tenants import drain as drain_module
from tenants import drain_spools, drain_status, lease_store, rollups
from tenants.drain import Step, write
from tenants.drain_spools import Spools
from tenants.ledger import Entry
from tenants.models import LeaseOwner, Notice, SpoolPosition, Usage
from tenants.spool_owners import owners
from tenants.spool_reader import Position, read
from tenants.spool_rows import Overtaken
from tenants.spool_segment import segments
from tests.drained_spools import budget, charged, drained, ids, lease, leases, settled, spool, window
from tests.usage_entries import assert_rollups_are_the_sum_of_the_rows, random_entries

pytestmark = pytest.mark.django_db
threaded = pytest.mark.django_db(transaction=True)


def test_what_is_settled_becomes_rows_and_charges(tmp_path: Path) -> None:
    budget()
    owner = spool(tmp_path)
    lease(owner.held.owner, 10_000)
    entries = settled(owner, [charged(300), charged(500), *random_entries(20)])
    spools = drained(tmp_path)
    assert ids() == sorted(entry.id for entry in entries)
    assert_rollups_are_the_sum_of_the_rows()
    assert window() == (9_200, 800) and (spools.written, spools.refused) == (22, 0)


def test_a_turn_later_only_what_is_new_is_stored(tmp_path: Path) -> None:
    budget()
    owner, spools = spool(tmp_path), Spools(tmp_path, batch=7)
    for count in (0, 3, 20, 0, 1):
        settled(owner, [charged(10) for _ in range(count)])
        assert spools.turn()
    assert spools.written == Usage.objects.count() == 24 and window() == (0, 240)


def test_under_load_the_rest_of_a_batch_waits_for_the_next_turn(tmp_path: Path) -> None:
    budget()
    spools, into = Spools(tmp_path, batch=4), spool(tmp_path)
    settled(into, [charged(10) for _ in range(10)])
    assert spools.turn(complete=False) and Usage.objects.count() == 8
    assert spools.turn(complete=False) and Usage.objects.count() == 10
    settled(into, [charged(10) for _ in range(6)])
    assert spools.turn() and Usage.objects.count() == 16


def test_segments_are_unlinked_when_they_are_stored(tmp_path: Path) -> None:
    owner, spools = spool(tmp_path, segment_bytes=4_096), Spools(tmp_path, batch=10)
    for _ in range(10):
        settled(owner, random_entries(10))
        spools.turn()
    assert len(segments(owner.held.directory)) <= 2 and Usage.objects.count() == 100


def test_intents_alone_move_on_to_the_next_segment(tmp_path: Path) -> None:
    owner, spools = spool(tmp_path, segment_bytes=4_096), Spools(tmp_path)
    for number in range(30):
        owner.intend(Entry(request_id=str(number)), {})
        spools.turn()
    assert Usage.objects.count() == 0 and len(segments(owner.held.directory)) <= 2


@pytest.mark.parametrize("again", ["new drain", "same drain", "lost position"])
def test_what_is_repeated_changes_nothing(tmp_path: Path, again: str) -> None:
    budget()
    spools = Spools(tmp_path)
    settled(spool(tmp_path), [charged(100), charged(200), charged(300)])
    assert spools.turn()
    if again == "lost position":
        SpoolPosition.objects.all().delete()
        LeaseOwner.objects.all().delete()
    assert (spools if again == "same drain" else Spools(tmp_path)).turn()
    assert Usage.objects.count() == 3 and window() == (0, 600)
    assert_rollups_are_the_sum_of_the_rows()


def test_of_two_that_read_the_same_one_stores_it(tmp_path: Path) -> None:
    budget()
    owner = spool(tmp_path)
    settled(owner, [charged(100) for _ in range(5)])
    batch = read(tmp_path, Position(owner.held.owner))
    step = Step(Position(owner.held.owner), batch.position)
    assert write(batch.entries, step=step) == 0
    with pytest.raises(Overtaken):
        write(batch.entries, step=step)
    assert Usage.objects.count() == 5 and window() == (0, 500)


def test_one_that_was_overtaken_goes_on(tmp_path: Path) -> None:
    budget()
    owner, slow, quick = spool(tmp_path), Spools(tmp_path), Spools(tmp_path)
    settled(owner, [charged(1)])
    assert slow.turn()
    settled(owner, [charged(10) for _ in range(5)])
    assert quick.turn()
    settled(owner, [charged(100)])
    assert slow.turn() and Usage.objects.count() == 7 and window() == (0, 151)


@threaded
def test_many_drains_at_once_store_all_once(tmp_path: Path) -> None:
    budget()
    writers = [spool(tmp_path, segment_bytes=4_096) for _ in range(2)]
    done, failures = threading.Event(), list[BaseException]()

    def work() -> None:
        spools = Spools(tmp_path, batch=7)
        try:
            while not done.is_set():
                spools.turn()
            while not spools.turn():
                pass
        except BaseException as error:
            failures.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    entries = [entry for _ in range(20) for writer in writers for entry in settled(writer, [charged(3)])]
    for writer in writers:
        entries += settled(writer, random_entries(50, seed=writers.index(writer)))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == [] and ids() == sorted(entry.id for entry in entries)
    assert window() == (0, 120)
    assert_rollups_are_the_sum_of_the_rows()


def _lost(real: Callable[..., Any]) -> Callable[..., Any]:
    """The commit is done, its answer is lost."""

    def call(*args: Any, **options: Any) -> Any:
        real(*args, **options)
        raise OperationalError("lost")

    return call


@threaded
def test_a_commit_whose_answer_was_lost_is_not_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget()
    spools = Spools(tmp_path)
    settled(spool(tmp_path), [charged(100), charged(200)])
    with monkeypatch.context() as patch:
        patch.setattr(drain_spools, "write", _lost(write))
        assert not spools.turn()
    assert spools.turn() and Usage.objects.count() == 2 and window() == (0, 300)


@threaded
@pytest.mark.parametrize("step", ["advance", "rollups", "settle"])
def test_all_or_nothing(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    budget()
    spools = Spools(tmp_path)
    settled(spool(tmp_path), [charged(100), charged(200)])

    def away(*args: object, **options: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        if step == "advance":
            patch.setattr(drain_module, "_advance", away)
        elif step == "rollups":
            patch.setattr(rollups, "store", away)
        else:
            patch.setattr(lease_store, "settle", away)
        assert not spools.turn()
        assert Usage.objects.count() == SpoolPosition.objects.count() == 0
    assert spools.turn() and Usage.objects.count() == 2 and window() == (0, 300)
    assert_rollups_are_the_sum_of_the_rows()


def test_what_no_database_takes_is_charged_all_the_same(tmp_path: Path) -> None:
    budget()
    poison = charged(40, created_at=1e18)
    spools = drained_after(tmp_path, [charged(1), poison, charged(2)])
    assert spools.refused == 1 and Usage.objects.count() == 2 and window() == (0, 43)
    assert_rollups_are_the_sum_of_the_rows()


def drained_after(root: Path, entries: list[Entry]) -> Spools:
    settled(spool(root), entries, intended=False)
    return drained(root)


@pytest.mark.parametrize(
    "charges",
    [
        {"nonsense": 5},
        {"x/y/z/": 5},
        {"1/2/b7.1/\0": 5},
        {"1/2/b7.1/" + "x" * 300: 5},
        {f"0/{2**80}/b7.1/": 5},
        {"0/0/b7.1/": 2**70},
        {"0/0/b7.1/": "many"},
        ["b7.1"],
        "b7.1",
        None,
    ],
)
def test_a_charge_that_cannot_be_made_blocks_no_other(tmp_path: Path, charges: Any) -> None:
    budget()
    odd = charged(0)
    odd.charges = charges
    spools = drained_after(tmp_path, [charged(1), odd, charged(2)])
    assert spools.refused == 0 and Usage.objects.count() == 3 and window() == (0, 3)


def test_the_same_request_twice_is_charged_once(tmp_path: Path) -> None:
    """A disk that fails in the middle may leave a record that was written again elsewhere."""
    budget()
    entry = charged(50)
    drained_after(tmp_path, [entry, charged(1), entry])
    drained_after(tmp_path, [entry])
    assert Usage.objects.count() == 2 and window() == (0, 51)


def test_thresholds_that_are_reached_are_told_once(tmp_path: Path) -> None:
    budget(cap=1_000, thresholds=[50, 80])
    owner, spools = spool(tmp_path), Spools(tmp_path)
    for amount in (400, 200, 1, 250, 500):
        settled(owner, [charged(amount)])
        assert spools.turn() and Spools(tmp_path).turn()
    told = Notice.objects.order_by("id").values_list("budget_id", "counter", "percent", "spent", "cap")
    assert list(told) == [(7, "b7.1", 50, 600, 1_000), (7, "b7.1", 80, 851, 1_000)]


def test_a_limit_that_is_no_budget_tells_nobody(tmp_path: Path) -> None:
    budget("rpd.3", cap=10, thresholds=[50])
    settled(spool(tmp_path), [charged(9, "0/0/rpd.3/")])
    drained(tmp_path)
    assert Notice.objects.count() == 0 and window("rpd.3") == (0, 9)


@threaded
def test_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, spools = spool(tmp_path), Spools(tmp_path, batch=10)
    settled(owner, random_entries(100))
    with monkeypatch.context() as patch:
        patch.setattr(drain_spools, "write", _away)
        assert not spools.turn()
        told = drain_status.read(tmp_path)
        assert 80 <= told.rows <= 120 and told.bytes > 10_000 and told.oldest_seconds > 1
        assert (told.failures, told.failed, told.written) == (1, 1, 0)
    assert spools.turn()
    spools.tell(now=True)
    told = drain_status.read(tmp_path)
    assert (told.rows, told.bytes, told.oldest_seconds) == (0, 0, 0)
    assert (told.failures, told.failed, told.written) == (0, 1, 100)


def _away(*args: object, **options: object) -> int:
    raise OperationalError("away")


def test_an_owner_that_ends_gives_all_back(tmp_path: Path) -> None:
    budget()
    owner = spool(tmp_path)
    lease(owner.held.owner, 10_000)
    settled(owner, [charged(300)])
    spools = drained(tmp_path)
    assert leases() == 1 and owners(tmp_path)
    owner.close()
    assert spools.turn() and window() == (0, 300) and leases() == 0
    assert owners(tmp_path) == [] and SpoolPosition.objects.count() == 0
    assert LeaseOwner.objects.get().ended_at is not None
