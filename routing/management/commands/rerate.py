"""``manage.py rerate``: correct what was charged by another price than holds now."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from routing.load_prices import price_of
from tenants.figures import dollars
from tenants.rerate import Outcome, rerate


def moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-03-01 or 2026-03-01T12:00.") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not 1970 < found.year < 9999:
        raise ArgumentTypeError(f"{text!r} is in no year that has usage.")
    return found


class Command(BaseCommand):
    help = (
        "Correct charges by the prices of now, where these are others than the charges were made by. Nothing is changed: a"
        " correction is a row of its own, booked now. A second run adds nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="start", type=moment, required=True, help="requests from then on (UTC)")
        parser.add_argument("--to", dest="end", type=moment, required=True, help="until before this moment (UTC)")
        parser.add_argument("--model", default="", help="only of this model, by the provider's name of it")
        parser.add_argument("--provider", default="", help="only at this provider, by its name")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be corrected")

    def handle(self, **options: Any) -> None:
        if options["end"] <= options["start"]:
            raise CommandError("--to: it is not after --from.")
        if options["end"] - options["start"] > timedelta(days=3660):
            raise CommandError("--to: more than ten years after --from.")
        filters = {"upstream_model": options["model"], "provider": options["provider"]}
        try:
            found = rerate(
                options["start"],
                options["end"],
                price_of(),
                dry_run=options["dry_run"],
                **{name: value for name, value in filters.items() if value},
            )
        except DatabaseError as error:
            raise CommandError(f"The database does not take it: {error} What is done stays; run it again.") from None
        self._tell(found, options["dry_run"])
        if found.refused:
            raise CommandError(f"{found.refused} corrections could not be stored: see the log.")

    def _tell(self, found: Outcome, dry_run: bool) -> None:
        for (provider, model), sums in sorted(found.wrong.items()):
            self.stdout.write(
                f"{provider} {model}: {sums.requests} requests, {dollars(sums.before)} -> {dollars(sums.after)}"
            )
        wrong = found.wrong.values()
        difference = dollars(sum(sums.after - sums.before for sums in wrong))
        count = sum(sums.requests for sums in wrong)
        verb = "would be corrected" if dry_run else "corrected"
        self.stdout.write(f"{count} of {found.looked} requests {verb} by {difference}")
        for number, why in (
            (found.without, "have no price: left as they are"),
            (found.interrupted, "were interrupted and charged by their tenant's policy: left as they are"),
            (found.meant, "have counts that cannot be meant: left as they are"),
        ):
            if number:
                self.stdout.write(f"{number} {why}")
