"""Caps that change, limits that are deleted, and how leases end in the database: by proof, never by time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tenants import lease_statements as statements
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseIncrease, LeaseOwner, LeaseWindow
from tenants.lease_store import OwnerEnded, end, forget, release
from tenants.lease_threads import DatabaseLeases
from tenants.leases import MOST
from tests.lease_rows import NOW, START, Worker, budget, window

__all__ = ["budget"]
pytestmark = pytest.mark.django_db


# Caps that change, limits that go


def test_a_cap_below_what_is_spent_grants_nothing_and_takes_back(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 800)
    one.settle(500)
    LeaseCounter.objects.update(cap=400)
    refused = one.exchange(one.ask(800, 1))
    assert (refused.granted, refused.pool, refused.met) == (800, 0, False)
    assert one.granted(500) == 500 and window() == (0, 500)
    one.settle(20)
    assert window() == (0, 520), "a charge stands"
    LeaseCounter.objects.update(cap=530)
    assert one.granted(520, 11) == 520 and one.granted(520, 10) == 530


def test_an_increase_counts_until_it_ends(budget: LeaseCounter) -> None:
    ends_at = NOW + timedelta(hours=1)
    common = {"counter": "b1", "reason": "launch", "made_by": "boss"}
    LeaseIncrease.objects.create(amount=500, begins_at=NOW, ends_at=ends_at, **common)
    LeaseIncrease.objects.create(amount=100, begins_at=NOW, ends_at=ends_at + timedelta(hours=1), **common)
    LeaseIncrease.objects.create(
        amount=10**6, begins_at=ends_at, ends_at=ends_at + timedelta(days=9), **common | {"counter": "b2"}
    )
    one = Worker()
    grant = one.exchange(one.ask(0, 1_600))
    assert (grant.granted, grant.until) == (1_600, int(ends_at.timestamp()))
    one.settle(1_050)
    after = one.exchange(one.ask(1_050, 51), now=ends_at)
    assert (after.granted, after.met, after.pool) == (1_050, False, 50)
    assert one.exchange(one.ask(1_050, 50), now=ends_at).granted == 1_100
    assert one.exchange(one.ask(1_100, 1), now=ends_at + timedelta(hours=1)).granted == 1_100
    assert one.exchange(one.ask(1_100, 1), now=NOW - timedelta(seconds=1)).granted == 1_100


def test_a_limit_that_is_deleted_breaks_nothing(budget: LeaseCounter) -> None:
    """With its tenant, while streams run."""
    one = Worker()
    one.granted(0, 500)
    LeaseCounter.objects.all().delete()
    gone = one.exchange(one.ask(300, 10))
    assert (gone.granted, gone.met, gone.gone) == (300, False, True) and window() == (300, 0)
    one.settle(100)
    assert window() == (200, 100)
    LeaseWindow.objects.all().delete()
    one.settle(100)
    assert one.exchange(one.ask(250, 5)).gone
    assert not one.settle(100, number=0, counter="never was")
    assert one.granted(300, last=True) == 300
    assert end(connection, "one", NOW) == 0
    assert not HeldLease.objects.exists() and not LeaseWindow.objects.exists()


# Ends


def test_time_frees_nothing_but_proof_does(budget: LeaseCounter) -> None:
    dead, alive = Worker("dead"), Worker("alive")
    dead.granted(0, 600)
    dead.settle(100)
    years = timedelta(days=3_650)
    assert alive.exchange(alive.ask(0, 401), now=NOW + years).granted == 0
    assert end(connection, "dead", NOW) == end(connection, "dead", NOW) == 0
    assert window() == (0, 100) and alive.granted(0, 900) == 900


def test_who_was_told_dead_gets_nothing_and_its_charges_stand(budget: LeaseCounter) -> None:
    """A lost host comes back."""
    lost, other = Worker("lost"), Worker("other")
    lost.granted(0, 600)
    release(connection, "lost", NOW, by="boss")
    row = LeaseOwner.objects.get(pk="lost")
    assert (row.ended_at, row.ended_by) == (NOW, "boss")
    assert end(connection, "lost", NOW + timedelta(1)) == 0
    assert LeaseOwner.objects.get(pk="lost").ended_by == "boss"
    assert other.granted(0, 1_000) == 1_000
    for ask in (lost.ask(600, 1), lost.ask(600), lost.ask(600, last=True)):
        with pytest.raises(OwnerEnded):
            lost.exchange(ask)
    lost.settle(250)
    assert window() == (1_000, 250) and not HeldLease.objects.filter(owner="lost").exists()


def test_an_owner_that_never_was_can_be_ended(budget: LeaseCounter) -> None:
    assert end(connection, "ghost", NOW) == 0
    with pytest.raises(OwnerEnded):
        Worker("ghost").granted(0, 1)


def test_what_a_dead_worker_admitted_counts_as_long_as_it_would_have(budget: LeaseCounter) -> None:
    LeaseCounter.objects.create(name="t1", cap=100, seconds=60)
    dead = Worker("dead")
    dead.granted(0, 500)
    dead.granted(0, 80, number=2, counter="t1", start=START)
    assert end(connection, "dead", NOW) == end(connection, "dead", NOW, quiet=59.9) == 1
    assert window() == (0, 0) and window("t1") == (80, 0)
    assert end(connection, "dead", NOW, quiet=60) == 0 and window("t1") == (0, 0)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_stopped_in_the_middle_keeps_nobody_waiting(
    budget: LeaseCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the locks of a budget, and says nothing more."""
    monkeypatch.setattr(statements, "_BRIEFLY", statements._BRIEFLY.replace("3000", "100"))
    stopped = connections.create_connection("default")
    try:
        stopped.set_autocommit(False)
        assert statements.begin_exchange(stopped, "stopped", 1, NOW)
        claim = statements.Claim("b1", "", START, 0, 0, 900, 900, 900, 2)
        claimed = statements.claim(stopped, claim, NOW)
        assert claimed is not None and claimed.latest == 900
        assert Worker().granted(0, 1_000) == 1_000 and window() == (1_000, 0)
        with pytest.raises(Error):
            stopped.commit()
    finally:
        stopped.close()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_who_goes_on_after_that_begins_a_new_session(budget: LeaseCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, stops = statements.begin_exchange, [True]

    def stop(mine: BaseDatabaseWrapper, *arguments: Any) -> bool:
        begun = begin(mine, *arguments)
        if stops:
            stops.clear()
            with mine.cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
                cursor.execute("SELECT pg_backend_pid()")
                until_gone(cursor.fetchone()[0])
        return begun

    monkeypatch.setattr(statements, "begin_exchange", stop)
    store = DatabaseLeases("one", timeout=60)
    try:
        (grant,) = asyncio.run(store.exchange([Worker().ask(0, 100)]))
    finally:
        store.close()
    assert not stops and grant.granted == 100 and window() == (100, 0) and (store.calls, store.errors) == (1, 0)


def until_gone(session: int) -> None:
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        found = 1
        while found:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [session])
            found = cursor.fetchone()[0]
    other.close()


