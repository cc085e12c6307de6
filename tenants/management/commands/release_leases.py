"""``manage.py release_leases``: free what a lost host's worker holds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from tenants import lease_store
from tenants.lease_admin import held_by, state_of
from tenants.lease_rows import LeaseOwner

DEFAULT_BY = "release_leases"


class Command(BaseCommand):
    help = "Free what a worker holds of budgets and limits. Only when its host is lost for good: what it spent and has not told comes on top, should it ever tell."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("owner", help="its name, as the admin's page of workers that hold money has it")
        parser.add_argument("--by", default=DEFAULT_BY, help="who says so (release_leases)")
        parser.add_argument("--force", action="store_true", help="even if it was seen in the last five minutes")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = LeaseOwner.objects.filter(pk=options["owner"]).first()
        if owner is None:
            raise CommandError(f"There is no worker {options['owner']}.")
        if state_of(owner) == "at work" and not options["force"]:
            raise CommandError(
                f"{owner} was seen at {owner.seen_at:%Y-%m-%d %H:%M:%S} UTC: it may be at work. Say --force if its host is lost all the same."
            )
        rows = held_by(owner.name)
        lease_store.release(connection, owner.name, timezone.now(), options["by"][:150])
        for row in rows:
            budget = row["budget"]
            name = f"{budget.tenant.name}: {budget}" if budget else row["window"].counter
            self.stdout.write(f"freed {row['left']} of {name}")
        self.stdout.write(f"{owner} is released.")
