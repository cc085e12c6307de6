"""``manage.py prove_ledger``: let a gateway meet with every misfortune, and see whether a row was lost."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from routing.proofs.command import ProofCommand
from routing.proofs.ledger import Scale, prove
from routing.proofs.misfortunes import MISFORTUNES
from routing.proofs.verdict import Verdict


class Command(ProofCommand):
    help = "Prove that the ledger loses nothing and counts nothing twice, on an installation of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--kills", type=int, default=200, help="processes to kill (200)")
        parser.add_argument("--away", type=float, default=60.0, metavar="SECONDS", help="without a database (60)")
        parser.add_argument(
            "--cases", nargs="+", choices=MISFORTUNES, default=list(MISFORTUNES), help="what is to happen (all)"
        )
        parser.add_argument("--own-postgres", action="store_true", help="start a PostgreSQL that can be stopped")

    def prove(self, verdict: Verdict, options: dict[str, Any]) -> None:
        scale = Scale(options["kills"], options["processes"], options["threads"], options["seed"], options["away"])
        own, keep = options["own_postgres"], options["keep"]
        prove(scale, options["cases"], verdict, options["database"], own=own, keep=keep)
