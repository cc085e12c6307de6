"""What the commands of all proofs share: where the database is, what chances there are, and how a failure is told."""

from __future__ import annotations

from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.proofs.verdict import Verdict


class ProofCommand(BaseCommand):
    requires_system_checks = ()
    threads = 16

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--processes", type=int, default=4, help="workers of the gateway (4)")
        parser.add_argument("--threads", type=int, default=self.threads, help=f"clients at once ({self.threads})")
        parser.add_argument("--database", default="", metavar="URL", help="a PostgreSQL server; empty: SQLite")
        parser.add_argument("--seed", type=int, default=1, help="of all chances (1)")
        parser.add_argument("--keep", action="store_true", help="leave its directory where it is")

    def handle(self, **options: Any) -> None:
        verdict = Verdict(self.stdout.write)
        self.prove(verdict, options)
        if not verdict.end():
            raise CommandError("The proof has failed.")

    @abstractmethod
    def prove(self, verdict: Verdict, options: dict[str, Any]) -> None:
        """Write into ``verdict`` what has held and what has not."""
