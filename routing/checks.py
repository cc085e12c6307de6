"""System checks of the apps themselves, in whichever project they are: settings and rows that will not do what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError
from django.urls import NoReverseMatch

from routing import defaults

HOOKS = (
    "GATEWAY_HOOKS lists module:Class, and installed packages name theirs in the entry-point group llm_gateway.hooks."
)
LEAST_PEPPER = 16


def connect() -> None:
    for check in (hooks, secrets, theme):
        register(check)
    register(rows, Tags.database)
    register(prices, Tags.database)
    register(derived, deploy=True)


def hooks(**_: Any) -> list[CheckMessage]:
    from routing.hook_choice import problems

    return [Error(f"No hook can be made of {problem}.", hint=HOOKS, id="gateway.E002") for problem in problems()]


def secrets(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    try:
        if not [Fernet(key) for key in settings.GATEWAY_ENCRYPTION_KEYS]:
            raise ValueError
    except (ValueError, TypeError):
        hint = "Each is made by cryptography.fernet.Fernet.generate_key()."
        found.append(Error("GATEWAY_ENCRYPTION_KEYS is no list of Fernet keys.", hint=hint, id="gateway.E003"))
    peppers = settings.GATEWAY_KEY_PEPPERS
    if not peppers or not all(isinstance(each, bytes) and len(each) >= LEAST_PEPPER for each in peppers):
        hint = f"Each is a text of at least {LEAST_PEPPER} characters that nobody can guess."
        found.append(Error("GATEWAY_KEY_PEPPERS is no list of secrets.", hint=hint, id="gateway.E004"))
    return found


def theme(**_: Any) -> list[CheckMessage]:
    """The pages of the admin are unfold's, whose templates must be found before Django's."""
    names = [config.name for config in apps.get_app_configs()]
    if "django.contrib.admin" not in names:
        return []
    if "unfold" in names and names.index("unfold") < names.index("django.contrib.admin"):
        return []
    message = "The gateway's admin needs unfold in INSTALLED_APPS, before django.contrib.admin."
    return [Error(message, hint='INSTALLED_APPS = ["unfold", *INSTALLED_APPS]', id="gateway.E005")]


def derived(**_: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"{name} is made from SECRET_KEY: with another one, what was written under it can no longer be read.",
            hint="Set it, or keep the old SECRET_KEY in SECRET_KEY_FALLBACKS for ever.",
            id="gateway.W006",
        )
        for name in defaults.made_from_secret_key
    ]


def prices(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Beside the checks of rows: what only migrates needs no prices."""
    from tenants import price_files

    problem = price_files.problem() if databases else ""
    if not problem:
        return []
    text = f"There is no catalogue of prices, so only models with prices of your own have any: {problem}."
    return [Warning(text, hint="manage.py prices --compile makes it.", id="gateway.W011")]


def rows(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Only where a database was asked for: Django's checks do not touch one otherwise."""
    from routing.warnings import warnings

    if not databases or "django.contrib.admin" not in {config.name for config in apps.get_app_configs()}:
        return []
    try:
        return [Warning(warning.text, id="gateway.W010") for warning in warnings()]
    except (DatabaseError, NoReverseMatch):  # not migrated yet, or away; or its admin is nowhere
        return []
