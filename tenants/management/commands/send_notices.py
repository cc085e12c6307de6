"""``manage.py send_notices``: send what budgets warn of and is due."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from tenants import notices


class Command(BaseCommand):
    help = "Send the warnings of budgets that are due: e-mails and webhooks. `serve` does so by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, default=1000, help="how many at most (1000)")

    def handle(self, *args: Any, **options: Any) -> None:
        tried = 0
        while tried < options["limit"] and (batch := notices.send_due(limit=min(20, options["limit"] - tried))):
            tried += batch
        self.stdout.write(f"{tried} warnings tried.")
