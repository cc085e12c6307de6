"""The circuit breaker: what opens it, one probe at a time, growing pauses, and a simple model of it all."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from routing.breaker import (
    CLOSED,
    FAILED,
    HALF_OPEN,
    LOOKED_AT,
    NEUTRAL,
    OK,
    OPEN,
    SLOTS,
    Breaker,
    Breakers,
    Row,
    Settings,
    Ticket,
    verdict,
)
from routing.retries import BROKEN, CONNECT, EMPTY, REFUSED, TIMEOUT, TRUNCATED, Outcome

SETTINGS = Settings(window=30, at_least=10, ratio=0.5, pause=5, max_pause=18, probe=60)
LEGAL = {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, OPEN), (HALF_OPEN, CLOSED)}


def tell(breaker: Breaker, outcome: str, now: float, times: int = 1) -> None:
    for _ in range(times):
        ticket = breaker.allow(now)
        assert ticket is not None
        ticket.record(outcome, now)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(1, "m", SETTINGS)
    tell(breaker, FAILED, now, 10)
    assert breaker.state == OPEN
    return breaker


def test_only_the_providers_failures_count() -> None:
    outcomes: list[Outcome] = [500, 503, 529, CONNECT, TIMEOUT, BROKEN, TRUNCATED]
    assert {verdict(outcome) for outcome in outcomes} == {FAILED}
    outcomes = [400, 401, 404, 408, 429, 302, EMPTY, REFUSED]
    assert {verdict(outcome) for outcome in outcomes} == {NEUTRAL}
    assert verdict(200) == OK


def test_bad_requests_of_one_client_close_nothing_to_others() -> None:
    breaker = Breaker(1, "m", SETTINGS)
    tell(breaker, verdict(400), 0, 1000)
    assert breaker.state == CLOSED
    assert breaker.row(0).requests == 0


def test_it_takes_enough_requests_and_enough_failures() -> None:
    breaker = Breaker(1, "m", SETTINGS)
    tell(breaker, FAILED, 0, 9)
    assert breaker.state == CLOSED
    tell(breaker, FAILED, 1)
    assert breaker.state == OPEN
    healthy = Breaker(1, "m", SETTINGS)
    tell(healthy, OK, 0, 100)
    tell(healthy, FAILED, 0, 99)
    assert healthy.state == CLOSED
    tell(healthy, FAILED, 0)
    assert healthy.state == OPEN


def test_old_failures_are_forgotten() -> None:
    breaker = Breaker(1, "m", SETTINGS)
    tell(breaker, FAILED, 0, 9)
    tell(breaker, FAILED, 30, 9)
    assert breaker.state == CLOSED
    assert breaker.row(30) == Row(1, "m", CLOSED, 9, 9, 0)
    assert breaker.row(1e9).requests == 0


def test_one_probe_closes_it_again() -> None:
    breaker = opened()
    assert breaker.allow(4.999) is None
    assert breaker.reject(4) == "its circuit breaker is open for 1.0 s more"
    assert breaker.reject(5) == ""
    assert breaker.row(5).state == HALF_OPEN
    assert breaker.state == OPEN, "looking changes nothing"
    probe = breaker.allow(5)
    assert probe is not None
    assert [breaker.allow(t) for t in (5, 6, 64.9)] == [None] * 3
    assert breaker.reject(6) == "its circuit breaker waits for a probe"
    probe.record(OK, 7)
    assert breaker.state == CLOSED
    tell(breaker, FAILED, 7, 9)
    assert breaker.state == CLOSED, "what was before the probe counts no more"


def test_pauses_grow_up_to_a_cap_and_start_again_after_success() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(4):
        pauses.append(breaker.until - now)
        now = breaker.until
        tell(breaker, FAILED, now)
    assert pauses == [5, 10, 18, 18]
    now = breaker.until
    tell(breaker, OK, now)
    tell(breaker, FAILED, now, 10)
    assert breaker.until - now == 5


def test_a_probe_that_says_nothing_makes_room_for_the_next() -> None:
    breaker = opened()
    tell(breaker, NEUTRAL, 5)
    assert breaker.state == HALF_OPEN
    tell(breaker, OK, 5)
    assert breaker.state == CLOSED


def test_a_probe_that_hangs_does_not_hold_up_the_next_for_ever() -> None:
    breaker = opened()
    first = breaker.allow(5)
    second = breaker.allow(65)
    assert first is not None
    assert second is not None
    first.record(NEUTRAL, 66)
    assert breaker.allow(66) is None, "the second is still out"
    second.record(FAILED, 67)
    assert breaker.state == OPEN


def test_what_was_asked_before_it_opened_says_nothing_after() -> None:
    breaker = Breaker(1, "m", SETTINGS)
    late = [breaker.allow(0) for _ in range(3)]
    tell(breaker, FAILED, 0, 10)
    for ticket, outcome in zip(late, (OK, FAILED, NEUTRAL), strict=True):
        assert ticket is not None
        ticket.record(outcome, 5)
    assert breaker.state == OPEN
    assert breaker.until == 5


def test_a_request_counts_once_however_often_it_tried() -> None:
    breaker = Breaker(1, "m", SETTINGS)
    ticket = breaker.allow(0)
    assert ticket is not None
    for _ in range(50):
        ticket.record(FAILED, 0)
    assert breaker.row(0).failures == 1


def test_forced_states() -> None:
    breakers = Breakers(SETTINGS)
    assert breakers.allow(1, "m", 0, forced=OPEN) is None
    assert breakers.reject(1, "m", 0, forced=OPEN) == breakers.reject(2, "new", 0, forced=OPEN)
    for _ in range(30):
        ticket = breakers.allow(1, "m", 0, forced=CLOSED)
        assert ticket is not None
        ticket.record(FAILED, 0)
    assert breakers.reject(1, "m", 0) == ""
    for _ in range(10):
        ticket = breakers.allow(1, "m", 0)
        assert ticket is not None
        ticket.record(FAILED, 0)
    assert breakers.allow(1, "m", 0) is None
    assert breakers.allow(1, "m", 0, forced=CLOSED) is not None
    assert breakers.wait(1, "m", 1) == 4


def test_breakers_are_apart_listed_and_bounded() -> None:
    changes: list[tuple[int, str, str, str]] = []
    breakers = Breakers(
        SETTINGS,
        lambda breaker, before, now: changes.append((breaker.provider_id, breaker.model, before, breaker.state)),
        20,
    )
    for _ in range(10):
        ticket = breakers.allow(1, "bad", 0)
        assert ticket is not None
        ticket.record(FAILED, 0)
    for n in range(1000):
        assert breakers.allow(1, f"model-{n}", 0) is not None
    assert breakers.allow(2, "bad", 0) is not None
    assert breakers.rows(1) == [Row(1, "bad", OPEN, 10, 10, 4)]
    assert breakers.troubled == {(1, "bad")}
    assert changes == [(1, "bad", CLOSED, OPEN)]
    assert breakers.wait(1, "unknown", 0) == 0
    assert breakers.allow(1, "bad", 1, settings=Settings(at_least=3)) is not None, "new settings begin anew"
    assert not breakers.troubled


def test_room_is_made_even_if_all_are_open() -> None:
    breakers = Breakers(Settings(at_least=1), most=LOOKED_AT)
    for n in range(3 * LOOKED_AT):
        ticket = breakers.allow(n, "m", 0)
        assert ticket is not None
        ticket.record(FAILED, 0)
    assert len(breakers.rows(0)) == LOOKED_AT
    assert breakers.troubled == {(row.provider_id, row.model) for row in breakers.rows(0)}


def test_who_is_in_trouble_is_known_until_a_probe_succeeds() -> None:
    breakers = Breakers(Settings(at_least=1, pause=5))
    for now, outcome in ((0, FAILED), (5, NEUTRAL), (6, FAILED), (16, OK)):
        ticket = breakers.allow(1, "m", now)
        assert ticket is not None
        assert breakers.troubled == ({(1, "m")} if now else set())
        ticket.record(outcome, now)
    assert not breakers.troubled


@dataclass
class Model:
    """The same machine in plain lists: every outcome is kept, and tickets are numbers."""

    state: str = CLOSED
    since: int = 0
    seen: list[tuple[int, bool]] = field(default_factory=list)
    until: float = 0
    pause: float = 0
    probe: int = -1
    probed: float = 0
    given: list[int] = field(default_factory=list)
    told: set[int] = field(default_factory=set)

    def allow(self, now: float) -> int | None:
        if self.state == OPEN and now >= self.until:
            self.enter(HALF_OPEN)
        if self.state == OPEN or (self.state == HALF_OPEN and self.probe >= 0 and now < self.probed + SETTINGS.probe):
            return None
        self.given.append(self.since)
        if self.state == HALF_OPEN:
            self.probe, self.probed = len(self.given) - 1, now
        return len(self.given) - 1

    def enter(self, state: str) -> None:
        self.state, self.since, self.probe = state, self.since + 1, -1

    def open(self, pause: float, now: float) -> None:
        self.pause, self.until = pause, now + pause
        self.enter(OPEN)

    def record(self, number: int, outcome: str, now: float) -> None:
        if number in self.told or self.given[number] != self.since:
            return
        self.told.add(number)
        if self.probe == number:
            self.probe = -1
        if outcome == NEUTRAL:
            return
        if self.state == HALF_OPEN and outcome == OK:
            self.seen.clear()
            self.enter(CLOSED)
        elif self.state == HALF_OPEN:
            self.open(min(2 * self.pause, SETTINGS.max_pause), now)
        else:
            slot = int(now // (SETTINGS.window / SLOTS))
            self.seen.append((slot, outcome == FAILED))
            recent = [failed for at, failed in self.seen if at > slot - SLOTS]
            enough = len(recent) >= SETTINGS.at_least and sum(recent) >= SETTINGS.ratio * len(recent)
            if outcome == FAILED and enough:
                self.open(SETTINGS.pause, now)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 5.0, 10.0, 30.0, 61.0])),
        st.tuples(st.just("ask"), st.integers(1, 12)),
        st.tuples(st.sampled_from([OK, FAILED, FAILED, NEUTRAL]), st.integers(0, 10**6)),
        st.tuples(st.just("burst"), st.integers(1, 12)),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_does_what_a_simple_model_does(steps: list[tuple[str, float]]) -> None:
    changes: list[tuple[str, str]] = []
    breaker = Breaker(1, "m", SETTINGS, lambda breaker, before, now: changes.append((before, breaker.state)))
    model, now, tickets = Model(), 1000.0, dict[int, Ticket]()
    for what, amount in steps:
        if what == "wait":
            now += amount
            continue
        for _ in range(int(amount) if what in ("ask", "burst") else 0):
            rejected = breaker.reject(now)
            ticket, number = breaker.allow(now), model.allow(now)
            assert (ticket is None) == (number is None) == bool(rejected)
            if ticket is not None and number is not None:
                tickets[number] = ticket
            if what == "burst" and ticket is not None and number is not None:
                ticket.record(FAILED, now)
                model.record(number, FAILED, now)
        if what in (OK, FAILED, NEUTRAL) and tickets:
            number = sorted(tickets)[int(amount) % len(tickets)]
            tickets.pop(number).record(what, now)
            model.record(number, what, now)
        assert breaker.state == model.state
        assert breaker.state != OPEN or breaker.until == model.until
    assert set(changes) <= LEGAL


@given(st.integers(0, 2**32), st.floats(0.3, 0.9))
def test_a_failing_provider_is_asked_less_and_found_again(seed: int, failing: float) -> None:
    """It fails for five minutes at two requests a second, then is well."""
    rng, asked, asked_when_failing = random.Random(seed), 0, 0
    breaker = Breaker(1, "m", Settings(ratio=0.25))
    for n in range(1200):
        now = n / 2
        ticket = breaker.allow(now)
        if ticket is None:
            continue
        asked += 1
        asked_when_failing += now < 300
        ticket.record(FAILED if now < 300 and rng.random() < failing else OK, now)
    assert asked_when_failing < 600
    assert breaker.state == CLOSED
    assert asked - asked_when_failing > 250


def test_a_call_is_quick() -> None:
    """Printed, not judged: this machine may be busy."""
    breakers = Breakers(SETTINGS)
    began = time.perf_counter()
    for n in range(20_000):
        if ticket := breakers.allow(n % 50, "m", n / 1000):
            ticket.record(OK, n / 1000)
    print(f"breaker: {(time.perf_counter() - began) / 20_000 * 1e6:.2f} µs for each request")
