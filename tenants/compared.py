"""What ``tenants.ledger_check`` says of each comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

SHOWN = 20
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Compared:
    """How many sums were compared, how many of them differ, and the first of these in words; ``notes`` are what cannot be
    compared, or differs for a reason."""

    title: str
    sums: int = 0
    differ: int = 0
    shown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.differ += 1
        if len(self.shown) < SHOWN:
            self.shown.append(text)

    def note(self, text: str) -> None:
        if len(self.notes) < SHOWN:
            self.notes.append(text)


@dataclass(frozen=True, slots=True)
class Span:
    """Whole hours, in UTC."""

    start: datetime = EARLIEST
    end: datetime = LATEST

    def whole_days(self) -> tuple[datetime, datetime]:
        """From the first to the last midnight in it."""
        first = self.start.replace(hour=0)
        if first < self.start:
            first = datetime.fromtimestamp(first.timestamp() + 86_400, UTC)
        return first, self.end.replace(hour=0)
