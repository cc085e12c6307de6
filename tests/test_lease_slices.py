"""How a worker's slices grow, shrink, go back and end; and what it makes of answers that it never got."""

from __future__ import annotations

from tenants.leases import Grant, Refusal
from tenants.slices import IDLE, MOST_GROWTH, RECHECK, RECHECK_SPENT, SCARCE, STRETCH
from tests.wallet_bench import DAY, MIDNIGHT, NOW, Bench, day


def test_needs_of_many_are_one_ask() -> None:
    bench = Bench(day("a"), day("b")).filled(100)
    needs = [bench.needs(*amounts) for amounts in ((300, 50), (250, 400), (600, 20))]
    asks = {ask.counter: ask for ask in bench.wallet.asks(needs)}
    assert (asks["a"].keep, asks["a"].least, asks["a"].need) == (100, 150, 1_050)
    assert (asks["b"].keep, asks["b"].least, asks["b"].need) == (100, 300, 300)
    assert bench.wallet.asks(needs) == [], "one at a time"
    bench.grant(list(asks.values()), 1_050)
    assert [bench.taken(*amounts) and None for amounts in ((300, 50), (250, 400), (600, 20))] == [None] * 3


def test_slices_grow_while_they_do_not_last_and_shrink_again() -> None:
    bench = Bench(day())
    wants = []
    for pause in (0.1, STRETCH / 2, STRETCH / 2, 2 * STRETCH, 10 * STRETCH):
        bench.tick += pause
        (ask,) = bench.wallet.asks([bench.needs(bench.free()[0] + 10 if len(bench.wallet) else 10)])
        wants.append(ask.want)
        bench.grant([ask], ask.want, 10**9)
    assert wants == [40, 80, 160, 160, 80]


def test_a_slice_that_is_far_too_small_grows_at_once() -> None:
    bench = Bench(day())
    wants = []
    for pause in (0.0, STRETCH / 5, STRETCH / 50):
        bench.tick += pause
        (ask,) = bench.wallet.asks([bench.needs(bench.free()[0] + 10 if len(bench.wallet) else 10)])
        wants.append(ask.want)
        bench.grant([ask], ask.want, 10**9)
    assert wants == [40, 200, 200 * MOST_GROWTH]


def test_a_slice_that_is_nearly_used_is_asked_for_before_anybody_waits() -> None:
    bench = Bench(day()).filled(1_000)
    bench.taken(500)
    assert not bench.wallet.hungry
    bench.taken(300)
    (ask,) = bench.wallet.asks()
    assert (ask.least, ask.need, ask.keep) == (0, 0, 1_000) and ask.want > 0
    bench.taken(10)
    bench.grant([ask], 500, 10**6)
    assert bench.free() == [690] and bench.wallet.asks() == []


def test_what_is_not_needed_any_more_goes_back() -> None:
    bench = Bench(day())
    (ask,) = bench.wallet.asks([bench.needs(10_000)])
    bench.grant([ask], 10_000, 10**9)
    lease = bench.lease()
    lease.slice = 1_000
    bench.wallet.settle(bench.taken(10_000), [500])
    (ask,) = bench.wallet.returns(NOW)
    assert (ask.keep, ask.need, ask.want, ask.last) == (1_500, 0, 0, False) and bench.free() == [1_000]
    bench.grant([ask], 0)
    assert bench.wallet.returns(NOW) == []


def test_when_somebody_is_short_nobody_keeps_what_it_does_not_use() -> None:
    bench = Bench(day()).filled(1_000)
    made = bench.taken(100)
    assert bench.wallet.returns(NOW) == []
    bench.wallet.scarce([("b", "", int(MIDNIGHT - DAY)), ("unknown", "", 0)])
    (ask,) = bench.wallet.returns(NOW)
    assert ask.keep == 100 and bench.free() == [0]
    bench.grant([ask], 0)
    (ask,) = bench.wallet.asks([bench.needs(50)])
    assert (ask.need, ask.want) == (50, 50), "nor asks for more than it needs"
    bench.grant([ask], 50)
    bench.wallet.settle(made, [60])
    bench.tick += SCARCE
    assert bench.wallet.returns(NOW) == [] and bench.free() == [90]


def test_an_idle_lease_ends_and_takes_no_memory() -> None:
    bench = Bench(day()).filled(1_000)
    bench.wallet.settle(bench.taken(10), [10])
    bench.tick += IDLE + 1
    (ask,) = bench.wallet.returns(NOW)
    assert ask.last and ask.keep == 10
    bench.wallet.failed([ask])
    (again,) = bench.wallet.returns(NOW)
    assert again.last and again.sequence > ask.sequence
    bench.grant([ask], 0)
    assert len(bench.wallet) == 1, "that answer is not to this one"
    bench.grant([again], 0)
    assert len(bench.wallet) == 0


