"""Circuit breakers, one for each model of a provider: who fails too often is left alone for a while, then probed.

    closed     requests pass; too many failures in the window open it
    open       nothing passes until its pause is over
    half_open  one probe at a time passes: a success closes, a failure opens again for twice as long

Time is given, as readings of one monotonic clock. Every call costs the same, however many requests there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from routing.retries import BROKEN, CONNECT, TIMEOUT, TRUNCATED, Outcome

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
OK, FAILED, NEUTRAL = "ok", "failed", "neutral"
FAILURES: Final = frozenset({CONNECT, BROKEN, TIMEOUT, TRUNCATED})
SLOTS: Final = 10
MOST_BREAKERS: Final = 10_000
LOOKED_AT: Final = 8

Change = Callable[["Breaker", str, float], None]


def verdict(outcome: Outcome) -> str:
    """What an outcome says of the provider's health. A 4xx says nothing: it may be the client's doing, and so may a
    request that was given up."""
    if isinstance(outcome, str):
        return FAILED if outcome in FAILURES else NEUTRAL
    if 500 <= outcome < 600:
        return FAILED
    return OK if 200 <= outcome < 300 else NEUTRAL


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds and counts. It opens when of at least ``at_least`` requests in ``window`` the share ``ratio`` failed."""

    window: float = 30.0
    at_least: int = 10
    ratio: float = 0.5
    pause: float = 5.0
    max_pause: float = 120.0
    probe: float = 60.0  # a probe that takes longer no longer keeps the next one waiting


@dataclass(frozen=True, slots=True)
class Row:
    """A breaker as metrics and the admin show it."""

    provider_id: int
    model: str
    state: str
    requests: int
    failures: int
    wait: float


