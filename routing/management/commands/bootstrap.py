"""``manage.py bootstrap``: make what a new installation lacks, and tell its secrets once."""

from __future__ import annotations

import asyncio
import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from providers.catalogue import refresh
from providers.models import Provider
from routing import first_request, revision
from routing.bootstrap import Made, bootstrap, exclusive
from tenants import price_files

CATALOGUE_SECONDS = 15


class Command(BaseCommand):
    help = "Make what a new installation lacks: an administrator, a tenant with a key, providers and routes. Changes nothing that exists."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--migrate", action="store_true", help="bring the database up to date first, under the same lock"
        )
        parser.add_argument(
            "--anonymous", action="store_true", help="let requests without a key count as the tenant default"
        )
        parser.add_argument("--json", action="store_true", help="say what was made as JSON")

    def handle(self, **options: Any) -> None:
        if options["anonymous"] and not settings.GATEWAY_ALLOW_ANONYMOUS:
            raise CommandError(
                f"{settings.GATEWAY_ADDRESS.url} is not for this machine alone: anonymous requests need GATEWAY_ALLOW_ANONYMOUS=1 there."
            )
        token = revision.actor.set(lambda: "bootstrap")
        try:
            with exclusive():
                if options["migrate"]:
                    call_command("migrate", interactive=False, verbosity=0)
                prices = price_files.ensure()
                made = bootstrap(settings.GATEWAY_VENDORS, settings.GATEWAY_DEFAULT_VENDOR, options["anonymous"])
            if prices:
                made.notes.append(f"The catalogue of prices cannot be made: {prices}")
            asyncio.run(_read_models(made.providers))
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        finally:
            revision.actor.reset(token)
        self._tell(made, options["json"])

    def _tell(self, made: Made, as_json: bool) -> None:
        for note in made.notes:
            self.stderr.write(self.style.WARNING(note))
        found = first_request.report(made, settings.GATEWAY_ADDRESS.url)
        secret = "password" in found or "key" in found
        if secret and not (self.stdout.isatty() or os.environ.get("PRINT_SECRETS") == "1"):
            path = settings.GATEWAY_DATA_DIR / ("first-start.json" if as_json else "first-start.txt")
            _append(path, json.dumps(found) if as_json else first_request.text(found) + "\n")
            found = {"admin_url": found["admin_url"], "providers": found["providers"], "secrets_file": str(path)}
            text = f"The admin's password and the first API key are in {path}"
        else:
            text = (
                f"{first_request.text(found)}\n\nThis is shown once. A forgotten password: manage.py changepassword"
                if secret
                else ""
            )
        if as_json:
            self.stdout.write(json.dumps(found))
        elif text:
            self.stdout.write(f"\n{text}\n")


def _append(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(text + "\n")


async def _read_models(providers: list[Provider]) -> None:
    """Ask the new providers what models they have. One that does not answer is asked again later, by the gateway."""
    asked = [refresh(provider) for provider in providers if provider.kind != "demo"]
    try:
        async with asyncio.timeout(CATALOGUE_SECONDS):
            await asyncio.gather(*asked, return_exceptions=True)
    except TimeoutError:
        pass
