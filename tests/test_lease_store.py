"""Leases in the database: granted by one statement, charged once, whatever is repeated, late or lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.labels import Label, write_label
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseOwner, LeaseWindow
from tenants.lease_statements import shortages
from tenants.lease_store import exchange, settle
from tenants.leases import MOST, Grant
from tests.lease_rows import NOW, START, Worker, budget, window

__all__ = ["budget"]
pytestmark = pytest.mark.django_db


# Grants


def test_a_slice_is_a_share_of_what_is_left_and_never_less_than_what_is_needed(budget: LeaseCounter) -> None:
    one = Worker()
    first = one.exchange(one.ask(0, 10, 5_000), workers=2)
    assert first == Grant(1, 1, 250, 750, 0)
    assert one.exchange(one.ask(250, 10, 5_000), workers=2).granted == 250 + 187
    assert one.exchange(one.ask(437, 500, 5_000), workers=2).granted == 937
    assert one.exchange(one.ask(937, 10, 20), workers=2).granted == 952 and window() == (952, 0)


def test_what_is_not_there_is_not_granted(budget: LeaseCounter) -> None:
    one, two = Worker("one"), Worker("two")
    assert one.granted(0, 900) == 900
    refused = two.exchange(two.ask(0, 101))
    assert refused == Grant(1, 1, 0, 100, 900, met=False) and window() == (900, 0)
    assert two.granted(0, 100) == 100 and window() == (1_000, 0)
    some = one.exchange(one.ask(850, 300, least=20))
    assert (some.granted, some.met, some.pool) == (900, True, 0), "what there is, for some of those who wait"


def test_who_cannot_be_served_is_heard_by_those_who_hold_something(budget: LeaseCounter) -> None:
    one, two = Worker("one"), Worker("two")
    one.granted(0, 900)
    assert shortages(connection, "one", NOW) == []
    two.granted(0, 500)
    assert shortages(connection, "one", NOW) == [("b1", "", START)]
    assert shortages(connection, "one", NOW + timedelta(seconds=3)) == shortages(connection, "none", NOW) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(*[st.integers(0, 2_000)] * 3, *[st.integers(0, 500)] * 3, st.integers(1, 8))
def test_grants_by_the_formula(
    budget: LeaseCounter, cap: int, granted: int, spent: int, least: int, more: int, want: int, workers: int
) -> None:
    LeaseCounter.objects.filter(pk="b1").update(cap=cap)
    LeaseWindow.objects.all().delete()
    HeldLease.objects.all().delete()
    LeaseOwner.objects.all().delete()
    LeaseWindow.objects.create(counter="b1", start=START, granted=granted, spent=spent)
    pool, need = cap - granted - spent, least + more
    expected = min(pool, max(need, min(want, pool // (2 * workers)))) if pool >= least else 0
    one = Worker()
    grant = one.exchange(one.ask(0, need, want, least=least), workers=workers)
    assert grant.granted == max(0, expected) and grant.met == (pool >= least or least == 0)
    assert window() == (granted + grant.granted, spent) and grant.pool == max(0, pool - grant.granted)
    assert granted + spent + grant.granted <= max(cap, granted + spent)


def test_subjects_and_windows_count_alone(budget: LeaseCounter) -> None:
    one = Worker()
    asks = [one.ask(0, 900, number=number, subject=f"u{number}") for number in (1, 2)]
    asks.append(one.ask(0, 900, number=3, start=START + 1))
    assert [grant.granted for grant in exchange(connection, "one", asks, NOW)] == [900] * 3
    assert window(subject="u1") == window(subject="u2") == (900, 0)


def test_largest_sums_fit(budget: LeaseCounter) -> None:
    LeaseCounter.objects.update(cap=MOST)
    one = Worker()
    assert one.granted(0, MOST, MOST) == MOST
    one.settle(MOST)
    assert window() == (0, MOST) and one.granted(MOST, 1) == MOST


# Repeated, late, lost


def test_an_exchange_that_was_done_is_answered_again(budget: LeaseCounter) -> None:
    one = Worker()
    ask = one.ask(0, 100)
    assert one.exchange(ask) == one.exchange(ask)._replace(pool=900) and window() == (100, 0)
    last = one.ask(0, last=True)
    assert one.exchange(last).granted == one.exchange(last).granted == 0 and window() == (0, 0)
    assert not HeldLease.objects.exists()


def test_one_that_comes_too_late_does_nothing(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 100)
    late, next_one = one.ask(40, 500), one.ask(90)
    assert one.exchange(next_one).granted == 90
    assert exchange(connection, "one", [late], NOW) == [] and window() == (90, 0)
    assert one.granted(90, last=True) == 90
    one.settle(90)
    assert exchange(connection, "one", [late], NOW) == [] and window() == (0, 90)
    assert not HeldLease.objects.exists()


def test_an_answer_that_was_lost_goes_back_with_the_next_exchange(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 700)
    assert one.granted(0, 400) == 400 and window() == (400, 0)


def test_a_last_exchange_whose_answer_was_lost_may_be_said_anew(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 100)
    one.settle(60)
    one.granted(60, last=True)
    assert not HeldLease.objects.exists()
    one.granted(60, last=True)
    assert not HeldLease.objects.exists() and window() == (0, 60)


def test_a_store_that_was_put_back_learns_what_workers_hold(budget: LeaseCounter) -> None:
    """From a backup: it knows of less than the worker has, and grants nothing on top of what it did not know."""
    one = Worker()
    assert one.granted(600) == 600 and window() == (600, 0)
    two = Worker("two")
    assert two.granted(0, 401) == 0 and two.granted(0, 400) == 400


# Charges


def test_a_settlement_is_done_once(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 500)
    charges = [(write_label(Label(1, START, "b1", "")), 120)] * 2
    for sequence in (5, 5, 4):
        settle(connection, "one", charges, sequence, NOW)
        assert window() == (260, 240)
    settle(connection, "one", charges, 6, NOW)
    assert window() == (20, 480) and HeldLease.objects.get().left == 20


def test_it_is_done_with_its_rows_or_not_at_all(budget: LeaseCounter) -> None:
    one = Worker()
    one.granted(0, 500)
    with pytest.raises(RuntimeError), transaction.atomic():
        one.settle(100)
        raise RuntimeError
    assert window() == (500, 0)
    settle(connection, "one", [(write_label(Label(1, START, "b1", "")), 100)], 1, NOW)
    assert window() == (400, 100)


@pytest.mark.parametrize("charged_first", [True, False])
def test_what_is_charged_beyond_a_lease_counts_once(budget: LeaseCounter, charged_first: bool) -> None:
    """Whether the store hears of it before or after the worker asks for what it owes."""
    one = Worker()
    one.granted(0, 100)
    if charged_first:
        one.settle(130)
        assert window() == (0, 130)
    assert one.granted(100, 50) == 150
    if not charged_first:
        assert window() == (150, 0)
        one.settle(130)
    assert window() == (20, 130)
    assert one.granted(130, last=True) == 130 and window() == (0, 130)


def test_a_debt_that_is_spent_already_is_granted_from_an_empty_pool(budget: LeaseCounter) -> None:
    one, two = Worker("one"), Worker("two")
    one.granted(0, 500)
    two.granted(0, 500)
    one.settle(530)
    assert window() == (500, 530), "beyond the cap, as it was billed"
    paid = one.exchange(one.ask(500, 30, least=0))
    assert (paid.granted, paid.pool) == (530, 0) and window() == (500, 530)
    assert two.granted(450, 60) == 450 and two.granted(450, 20) == 470 and window() == (470, 530)


def test_soft_budgets_and_corrections_are_charged_without_a_lease(budget: LeaseCounter) -> None:
    one = Worker()
    one.settle(5_000, number=0)
    assert window() == (0, 5_000) and not HeldLease.objects.exists()
    one.settle(-4_500, number=0)
    assert window() == (0, 500) and one.granted(0, 500) == 500


def test_many_charges_of_one_batch(budget: LeaseCounter) -> None:
    LeaseCounter.objects.bulk_create([LeaseCounter(name=f"c{number}", cap=10**9) for number in range(300)])
    charges = [(write_label(Label(0, START, f"c{number % 300}", "")), number) for number in range(900)]
    settle(connection, "one", charges, 1, NOW)
    assert [window(f"c{number}") for number in range(300)] == [(0, 3 * number + 900) for number in range(300)]
