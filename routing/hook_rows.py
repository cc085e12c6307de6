"""Hooks that the operator has chosen: which class, with which options, for whose requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.core.exceptions import ValidationError
from django.db import models
from django_prometheus.models import ExportModelOperationsMixin

from providers import secrets
from providers.validators import validate_seconds
from routing.hook_choice import classes, secret_options
from routing.hook_classes import phases
from routing.hook_options import OptionError, options_class, read_options
from routing.route_rows import Route
from tenants.models import Tenant

#: Stands for a secret that is stored. An edit that leaves it keeps the secret.
KEPT = "********"
Options = dict[str, Any]


class Hook(ExportModelOperationsMixin("hook"), models.Model):  # type: ignore[misc]
    """One hook. Its secret options are encrypted in ``sealed``; in ``options`` ``KEPT`` stands for each."""

    name = models.CharField(
        "class",
        max_length=200,
        help_text="What it does: one that is shipped, or that GATEWAY_HOOKS or a package names.",
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="What people read. Free text, may be changed at any time."
    )
    options = models.JSONField(
        default=dict, blank=True, help_text="Its settings, as a JSON object. Absent ones have their defaults."
    )
    sealed = models.TextField(blank=True, editable=False)
    order = models.IntegerField(default=0, help_text="Lower runs first, at every phase.")
    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="hooks",
        help_text="For requests of this tenant only. Empty: of all.",
    )
    route = models.ForeignKey(
        Route,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="hooks",
        help_text="For requests of this route only. Empty: of every route.",
    )
    on_failure = models.CharField(
        max_length=10,
        blank=True,
        choices=[
            ("", "as the class says"),
            ("open", "open: the request goes on without it"),
            ("closed", "closed: the request is refused"),
        ],
        help_text="What happens to a request where it fails or takes too long.",
    )
    seconds = models.FloatField(
        "time limit",
        null=True,
        blank=True,
        validators=[validate_seconds],
        help_text="Seconds that it has at each phase. Empty: what the class says, else 5.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if it did not exist.")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("order", "id")

    def __str__(self) -> str:
        return self.title or self.name

    def clean(self) -> None:
        hook = classes().get(self.name)
        if hook is None:
            raise ValidationError({"name": f"There is no hook {self.name!r}. There are {', '.join(classes())}."})
        if phases(hook) == ["authenticate"] and (self.tenant_id or self.route_id):
            message = "It says whose a request is, before any tenant or route is known: it can only be for all."
            raise ValidationError({"tenant" if self.tenant_id else "route": message})
        try:
            _check_json(self.options)
            self._check_kept(secret_options(hook))
            read_options(options_class(hook), opened(self.options, self.sealed))
        except OptionError as error:
            raise ValidationError({"options": f"{error}."}) from None
        self._seal(secret_options(hook))

    def save(self, *args: Any, **kwargs: Any) -> None:
        if (hook := classes().get(self.name)) is not None:
            self._seal(secret_options(hook))
        super().save(*args, **kwargs)

    @property
    def fault(self) -> str:
        """Why it cannot be made, as it is saved; "" where it can."""
        hook = classes().get(self.name)
        if hook is None:
            return f"there is no class {self.name} here"
        try:
            read_options(options_class(hook), opened(self.options, self.sealed))
        except ValueError as error:  # an OptionError too
            return str(error)
        return ""

    def _check_kept(self, names: frozenset[str]) -> None:
        """Every secret that the options keep must be there, and must not follow to another class or address.

        Raises OptionError."""
        kept = [name for name in sorted(names) if self.options.get(name) == KEPT]
        if not kept:
            return
        try:
            there = unsealed(self.sealed)
        except ValueError:
            raise OptionError(kept[0], "what is stored can be opened by no encryption key: give it anew") from None
        if missing := [name for name in kept if name not in there]:
            raise OptionError(missing[0], f"nothing is stored that {KEPT} could stand for")
        before = Hook.objects.filter(pk=self.pk).first() if self.pk else None
        moved = before is not None and (
            before.name != self.name or not set(_origins(self.options)) <= set(_origins(before.options))
        )
        if moved:
            raise OptionError(kept[0], "give it anew: what is stored belongs to the class and the address before")

    def _seal(self, names: frozenset[str]) -> None:
        """Put the secrets among the options where nobody reads them."""
        if not isinstance(self.options, dict):
            return
        try:
            there = unsealed(self.sealed)
        except ValueError:
            there = {}
        given = {name: self.options[name] for name in names if self.options.get(name)}
        plain = {name: there.get(name, KEPT) if value == KEPT else value for name, value in given.items()}
        if plain != there:
            self.sealed = secrets.encrypt(orjson.dumps(plain).decode()) if plain else ""
        self.options = self.options | dict.fromkeys(plain, KEPT)


def _check_json(options: Any) -> None:
    if not isinstance(options, dict):
        raise OptionError("", "The options must be an object")
    try:
        same = orjson.loads(orjson.dumps(options)) == options
    except TypeError:
        same = False
    if not same:
        raise OptionError("", "The options hold a value that JSON has not")


def unsealed(sealed: str) -> Options:
    """The secret options. Raises ValueError, which names none of them."""
    found: Options = orjson.loads(secrets.decrypt(sealed)) if sealed else {}
    return found


def opened(options: Options, sealed: str) -> Options:
    """``options`` with their secrets. Raises ValueError."""
    there = unsealed(sealed) if KEPT in options.values() else {}
    return {name: there.get(name, value) if value == KEPT else value for name, value in options.items()}


def _origins(value: Any) -> Iterator[tuple[str, str, int | None]]:
    """Of every URL in the options its scheme, host and port: a secret belongs to these."""
    if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
        try:
            parts = urlsplit(value)
            yield parts.scheme, parts.hostname or "", parts.port
        except ValueError:
            yield value, "", None
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _origins(inner)
