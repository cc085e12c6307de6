"""What a proof has found: figures and breaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from routing.proofs.installation import Failed, Installation

SHOWN = 5


class Verdict:
    """``say`` writes a line. Every expectation that is not met is a breach."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.breaches: list[str] = []

    def expect(self, held: bool, text: str) -> None:
        """``text`` says what is wrong if it does not hold."""
        if not held:
            self.breaches.append(text)

    def none(self, found: Iterable[object], text: str) -> None:
        """There must be none of these."""
        each = list(found)
        shown = ", ".join(map(str, each[:SHOWN])) + (" …" if len(each) > SHOWN else "")
        self.expect(not each, f"{len(each):,} {text}: {shown}")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        lines = [head, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for line in lines:
            first, *rest = (
                text.ljust(width) if not column else text.rjust(width)
                for column, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            self.say("  ".join([first, *rest]).rstrip())

    def agrees(self, at: Installation) -> None:
        """``manage.py ledger_check`` has the last word."""
        try:
            said = at.manage("ledger_check")
            self.say(f"ledger_check: {(said.strip().splitlines() or ['nothing'])[-1]}")
        except Failed as error:
            self.breaches.append(f"ledger_check: {error}")

    def end(self) -> bool:
        """Say PASS, or what is wrong."""
        for breach in self.breaches:
            self.say(f"BREACH  {breach}")
        self.say("PASS" if not self.breaches else f"FAIL: {len(self.breaches)} breaches")
        return not self.breaches


def dollars(nano: int) -> str:
    return f"{nano / 1_000_000_000:,.9f}"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
