"""What an installation needs before its first request: somebody who may enter, a tenant with a key, a provider to call.

Everything is made once and then left alone: whatever an operator changed or deleted stays as they left it. Several
processes may come at once; one lock lets them through one by one.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from providers.models import Provider
from routing import fingerprints
from routing.models import Defaults, Fingerprint, Route, Target
from routing.vendors import Vendor
from tenants import keys
from tenants.models import ApiKey, Tenant

LOCK = 0x67617465776179  # "gateway": any number that nobody else uses
DEFAULT = "default"
DEMO = Vendor("demo")
DEMO_MODELS = ("demo", "demo-embedding")
#: Which models the providers of the environment answer for.
ROUTES = {
    "demo": DEMO_MODELS,
    "openai": ("gpt-*", "o*", "text-embedding-*", "dall-e-*"),
    "anthropic": ("claude-*",),
    "gemini": ("gemini-*",),
}


@dataclass(slots=True)
class Made:
    """What this run made. The secrets are in the clear here and nowhere else: they are shown once."""

    username: str = ""
    password: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    providers: list[Provider] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@contextmanager
def exclusive() -> Iterator[None]:
    """One process at a time, over all that share the database. Outlasts transactions, so that migrations fit in it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        return
    # An SQLite file is on one machine; a transaction that spans a migration is not to be had.
    with (Path(settings.GATEWAY_DATA_DIR) / "bootstrap.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bootstrap(vendors: Sequence[Vendor] = (), default: str = "", anonymous: bool = False) -> Made:
    """Make what is missing. To be called under ``exclusive``."""
    made = Made()
    with transaction.atomic():
        fingerprints.verify()
        _operator(made)
        _tenant(made, anonymous)
        for vendor in vendors:
            _provider(made, vendor)
        if not Provider.objects.exists():
            _provider(made, DEMO)
        _defaults(made, default)
    return made


def _operator(made: Made) -> None:
    if get_user_model()._meta.label != "auth.User":
        made.notes.append(
            "This project has users of its own kind: make an administrator with manage.py createsuperuser."
        )
        return
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return
    taken = users.filter(username="admin").exists()
    made.username = f"admin-{secrets.token_hex(2)}" if taken else "admin"
    made.password = secrets.token_urlsafe(15)
    users.create_superuser(username=made.username, email="", password=made.password)


def _tenant(made: Made, anonymous: bool) -> None:
    if not Tenant.objects.exists():
        tenant = Tenant.objects.create(name=DEFAULT, title="Default")
        key = ApiKey(tenant=tenant, name=DEFAULT)
        made.key = key.issue()
        key.save()
    if not anonymous or Tenant.objects.filter(anonymous=True).exists():
        return
    marked = Tenant.objects.filter(name=DEFAULT).first()
    if marked is None:
        made.notes.append(
            "There is no tenant named default to count anonymous requests: mark another one in the admin."
        )
        return
    marked.anonymous = True
    marked.save()


def _provider(made: Made, vendor: Vendor) -> None:
    """Make the provider and its routes, unless that was done before."""
    if _is_ours(vendor.api_key):
        made.notes.append(
            f"The environment's API key for {vendor.kind} is a key of this gateway, which must not call itself: no provider was made of it."
        )
        return
    name = f"provider:{vendor.kind}"
    digest = fingerprints.mark(name, vendor.api_key.encode())
    seen, first = Fingerprint.objects.get_or_create(name=name, defaults={"digest": digest})
    if not first and seen.digest != digest:
        made.notes.append(
            f"The environment's API key for {vendor.kind} is not the one that the provider was made with. The stored one stays in use; change it in the admin."
        )
    if not first or Provider.objects.filter(name=vendor.kind).exists():
        return
    provider = Provider(
        name=vendor.kind,
        kind=vendor.kind,
        base_url=vendor.base_url,
        first_byte_timeout=vendor.timeout,
        max_retries=vendor.max_retries,
    )
    try:
        provider.full_clean()
    except ValidationError as error:
        seen.delete()
        made.notes.append(f"No provider {vendor.kind} was made: {' '.join(error.messages)}")
        return
    provider.save()
    provider.set_api_key(vendor.api_key)
    made.providers.append(provider)
    for model in ROUTES.get(vendor.kind, ()):
        route, new = Route.objects.get_or_create(name=model)
        if new:
            Target.objects.create(route=route, provider=provider)


def _is_ours(api_key: str) -> bool:
    digests = [keys.digest(api_key, pepper).hex() for pepper in settings.GATEWAY_KEY_PEPPERS]
    return ApiKey.objects.filter(digest__in=digests).exists()


def _defaults(made: Made, default: str) -> None:
    """Where models go that no route names: to the demo model while there is nothing else, to the default provider from
    the moment there is one; never changed once it is anything else."""
    row = Defaults.objects.filter(pk=1).first() or Defaults()
    untouched = row.provider is None and row.model in ("", DEMO_MODELS[0])
    names = [provider.name for provider in made.providers]
    if not untouched or not names:
        return
    chosen = default if default in names else names[0]
    row.provider = (
        None if chosen == "demo" else next(provider for provider in made.providers if provider.name == chosen)
    )
    row.model = DEMO_MODELS[0] if chosen == "demo" else ""
    row.save()
