"""One request at one target: what it holds while it is there, and the ways in which that comes to nothing."""

from __future__ import annotations

from routing.breaker import NEUTRAL, Ticket
from routing.errors import GatewayError
from routing.queue import Place
from routing.retries import Outcome
from routing.table import Target
from routing.traffic import Traffic


class Next(Exception):
    """This target has come to nothing; ``error`` is what the client is told if no other does better, and ``refused``
    why the provider refused the request, where another target stands in for that."""

    def __init__(self, error: GatewayError, refused: str = "") -> None:
        super().__init__(error.kind)
        self.error = error
        self.refused = refused


class Failure(Exception):
    """One attempt has come to nothing. ``pause`` is in seconds until the next at the same target, None for none."""

    def __init__(self, outcome: Outcome, pause: float | None, error: GatewayError, refused: str = "") -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.pause = pause
        self.error = error
        self.refused = refused


class Visit:
    """What a request holds while it is at one target."""

    __slots__ = ("counted", "place", "target", "ticket", "traffic", "verdict")

    def __init__(self, traffic: Traffic, target: Target, ticket: Ticket) -> None:
        self.traffic = traffic
        self.target = target
        self.ticket = ticket
        self.place: Place | None = None
        self.counted = False
        self.verdict = NEUTRAL

    def leave(self) -> None:
        """Give it all back, and say how it went; harmless twice."""
        self.ticket.record(self.verdict, self.traffic.clock())
        if self.place is not None:
            self.place.leave()
        if self.counted:
            self.counted = False
            self.traffic.state.leave(self.target.id)
