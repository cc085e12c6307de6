"""``manage.py ledger_check``: prove that rows, sums and budgets agree."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from tenants.compared import EARLIEST, LATEST, Compared, Span
from tenants.ledger_check import check
from tenants.reports import whole_hours


class Command(BaseCommand):
    help = (
        "Prove, in one snapshot, that usage rows, their sums and the budgets' windows agree. Fails where they differ."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="start", type=_moment, default=EARLIEST, help="from this hour on (UTC)")
        parser.add_argument("--to", dest="end", type=_moment, default=LATEST, help="until this hour (UTC)")
        parser.add_argument(
            "--fix-nothing", action="store_true", help="as always: what differs is told and never changed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        span = Span(*whole_hours(options["start"], options["end"]))
        if span.start >= span.end:
            raise CommandError("--to: later than --from, please.")
        self.stdout.write(f"{'compared':<26}{'sums':>12}{'differ':>10}")
        found = []
        for each in check(span):
            self._tell(each)
            found.append(each)
        differ = [each for each in found if each.differ]
        if differ:
            raise CommandError(f"These differ: {'; '.join(each.title for each in differ)}.")
        self.stdout.write("Everything agrees.")

    def _tell(self, each: Compared) -> None:
        self.stdout.write(f"{each.title:<26}{each.sums:>12,}{each.differ:>10,}")
        for text in each.shown:
            self.stdout.write(f"  differs  {text}")
        if each.differ > len(each.shown):
            self.stdout.write(f"  and {each.differ - len(each.shown):,} more")
        for text in each.notes:
            self.stdout.write(f"  note     {text}")


def _moment(text: str) -> datetime:
    """A date or a time, in UTC unless it says otherwise."""
    try:
        found = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T15:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
