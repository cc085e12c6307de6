"""``manage.py prove_budgets``: kill a gateway again and again, and see whether a budget was ever passed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from routing.proofs.budgets import Scale, prove
from routing.proofs.command import ProofCommand
from routing.proofs.verdict import Verdict


class Command(ProofCommand):
    help = "Prove that budgets hold to the nano-dollar, on an installation of its own that is taken away afterwards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--requests", type=int, default=20_000, help="to ask (20000)")
        parser.add_argument("--kill", type=int, default=20, help="processes to kill meanwhile (20)")

    def prove(self, verdict: Verdict, options: dict[str, Any]) -> None:
        scale = Scale(options["processes"], options["threads"], options["requests"], options["kill"], options["seed"])
        prove(scale, verdict, options["database"], keep=options["keep"])
