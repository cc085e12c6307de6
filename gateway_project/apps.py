"""Django app of the wiring itself: its system checks, and the table of the shared cache."""

from typing import Any

from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db.models.signals import post_migrate


class GatewayConfig(AppConfig):
    name = "gateway_project"

    def ready(self) -> None:
        from gateway_project import checks

        checks.connect()
        # Once per migrate; it is announced only for apps that have models.
        post_migrate.connect(make_cache_table, apps.get_app_config("tenants"))


def make_cache_table(using: str, **_: Any) -> None:
    call_command("createcachetable", database=using, verbosity=0)
