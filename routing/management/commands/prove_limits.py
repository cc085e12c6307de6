"""``manage.py prove_limits``: press against limits from all sides, and see whether one was ever passed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from routing.proofs.command import ProofCommand
from routing.proofs.limits import Scale, prove
from routing.proofs.verdict import Verdict


class Command(ProofCommand):
    help = "Prove that limits hold over many workers together, on an installation of its own."
    threads = 32

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--seconds", type=float, default=60.0, help="of load (60)")

    def prove(self, verdict: Verdict, options: dict[str, Any]) -> None:
        scale = Scale(options["seconds"], options["processes"], options["threads"], options["seed"])
        prove(scale, verdict, options["database"], keep=options["keep"])