def test_a_lease_that_was_never_asked_for_just_goes() -> None:
    bench = Bench(day())
    bench.needs(5)
    bench.tick += IDLE + 1
    assert bench.wallet.returns(NOW) == [] and len(bench.wallet) == 0


def test_an_answer_that_was_lost_is_asked_for_anew() -> None:
    bench = Bench(day()).filled(1_000)
    (ask,) = bench.wallet.asks([bench.needs(3_000)])
    bench.wallet.failed([ask])
    (again,) = bench.wallet.returns(NOW)
    assert (again.keep, again.need) == (1_000, 0) and again.sequence > ask.sequence
    bench.grant([ask], 9_000)
    assert bench.free() == [1_000], "what comes too late is not believed"
    bench.grant([again], 0)
    assert bench.wallet.returns(NOW) == []


def test_what_is_being_asked_for_is_left_alone() -> None:
    """Two exchanges of one lease at a time would each say what the other knows nothing of."""
    bench = Bench(day()).filled(1_000)
    bench.wallet.scarce([("b", "", int(MIDNIGHT - DAY))])
    (ask,) = bench.wallet.asks([bench.needs(3_000)])
    assert bench.wallet.returns(NOW) == bench.wallet.returns(NOW, everything=True) == [] and bench.free() == [1_000]
    bench.grant([ask], 0)
    assert bench.wallet.returns(NOW)


def test_everything_goes_back_at_the_end() -> None:
    bench = Bench(day("a"), day("b")).filled(1_000)
    made = bench.taken(400, 0)
    asks = bench.wallet.returns(NOW, everything=True)
    assert sorted((ask.counter, ask.keep, ask.last) for ask in asks) == [("a", 400, False), ("b", 0, True)]
    bench.grant(asks, 0)
    bench.wallet.settle(made, [100, 0])
    assert [(ask.keep, ask.last) for ask in bench.wallet.returns(NOW, everything=True)] == [(100, True)]


# Refusals


def test_a_spent_budget_says_when_it_renews() -> None:
    bench = Bench(day("a"), day("b")).filled(100)
    bench.wallet.settle(bench.taken(100, 100), [100, 0])
    asks = bench.wallet.asks([bench.needs(10, 10)])
    bench.grant(asks, 0, pool=9, met=False)
    refusal = bench.refused(10, 10)
    assert (refusal.counter.name, refusal.missing, refusal.reason) == ("a", 10, "spent")
    assert refusal.renews_at == MIDNIGHT
    assert bench.needs(9, 10), "as much as the pool has may be asked for"
    bench.tick += RECHECK_SPENT
    assert bench.needs(10, 10), "it may have been raised meanwhile"


def test_what_others_hold_may_come_back() -> None:
    bench = Bench(day()).filled(100)
    bench.taken(100)
    bench.grant(bench.wallet.asks([bench.needs(10)]), 0, pool=3, others=50, met=False)
    assert bench.refused(10).reason == "held" and bench.refused(154).reason == "spent"
    bench.tick += RECHECK
    assert bench.needs(10)
    bench.grant(bench.wallet.asks([bench.needs(10)]), 0, met=False)
    assert bench.refused(10).reason == "held", "requests under way may cost less than they reserve"
    bench.wallet.recheck()
    assert bench.needs(10)


def test_what_is_on_its_way_back_is_no_reason_to_refuse() -> None:
    bench = Bench(day()).filled(1_000)
    bench.grant(bench.wallet.asks([bench.needs(5_000)]), 0, met=False)
    (ask,) = bench.wallet.returns(NOW)
    assert ask.keep == 0 and bench.needs(500)
    bench.grant([ask], 0, pool=1_000)
    assert bench.needs(500) and bench.refused(1_001)


def test_a_limit_that_was_deleted_is_gone() -> None:
    bench = Bench(day())
    (ask,) = bench.wallet.asks([bench.needs(10)])
    bench.wallet.take([Grant(ask.number, ask.sequence, 0, 0, 0, met=False, gone=True)])
    assert bench.refused(10) == Refusal(bench.counters[0], 10, None, "gone")


def test_a_lowered_cap_calls_slices_back() -> None:
    bench = Bench(day(cap=10_000)).filled(1_000)
    bench.taken(1)
    bench.counters = (day(cap=9_000),)
    (ask,) = bench.wallet.asks(
        [bench.needs(1)]
    )  # nothing more is taken of it before the store has said how much is left
    assert ask.keep == 1
    other = Bench(day(cap=10_000)).filled(1_000)
    other.counters = (day(cap=11_000),)
    assert other.taken(1) and other.wallet.returns(NOW) == []
