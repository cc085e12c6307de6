"""What one request holds of its limits and budgets, from before its dispatch until it is settled."""

from __future__ import annotations

from collections.abc import Mapping

from tenants.leases import Reservation
from tenants.ledger import Entry
from tenants.terms import Counted
from tenants.wallet import Wallet


class Account:
    """``reservation`` holds what one attempt may cost of what it is ``counted`` by, ``bound`` is that in nano-dollars: an attempt
    whose end nobody knows has cost it, under a hard budget, and the next one is reserved anew. ``outputs`` are the most
    tokens that each target writes, by its id: beyond them a stream is cut.
    """

    __slots__ = ("bound", "counted", "outputs", "reservation", "wallet")

    def __init__(
        self, wallet: Wallet, counted: Counted, reservation: Reservation, bound: int, outputs: Mapping[int, int]
    ) -> None:
        self.wallet, self.counted, self.reservation = wallet, counted, reservation
        self.bound, self.outputs = bound, outputs

    @property
    def hard(self) -> bool:
        return self.counted.hard

    @property
    def admitted(self) -> float:
        """When its windows count it, by a clock that never jumps; 0 where none of them trails."""
        return self.reservation.tick if self.reservation.steps else 0.0

    def lose(self, lost: Entry, reservation: Reservation) -> None:
        """An attempt that came to nothing is paid from ``reservation``, made after it: the one that the request's intent
        tells of holds what the next attempt may cost."""
        self._charge(reservation, lost)

    def settle(self, entry: Entry) -> None:
        """Charge what the request has cost, and give back what was not used. Once."""
        self._charge(self.reservation, entry)

    def _charge(self, reservation: Reservation, entry: Entry) -> None:
        tokens, lost = entry.input_tokens + entry.output_tokens, entry.kind == "attempt"
        if lost and not tokens:
            tokens = self._most_tokens(reservation)
        used = self.counted.amounts(entry.cost or 0, tokens, 0 if lost else 1, 0)
        self.wallet.settle(reservation, used)
        entry.charges = reservation.charges
        entry.bound_exceeded = reservation.bound_exceeded

    def _most_tokens(self, reservation: Reservation) -> int:
        """Of an attempt that told nothing: all that was reserved for it."""
        amounts = zip(self.counted.units, reservation.amounts, strict=True)
        return max((amount for unit, amount in amounts if unit == "tokens"), default=0)
