"""A worker's wallet: whole or nothing over all levels, settled by the delta, and never more than it was granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.labels import Label, read_label, write_label
from tenants.leases import CONCURRENT, MOST, STEPS, Counter, Grant, Reservation, Trailing, crossed
from tenants.periods import Period
from tenants.slices import IDLE
from tests.wallet_bench import DAY, MIDNIGHT, NOW, Bench, day

# Reserve and settle


def test_a_reservation_takes_from_every_level_and_a_settlement_returns_the_rest() -> None:
    bench = Bench(day("a"), day("b"), day("c")).filled(1_000)
    made = bench.taken(300, 400, 500)
    assert bench.free() == [700, 600, 500] and made.admitted_at == NOW
    settled = bench.wallet.settle(made, [100, 0, 500])
    assert bench.free() == [900, 1_000, 500] and not settled.bound_exceeded
    assert [lease.spent for lease in bench.wallet] == [100, 0, 500]
    assert list(settled.charges.values()) == [100, 0, 500] and list(made.bounds.values()) == [300, 400, 500]
    assert settled.charges.keys() == made.bounds.keys()


def test_where_one_level_is_short_nothing_is_taken_of_any() -> None:
    bench = Bench(day("a"), day("b"), day("c")).filled(1_000)
    needs = bench.needs(900, 1_001, 1_200)
    assert bench.free() == [1_000] * 3 and [lease.reserved for lease in bench.wallet] == [0] * 3
    assert [(lease.counter.name, amount) for lease, amount in needs.amounts] == [("b", 1_001), ("c", 1_200)]


def test_to_the_last_nano_dollar() -> None:
    bench = Bench(day()).filled(1_000)
    assert bench.taken(1_000) and bench.free() == [0]
    assert bench.needs(1) and bench.taken(0)


def test_a_settlement_stands_once() -> None:
    bench = Bench(day()).filled(1_000)
    made = bench.taken(500)
    first = bench.wallet.settle(made, [200])
    assert bench.wallet.settle(made, [400]) is first and bench.free() == [800]


def test_a_charge_beyond_its_bound_stands_in_full() -> None:
    bench = Bench(day()).filled(1_000)
    made, other = bench.taken(500), bench.taken(400)
    settled = bench.wallet.settle(made, [800])
    assert settled.bound_exceeded and list(settled.charges.values()) == [800]
    assert bench.free() == [-200] and bench.needs(1)
    (ask,) = bench.wallet.returns(NOW)
    assert (ask.keep, ask.least, ask.need) == (1_000, 0, 200), "what is owed is asked for without a request"
    bench.grant([ask], 200)
    assert bench.free() == [0] and not bench.wallet.settle(other, [400]).bound_exceeded


@pytest.mark.parametrize("amount", [-1, MOST + 1])
def test_absurd_amounts_take_nothing(amount: int) -> None:
    bench = Bench(day("a"), day("b")).filled(1_000)
    with pytest.raises(ValueError, match="no amount"):
        bench.reserve(1, amount)
    made = bench.taken(10, 10)
    with pytest.raises(ValueError, match="less than nothing"):
        bench.wallet.settle(made, [5, -1])
    assert bench.free() == [990, 990]
    with pytest.raises(ValueError, match="one amount"):
        bench.wallet.reserve(bench.counters, [1], NOW)
    with pytest.raises(ValueError, match="one amount"):
        bench.wallet.settle(made, [5])
    with pytest.raises(ValueError, match="not a time"):
        bench.wallet.reserve(bench.counters, [1, 1], float("nan"))
    assert bench.free() == [990, 990]


def test_one_counter_twice_counts_twice() -> None:
    counter = day()
    bench = Bench(counter, counter)
    bench.grant(bench.wallet.asks([bench.needs(600, 400)]), 1_000)
    needs = bench.needs(600, 401)
    assert [amount for _, amount in needs.amounts] == [1_001]
    made = bench.taken(600, 400)
    assert list(made.bounds.values()) == [1_000] and bench.free() == [0]
    assert list(bench.wallet.settle(made, [100, 200]).charges.values()) == [300] and bench.free() == [700]


def test_a_soft_budget_only_counts() -> None:
    bench = Bench(day(hard=False))
    made = bench.taken(10**12)
    (text, amount), *none = made.bounds.items()
    assert (read_label(text).number, amount, none) == (0, 10**12, [])
    settled = bench.wallet.settle(made, [2 * 10**12])
    assert settled.charges == {text: 2 * 10**12} and settled.bound_exceeded
    assert bench.wallet.returns(NOW) == [] and not bench.wallet.hungry


def test_a_budget_that_becomes_soft_gives_its_slice_back() -> None:
    bench = Bench(day()).filled(1_000)
    made = bench.taken(300)
    bench.counters = (day(hard=False),)
    assert bench.taken(10**9)
    bench.wallet.settle(made, [200])
    bench.tick += IDLE + 1
    assert [(ask.keep, ask.last) for ask in bench.wallet.returns(NOW)] == [(200, True)]


# Windows


def test_a_charge_belongs_to_the_window_of_its_admission() -> None:
    bench = Bench(day()).filled(1_000)
    made = bench.taken(400)
    bench.now = MIDNIGHT + 1
    needs = bench.needs(100)
    bench.grant(bench.wallet.asks([needs]), 500)
    late = bench.taken(100)
    starts = [read_label(text).start for text in (*bench.wallet.settle(made, [600]).charges, *late.bounds)]
    assert starts == [MIDNIGHT - DAY, MIDNIGHT] and bench.free() == [400, 400]


def test_a_clock_that_jumps_back_spends_from_the_old_window() -> None:
    bench = Bench(day()).filled(1_000)
    bench.now = MIDNIGHT + 1
    bench.filled(500)
    bench.now = MIDNIGHT - 1
    assert bench.taken(900) and bench.free() == [100, 500]
    bench.now = MIDNIGHT + 1
    assert bench.taken(500) and bench.free() == [100, 0]


def test_an_ended_window_goes_back_when_nothing_is_reserved_in_it() -> None:
    bench = Bench(day()).filled(1_000)
    made = bench.taken(700)
    (ask,) = bench.wallet.returns(MIDNIGHT)
    assert (ask.keep, ask.last) == (700, False)
    bench.grant([ask], 0)
    assert bench.wallet.returns(MIDNIGHT) == []
    bench.wallet.settle(made, [600])
    (ask,) = bench.wallet.returns(MIDNIGHT)
    assert (ask.keep, ask.last) == (600, True)
    bench.now = MIDNIGHT - 1
    assert bench.needs(1), "it is on its way back: another one begins"
    bench.grant([ask], 0)
    assert [lease.number for lease in bench.wallet] == [2]


def test_outside_a_fixed_period_nothing_can_be_spent() -> None:
    begins = int(NOW) + 100
    bench = Bench(day("a"), Counter("f", 1_000, Period("fixed", begins=begins, ends=begins + 100)))
    refusal = bench.refused(1, 1)
    assert (refusal.reason, refusal.renews_at, refusal.counter.name) == ("closed", begins, "f")
    bench.now += 150
    assert bench.needs(1, 1)
    bench.now += 100
    assert bench.refused(1, 1).renews_at is None


def test_what_was_granted_while_the_cap_was_higher_is_asked_for_again() -> None:
    bench = Bench(day())
    (ask,) = bench.wallet.asks([bench.needs(100)])
    bench.wallet.take([Grant(ask.number, ask.sequence, 1_000, 10**6, 0, until=int(NOW) + 60)])
    made = bench.taken(100)
    bench.now += 60
    needs = bench.needs(1)
    (ask,) = bench.wallet.asks([needs])
    assert (ask.keep, ask.need) == (100, 1), "what is free has gone back"
    bench.grant([ask], 50)
    bench.wallet.settle(made, [0])
    assert bench.free() == [150]


# Trailing windows, and requests at once


def test_tokens_come_back_when_their_admission_is_a_minute_ago() -> None:
    bench = Bench(Counter("t", 1_000, Trailing(60), "tokens")).filled(1_000)
    early = bench.taken(600)
    bench.tick = 30.0
    open_still = bench.taken(400)
    bench.wallet.settle(early, [100])
    assert bench.free() == [500]
    bench.tick = 60.0
    assert bench.needs(501), "exactly a minute is still within"
    bench.tick = 60.1
    assert bench.taken(600) and bench.free() == [0]
    bench.tick = 90.1
    assert bench.taken(400), "by its admission, though it is not settled"
    bench.wallet.settle(open_still, [400])
    assert bench.free() == [0] and not open_still.bounds


def test_tokens_beyond_the_bound_count_in_the_window() -> None:
    bench = Bench(Counter("t", 1_000, Trailing(60), "tokens")).filled(1_000)
    assert bench.wallet.settle(bench.taken(100), [1_300]).bound_exceeded
    assert bench.free() == [-300] and bench.needs(1)
    bench.tick = 61.0
    assert bench.taken(1_000)


def test_a_window_remembers_steps_and_not_each_request() -> None:
    bench = Bench(Counter("r", 10**6, Trailing(60), "requests")).filled(10**6)
    for number in range(20_000):
        bench.tick = number / 100
        bench.wallet.settle(bench.taken(1), [1])
    assert len(bench.lease().steps) <= STEPS
    assert 6_000 <= 10**6 - bench.lease().free <= 6_000 * (1 + 1 / STEPS) + 1


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.integers(0, 400), st.integers(0, 500), st.integers(0, 5)),
        min_size=1,
        max_size=60,
    )
)
def test_no_window_ever_holds_more_than_it_may(requests: list[tuple[float, int, int, int]]) -> None:
    """Beside a list of every admission: what has left a window comes back, by one step late at most and never early."""
    seconds, cap = 60.0, 1_000
    bench = Bench(Counter("t", cap, Trailing(seconds), "tokens")).filled(cap)
    admitted: list[tuple[float, list[int]]] = []
    open_still: list[tuple[int, Reservation, list[int], int]] = []
    for number, (pause, amount, cost, settled_after) in enumerate(requests):
        bench.tick += pause
        for entry in [each for each in open_still if each[0] <= number]:
            open_still.remove(entry)
            bench.wallet.settle(entry[1], [entry[3]])
            entry[2][0] = entry[3]
        outcome = bench.reserve(amount)
        within = sum(held[0] for at, held in admitted if at >= bench.tick - seconds)
        nearly = sum(held[0] for at, held in admitted if at >= bench.tick - seconds * (1 + 1 / STEPS) - 1e-6)
        if isinstance(outcome, Reservation):
            assert within + amount <= cap or not amount
            held = [amount]
            admitted.append((bench.tick, held))
            open_still.append((number + settled_after, outcome, held, cost))
        else:
            assert nearly + amount > cap


def test_a_share_that_is_in_use_does_not_go_back() -> None:
    bench = Bench(Counter("t", 1_000, Trailing(60), "tokens")).filled(1_000)
    bench.wallet.settle(bench.taken(300), [200])
    bench.tick = IDLE + 1
    (ask,) = bench.wallet.returns(NOW)
    assert (ask.keep, ask.last) == (200, False)
    bench.grant([ask], 0)
    bench.tick = 61.0
    (ask,) = bench.wallet.returns(NOW)
    assert (ask.keep, ask.last) == (0, True)


def test_requests_at_once_count_until_they_end() -> None:
    bench = Bench(Counter("c", 2, CONCURRENT, "requests")).filled(2)
    first, _ = bench.taken(1), bench.taken(1)
    bench.tick = 10_000.0
    assert bench.needs(1)
    bench.wallet.settle(first, [0])
    assert bench.taken(1) and bench.free() == [0]


@pytest.mark.parametrize(("missing", "seconds"), [(50, 20.0), (100, 20.0), (101, 40.0), (500, 60.0)])
def test_a_refusal_says_when_tokens_come_back(missing: int, seconds: float) -> None:
    bench = Bench(Counter("t", 1_000, Trailing(60), "tokens")).filled(200)
    bench.taken(100)
    bench.tick = 20.0
    bench.taken(100)
    bench.tick = 40.0
    bench.grant(bench.wallet.asks([bench.needs(missing)]), 0, met=False)
    refusal = bench.refused(missing)
    assert refusal.renews_at == pytest.approx(NOW + seconds) and refusal.reason == "held"


# Names and thresholds


def test_labels_are_read_as_they_were_written() -> None:
    for label in (
        Label(7, 1_790_000_000, "b12", ""),
        Label(0, 0, "b12", "user/with/slashes é"),
        Label(0, 0, "b12", "two\nlines %0A %250A %"),
        Label(1, -5, "x", "/"),
    ):
        assert read_label(write_label(label)) == label
    for wrong in ("", "1/2/3", "x/1/b/"):
        with pytest.raises(ValueError):
            read_label(wrong)


@pytest.mark.parametrize("wrong", [("", 1), ("a/b", 1), ("a", -1), ("a", MOST + 1)])
def test_counters_that_cannot_be(wrong: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=r"[.]$"):
        Counter(*wrong, Period("day"))


def test_thresholds_are_crossed_once() -> None:
    assert crossed([80, 50, 100], 1_000, 499, 0) == ()
    assert crossed([80, 50, 100], 1_000, 500, 0) == (50,)
    assert crossed([80, 50, 100], 1_000, 2_000, 50) == (80, 100)
    assert crossed([80, 50, 100], 1_000, 2_000, 100) == ()
    assert crossed([50], 0, 0, 0) == () and crossed([50], 0, 1, 0) == (50,)
    assert crossed([33], 10**18, 33 * 10**16 - 1, 0) == () and crossed([33], 10**18, 33 * 10**16, 0) == (33,)