def test_ended_owners_are_forgotten_when_they_hold_nothing(budget: LeaseCounter) -> None:
    LeaseCounter.objects.create(name="t1", cap=100, seconds=60)
    for owner in ("alive", "dead", "waiting"):
        Worker(owner).granted(0, 10, counter="t1" if owner == "waiting" else "b1")
    end(connection, "dead", NOW)
    end(connection, "waiting", NOW)
    assert forget(connection, NOW) == 0 and forget(connection, NOW + timedelta(seconds=1)) == 1
    assert set(LeaseOwner.objects.values_list("name", flat=True)) == {"alive", "waiting"}


# Warnings, and what operators may say


def test_thresholds_are_told_once(budget: LeaseCounter) -> None:
    LeaseCounter.objects.update(thresholds=[50, 80, 100])
    one, two = Worker("one"), Worker("two")
    assert one.settle(499, number=0) == [] and two.settle(1, number=0) == [50]
    assert one.settle(100, number=0) == [] and two.settle(500, number=0) == [80, 100]
    assert one.settle(500, number=0) == []
    LeaseCounter.objects.update(cap=3_000)
    assert one.settle(100, number=0) == [] and one.settle(700, number=0) == [80]


def test_an_increase_moves_thresholds(budget: LeaseCounter) -> None:
    LeaseCounter.objects.update(thresholds=[50])
    LeaseIncrease.objects.create(counter="b1", amount=1_000, begins_at=NOW, ends_at=NOW + timedelta(1), made_by="boss")
    one = Worker()
    assert one.settle(999, number=0) == [] and one.settle(1, number=0) == [50]


@pytest.mark.parametrize("cap", [-1, MOST + 1, 2**70])
def test_absurd_caps_are_refused(cap: int) -> None:
    with pytest.raises(ValidationError):
        LeaseCounter(name="b2", cap=cap).full_clean()


def test_increases_end_after_they_begin() -> None:
    for amount, hours, reason in ((1, 0, "why"), (1, -1, "why"), (-1, 1, "why"), (1, 1, "")):
        ends_at = NOW + timedelta(hours=hours)
        row = LeaseIncrease(counter="b1", amount=amount, begins_at=NOW, ends_at=ends_at, reason=reason, made_by="boss")
        with pytest.raises(ValidationError):
            row.full_clean()
