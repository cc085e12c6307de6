"""``manage.py prices``: make the catalogue of prices, and say what an upgrade of it changes."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import price_files, price_rows
from tenants.price_changes import changed, lines
from tenants.price_compile import compile_to
from tenants.price_rows import Catalogue
from tenants.pricing import BadPrice


class Command(BaseCommand):
    help = "The catalogue of prices that is in force: what it holds, how it is made, what differs from another."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--compile", action="store_true", help="make it anew from the installed genai-prices")
        parser.add_argument(
            "--diff",
            nargs="*",
            metavar="FILE",
            help="say what changes from one compiled catalogue to another; without files, from the one before to this",
        )

    def handle(self, **options: Any) -> None:
        if options["compile"]:
            self._compile()
        if options["diff"] is not None:
            self._diff([Path(name) for name in options["diff"]])
        elif not options["compile"]:
            self._tell()

    def _compile(self) -> None:
        path = price_files.path()
        try:
            new = compile_to(path)
        except (OSError, ImportError) as error:
            raise CommandError(f"{path} cannot be made: {error}") from None
        self.stdout.write(f"{path}: {'made' if new else 'nothing new'}")

    def _tell(self) -> None:
        path = price_files.path()
        found = _read(path)
        models = sum(len(vendor.listings) for vendor in found.vendors)
        self.stdout.write(f"{path}: {found.source}, {len(found.vendors)} vendors, {models} models")
        for reason, count in price_rows.totals(found.unexpressed).items():
            self.stdout.write(f"  {count:5}  {reason}")

    def _diff(self, files: list[Path]) -> None:
        if not files:
            before = price_files.previous(price_files.path())
            if before is None:
                raise CommandError("There is no catalogue of before to compare with.")
            files = [before, price_files.path()]
        if len(files) != 2:
            raise CommandError("--diff: name two files, the older first, or none.")
        old, new = map(_read, files)
        changes = changed(old, new)
        for change in changes:
            self.stdout.write("\n".join(lines(change)))
        self.stdout.write(f"{len(changes)} changes from {old.source} to {new.source}")


def _read(path: Path) -> Catalogue:
    try:
        return price_rows.read(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except BadPrice as error:
        raise CommandError(f"{path}: {error}") from None
