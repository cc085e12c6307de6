"""``manage.py apply FILE.yaml``: makes providers, routes, tenants and keys what the file says."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from providers.models import Provider
from routing import apply, revision
from routing.apply_legacy import is_legacy, translate
from routing.apply_read import Map, Refused, read
from routing.models import Route

SHOWN = 200


class Command(BaseCommand):
    help = "Make providers, routes, tenants, keys, aliases, rewrites and defaults what a YAML file says. Doing it twice changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the YAML file; - reads standard input")
        parser.add_argument("--prune", action="store_true", help="delete what the lists of the file do not have")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name: str = options["file"]
        kept: list[Path] = []
        token = revision.actor.set(lambda: f"apply {Path(name).name}")
        try:
            document = self.document(name)
            report = apply.apply(
                document,
                prune=options["prune"],
                dry_run=options["dry_run"],
                keep=lambda report: kept.extend(self.keep(report)),
            )
        except BaseException as error:
            for path in kept:
                path.unlink()
            if isinstance(error, Refused):
                raise CommandError("\n".join([*_places(name, error), "Nothing was changed."])) from None
            raise
        finally:
            revision.actor.reset(token)
        self.say(report, options)
        if report.issued and not options["dry_run"]:
            self.hand_over(report, kept)

    def document(self, name: str) -> Map:
        document = read(_text(name))
        if not is_legacy(document):
            return document
        providers = set(Provider.objects.values_list("name", flat=True))
        document, ignored = translate(document, providers, set(Route.objects.values_list("name", flat=True)))
        if ignored:
            self.stderr.write(f"Ignored, for this gateway has them elsewhere or not at all: {', '.join(ignored)}")
        return document

    def say(self, report: apply.Report, options: dict[str, Any]) -> None:
        if options["verbosity"] == 0:
            return
        shown = report.lines if options["verbosity"] > 1 else report.lines[:SHOWN]
        for line in shown:
            self.stdout.write(line)
        if len(shown) < len(report.lines):
            self.stdout.write(f"… and {len(report.lines) - len(shown)} more lines; --verbosity 2 shows all")
        unchanged = ", ".join(f"{count} × {word}" for word, count in report.unchanged.items())
        self.stdout.write(
            f"{len(report.lines)} changes; unchanged: {unchanged or 'nothing'}"
            + (". Nothing was saved: dry run." if options["dry_run"] else "")
        )

    def keep(self, report: apply.Report) -> list[Path]:
        """Write the new keys to a file that only its owner reads, unless people are watching or PRINT_SECRETS=1."""
        if self.stdout.isatty() or os.environ.get("PRINT_SECRETS") == "1":
            return []
        path = Path(settings.GATEWAY_DATA_DIR) / f"keys-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.txt"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{label}: {plain}\n" for label, plain in report.issued)
        return [path]

    def hand_over(self, report: apply.Report, kept: list[Path]) -> None:
        for path in kept:
            self.stdout.write(f"The new keys stand in {path}, and nowhere else. Move them to where they belong.")
        if not kept:
            for label, plain in report.issued:
                self.stdout.write(f"{label}: {plain}")
            self.stdout.write("These keys are shown once.")


def _text(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Refused((content.count(b"\n", 0, error.start) + 1, "this is not UTF-8 text")) from None


def _places(name: str, refused: Refused) -> list[str]:
    return [f"{name}:{line}: {text}" if line else f"{name}: {text}" for line, text in refused.problems]