class Window:
    """How many requests there were in the last seconds and how many failed, in slots that are dropped one by one."""

    __slots__ = ("failed", "failures", "requests", "slot", "total", "width")

    def __init__(self, seconds: float) -> None:
        self.width = seconds / SLOTS
        self.slot = 0
        self.clear()

    def clear(self) -> None:
        self.total, self.failed = [0] * SLOTS, [0] * SLOTS
        self.requests = self.failures = 0

    def add(self, failed: bool, now: float) -> None:
        if now // self.width > self.slot:
            self.roll(now)
        at = self.slot % SLOTS
        self.total[at] += 1
        self.requests += 1
        if failed:
            self.failed[at] += 1
            self.failures += 1

    def roll(self, now: float) -> None:
        """Drop what is too old. A clock that went back changes nothing."""
        slot = int(now // self.width)
        if slot <= self.slot:
            return
        for passed in range(max(self.slot + 1, slot - SLOTS + 1), slot + 1):
            at = passed % SLOTS
            self.requests -= self.total[at]
            self.failures -= self.failed[at]
            self.total[at] = self.failed[at] = 0
        self.slot = slot


class Ticket:
    """The leave for one request to try this target. However often it tries, its outcome is told once, whatever became
    of it; ``record`` does nothing the second time."""

    __slots__ = ("breaker", "period")

    def __init__(self, breaker: Breaker, period: int) -> None:
        self.breaker: Breaker | None = breaker
        self.period = period

    def record(self, outcome: str, now: float) -> None:
        """``outcome`` is OK, FAILED or NEUTRAL: a client that left, a refusal, an attempt that never began."""
        breaker, self.breaker = self.breaker, None
        if breaker is not None:
            breaker.record(self, outcome, now)


class Breaker:
    __slots__ = (
        "changed",
        "model",
        "pause",
        "period",
        "probe",
        "probed_at",
        "provider_id",
        "settings",
        "state",
        "until",
        "window",
    )

    def __init__(self, provider_id: int, model: str, settings: Settings, changed: Change | None = None) -> None:
        self.provider_id = provider_id
        self.model = model
        self.settings = settings
        self.changed = changed
        self.window = Window(settings.window)
        self.state = CLOSED
        self.pause = 0.0
        self.until = 0.0
        self.period = 0  # every change of state begins another: what was asked in one says nothing in the next
        self.probe: Ticket | None = None
        self.probed_at = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a request may pass, 0 for now."""
        if self.state == OPEN:
            return max(0.0, self.until - now)
        if self.state == HALF_OPEN and self.probe is not None:
            return max(0.0, self.probed_at + self.settings.probe - now)
        return 0.0

    def reject(self, now: float, forced: str = "") -> str:
        """Why no request may pass now, "" if one may. Changes nothing. ``forced`` is open, closed or neither."""
        if forced:
            return "its circuit breaker is held open" if forced == OPEN else ""
        wait = self.wait(now)
        if not wait:
            return ""
        if self.state == OPEN:
            return f"its circuit breaker is open for {wait:.1f} s more"
        return "its circuit breaker waits for a probe"

    def allow(self, now: float, forced: str = "") -> Ticket | None:
        """A ticket if a request may pass, None if not. A forced state lets the true one rest as it is."""
        if forced == OPEN:
            return None
        if forced:
            return Ticket(self, -1)
        if self.state == CLOSED:
            return Ticket(self, self.period)
        if self.wait(now):
            return None
        if self.state == OPEN:
            self._change(HALF_OPEN, now)
        self.probe, self.probed_at = Ticket(self, self.period), now
        return self.probe

    def record(self, ticket: Ticket, outcome: str, now: float) -> None:
        if ticket.period != self.period:
            return
        if self.probe is ticket:
            self.probe = None
        if outcome == NEUTRAL:
            return
        if self.state == CLOSED:
            self._count(outcome == FAILED, now)
        elif outcome == OK:
            self.window.clear()
            self._change(CLOSED, now)
        else:
            self._open(min(self.pause * 2, self.settings.max_pause), now)

    def _count(self, failed: bool, now: float) -> None:
        window, settings = self.window, self.settings
        window.add(failed, now)
        if failed and window.requests >= settings.at_least and window.failures >= settings.ratio * window.requests:
            self._open(settings.pause, now)

    def _open(self, pause: float, now: float) -> None:
        self.pause, self.until = pause, now + pause
        self._change(OPEN, now)

    def _change(self, state: str, now: float) -> None:
        before, self.state = self.state, state
        self.period += 1
        self.probe = None
        if self.changed is not None:
            self.changed(self, before, now)

    def row(self, now: float) -> Row:
        """As it stands at ``now``; an open one whose pause is over is half open, although nobody has asked yet."""
        self.window.roll(now)
        wait = self.wait(now)
        state = HALF_OPEN if self.state == OPEN and not wait else self.state
        return Row(self.provider_id, self.model, state, self.window.requests, self.window.failures, wait)


class Breakers:
    """The breakers of one process. ``changed`` is called with a breaker, its state before, and the time. ``troubled`` are
    the models whose breaker is not closed, by provider."""

    def __init__(
        self, settings: Settings | None = None, changed: Change | None = None, most: int = MOST_BREAKERS
    ) -> None:
        self.settings = settings or Settings()
        self.changed = changed
        self.most = most
        self.troubled: set[tuple[int, str]] = set()
        self._known: dict[tuple[int, str], Breaker] = {}

    def reject(self, provider_id: int, model: str, now: float, forced: str = "") -> str:
        """Why no request may go there now, "" if one may. Changes nothing."""
        breaker = self._known.get((provider_id, model))
        if breaker is None:
            return "its circuit breaker is held open" if forced == OPEN else ""
        return breaker.reject(now, forced)

    def allow(
        self, provider_id: int, model: str, now: float, forced: str = "", settings: Settings | None = None
    ) -> Ticket | None:
        settings = settings or self.settings
        breaker = self._known.get((provider_id, model))
        if breaker is None or breaker.settings is not settings or 2 * len(self._known) >= self.most:
            breaker = self._breaker(provider_id, model, settings)
        if breaker.state == CLOSED and not forced:
            return Ticket(breaker, breaker.period)
        return breaker.allow(now, forced)

    def wait(self, provider_id: int, model: str, now: float) -> float:
        """Seconds until a request may go there, 0 for now."""
        breaker = self._known.get((provider_id, model))
        return breaker.wait(now) if breaker is not None else 0.0

    def rows(self, now: float) -> list[Row]:
        """Those that are not closed or have seen something, for metrics and the admin."""
        found = [breaker.row(now) for breaker in self._known.values()]
        return [row for row in found if row.state != CLOSED or row.requests]

    def _breaker(self, provider_id: int, model: str, settings: Settings) -> Breaker:
        """The one for this model, made where it is new or its settings have changed; now the last to be dropped."""
        key = provider_id, model
        breaker = self._known.get(key)
        if breaker is None or (breaker.settings is not settings and breaker.settings != settings):
            self.troubled.discard(key)
            breaker = Breaker(provider_id, model, settings, self._note)
            self._make_room()
        elif 2 * len(self._known) < self.most:  # nobody is dropped for long
            return breaker
        self._known.pop(key, None)
        self._known[key] = breaker
        return breaker

    def _make_room(self) -> None:
        """Clients may name any number of models: the one that was longest unused goes, a closed one if there is one
        among the first."""
        if len(self._known) < self.most:
            return
        oldest = [key for key, _ in zip(self._known, range(LOOKED_AT), strict=False)]
        dropped = next((key for key in oldest if self._known[key].state == CLOSED), oldest[0])
        del self._known[dropped]
        self.troubled.discard(dropped)

    def _note(self, breaker: Breaker, before: str, now: float) -> None:
        key = breaker.provider_id, breaker.model
        if breaker is self._known.get(key):
            (self.troubled.discard if breaker.state == CLOSED else self.troubled.add)(key)
        if self.changed is not None:
            self.changed(breaker, before, now)
