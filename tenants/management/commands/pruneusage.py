"""``manage.py pruneusage``: delete old usage rows, never their sums."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tenants.prune import Count, Plan, plan, prune


class Command(BaseCommand):
    help = "Delete usage rows that are older than a number of days. Reports stay as they are: they read sums."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, required=True, help="keep the rows of so many whole days, and today's")
        parser.add_argument("--dry-run", action="store_true", help="say what would go; delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = plan(options["days"], timezone.now())
        except ValueError as error:
            raise CommandError(f"--days: {error}") from None
        count = Count()
        for count in prune(made, dry=options["dry_run"]):  # noqa: B007  the last one is what is told
            pass
        self._tell(made, count, "would go" if options["dry_run"] else "deleted")

    def _tell(self, made: Plan, count: Count, what: str) -> None:
        self.stdout.write(f"{count.rows:,} rows from before {made.cutoff:%Y-%m-%d} UTC {what}.")
        if count.months:
            months = ", ".join(f"{month.first:%Y-%m}" for month in count.months)
            self.stdout.write(f"With whole months: {months}.")
        if count.budgets:
            self.stdout.write(f"{count.budgets:,} older rows stay, for these budgets' periods have not ended:")
            for running in made.running:
                self.stdout.write(f"  {running.tenant}: {running.budget}, since {running.since:%Y-%m-%d %H:%M} UTC")
        if count.corrections:
            self.stdout.write(f"{count.corrections:,} older rows stay, for what corrects them, or they correct, stays.")
