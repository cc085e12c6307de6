"""Which request goes where: routes and their targets, aliases, rewrites, defaults; and the revisions of it all."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django_prometheus.models import ExportModelOperationsMixin

from providers.models import Provider
from providers.validators import PROTECTED_HEADERS
from routing.history import Fingerprint, Revision, RevisionCounter, Tombstone
from routing.hook_rows import Hook
from routing.route_rows import MODEL_NAME, Route, Target
from routing.route_rows import validate_fields as validate_fields
from tenants.models import Tenant

__all__ = (
    "Alias",
    "Defaults",
    "Fingerprint",
    "Hook",
    "Revision",
    "RevisionCounter",
    "Rewrite",
    "Route",
    "Target",
    "Tombstone",
)

HEADER_NAME = RegexValidator(r"^[A-Za-z0-9!#$%&'*+.^_|~-]+\Z", "Not a legal header name.")


class Alias(ExportModelOperationsMixin("alias"), models.Model):  # type: ignore[misc]
    """Another name for a model name, looked up before routes."""

    name = models.CharField(max_length=255, validators=[MODEL_NAME], help_text="The name that clients ask for.")
    model = models.CharField(
        max_length=255,
        validators=[MODEL_NAME],
        help_text="The name that is used instead; it is then looked up among the routes.",
    )
    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="aliases",
        help_text="For this tenant only. Empty: for all.",
    )
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=("name", "tenant"),
                name="alias_once",
                violation_error_message="This tenant has that alias already.",
            ),
            models.UniqueConstraint(
                fields=("name",),
                condition=models.Q(tenant=None),
                name="alias_once_for_all",
                violation_error_message="That alias exists already for all tenants.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} → {self.model}"

    def clean(self) -> None:
        if "*" in self.name or "*" in self.model:
            raise ValidationError("An alias maps one name to one name: no * in either.")
        if self.name == self.model:
            raise ValidationError("An alias of itself changes nothing.")


class Rewrite(ExportModelOperationsMixin("rewrite"), models.Model):  # type: ignore[misc]
    """An edit of one body field or header, made after the target is chosen."""

    position = models.IntegerField(default=0, help_text="Lower is applied first.")
    route = models.ForeignKey(
        Route,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rewrites",
        help_text="Only for requests of this route. Empty: of every route.",
    )
    provider = models.ForeignKey(
        Provider,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="rewrites",
        help_text="Only for requests to this provider. Empty: to every provider.",
    )
    place = models.CharField(
        max_length=10,
        choices=[("body", "body field"), ("header", "header")],
        help_text="What it edits: a top-level field of the JSON body, or a request header.",
    )
    action = models.CharField(
        max_length=10,
        choices=[("set", "set"), ("default", "set if absent"), ("remove", "remove")],
        help_text="What it does.",
    )
    name = models.CharField(max_length=100, help_text="Name of the field or header.")
    value = models.JSONField(
        null=True, blank=True, help_text="The JSON value to write; text in quotes for a header. Not used by remove."
    )
    enabled = models.BooleanField(default=True, help_text="Off: not applied.")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return f"{self.action} {self.place} {self.name}"

    def clean(self) -> None:
        if self.place == "header":
            HEADER_NAME(self.name)
            if self.name.lower() in PROTECTED_HEADERS or self.name.lower().startswith("x-gateway-"):
                raise ValidationError({"name": f"The header {self.name} cannot be rewritten."})
            if self.action != "remove" and (
                not isinstance(self.value, str) or any(ord(c) < 32 or ord(c) > 126 for c in self.value)
            ):
                raise ValidationError({"value": "A header's value is text of printable ASCII, in quotes."})
        elif self.name.casefold() in ("model", "stream"):
            raise ValidationError(
                {"name": f"{self.name} is decided by the route and the client; a target's model renames."}
            )


class Defaults(models.Model):
    """What happens to a model that no route names. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    provider = models.ForeignKey(
        Provider,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Unknown models go to this provider under the name that the client asked for.",
    )
    model = models.CharField(
        max_length=255,
        blank=True,
        help_text="Unknown models are answered by this model instead; it must be the name of a route. Comes before the default provider.",
    )
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        verbose_name = verbose_name_plural = "defaults"

    def __str__(self) -> str:
        return "Defaults"

    def clean(self) -> None:
        if self.model and not Route.objects.filter(enabled=True).naming(self.model).exists():
            raise ValidationError({"model": f"No enabled route answers to {self.model}."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.id = 1
        super().save(*args, **kwargs)
