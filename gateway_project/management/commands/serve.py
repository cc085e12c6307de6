"""``manage.py serve``: check, then serve, until a signal ends it."""

from __future__ import annotations

import os
import socket
from argparse import ArgumentParser
from dataclasses import replace
from logging.config import dictConfig
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from gateway_project import drain_process
from gateway_project.logs import logging_config
from gateway_project.server import listener
from routing import fingerprints
from tenants import price_files

MOST_WORKERS = 64


class Command(BaseCommand):
    help = "Serve clients and the admin until SIGTERM or Ctrl-C; then drain: streams finish, what is to be written is written."
    requires_system_checks = ()  # run below, once the options are known

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", help="address to listen on (SERVER_HOST, 127.0.0.1)")
        parser.add_argument("--port", type=int, help="port to listen on (SERVER_PORT, 8080)")
        parser.add_argument("--listen", metavar="HOST:PORT", help="both in one")
        parser.add_argument("--workers", type=int, default=1, help="processes to serve with (1; uvicorn only)")
        parser.add_argument(
            "--server", choices=("uvicorn", "daphne"), default="uvicorn", help="server to run (uvicorn)"
        )
        parser.add_argument("--config", metavar="FILE", help="apply this file first, as `manage.py apply` does")
        parser.add_argument("--env-file", metavar="FILE", help="read the environment from this file instead of .env")
        parser.add_argument("--verbose", action="store_true", help="log everything (LLM_GATEWAY_LOG_LEVEL=debug)")

    def handle(self, **options: Any) -> None:
        _override(options)
        try:
            self._verify(options)
        except (ImproperlyConfigured, DatabaseError) as error:
            raise CommandError(str(error)) from None
        if options["config"]:
            call_command("apply", options["config"], stdout=self.stderr)
        price_files.ensure()  # the check says where that failed
        self.check(databases=["default"])
        bound = _listen()
        connections.close_all()
        self._announce(bound, options)
        with drain_process.running():
            _run(bound, options["server"], options["workers"])

    def _verify(self, options: dict[str, Any]) -> None:
        if not 1 <= options["workers"] <= MOST_WORKERS:
            raise CommandError(f"--workers: not a number from 1 to {MOST_WORKERS}.")
        if options["server"] == "daphne" and options["workers"] > 1:
            raise CommandError("--workers: Daphne serves with one process only.")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not up to date. Run:  python manage.py migrate")
        fingerprints.verify()

    def _announce(self, bound: socket.socket, options: dict[str, Any]) -> None:
        address = replace(settings.GATEWAY_ADDRESS, port=bound.getsockname()[1])
        count = f", {options['workers']} workers" if options["workers"] > 1 else ""
        self.stderr.write(
            f"Serving on {replace(address, public_url='').url} ({options['server']}{count}). Admin: {address.url}/admin/",
            ending="\n",
        )


def _override(options: dict[str, Any]) -> None:
    """Put the options over the settings; and into the environment, of which workers make theirs."""
    host, port = options["host"], options["port"]
    if options["listen"]:
        host, _, text = options["listen"].rpartition(":")
        if not text.isdecimal():
            raise CommandError(f"--listen: {options['listen']!r} is not HOST:PORT.")
        host, port = host.strip("[]") or "0.0.0.0", int(text)
    address = settings.GATEWAY_ADDRESS
    address = replace(address, host=address.host if host is None else host, port=address.port if port is None else port)
    settings.GATEWAY_ADDRESS = address
    settings.GATEWAY_ALLOW_ANONYMOUS = settings.GATEWAY_ANONYMOUS_ANYWHERE or address.private
    settings.GATEWAY_SERVER = options["server"]
    for name, value in address.django().items():
        setattr(settings, name, value)
    os.environ |= {"SERVER_HOST": address.host, "SERVER_PORT": str(address.port)}
    if options["verbose"]:
        _verbose()


def _verbose() -> None:
    os.environ["LLM_GATEWAY_LOG_LEVEL"] = "debug"
    settings.GATEWAY_LOG_LEVEL = "DEBUG"
    dictConfig(logging_config("DEBUG"))


def _listen() -> socket.socket:
    address = settings.GATEWAY_ADDRESS
    try:
        return listener(address.host, address.port)
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"Cannot listen on {address.host}:{address.port}: {getattr(error, 'strerror', error)}."
        ) from None


def _run(bound: socket.socket, server: str, workers: int) -> None:
    # Imported only now: each brings an event loop of its own.
    if server == "daphne":
        from gateway_project import daphne_runner

        daphne_runner.run(bound)
    elif workers > 1:
        from gateway_project import workers as processes

        processes.run(bound, workers)
    else:
        from gateway_project import server as single

        single.run(bound)
