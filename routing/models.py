"""Which request goes where: routes and their targets, aliases, rewrites, defaults; and the revisions of it all."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from providers.models import Provider
from providers.presets import ALL_APIS
from providers.validators import PROTECTED_HEADERS
from routing.history import Fingerprint, Revision, RevisionCounter, Tombstone
from tenants.models import Tenant

__all__ = (
    "Alias",
    "Defaults",
    "Fingerprint",
    "Revision",
    "RevisionCounter",
    "Rewrite",
    "Route",
    "Target",
    "Tombstone",
)

MODEL_NAME = RegexValidator(
    r"^[^\s*\x00-\x1f\x7f<>\"'`\\]{0,254}[^\s\x00-\x1f\x7f<>\"'`\\]\Z",
    "A model name, or the start of one followed by *; no spaces, quotes or < >.",
)
HEADER_NAME = RegexValidator(r"^[A-Za-z0-9!#$%&'*+.^_|~-]+\Z", "Not a legal header name.")


def validate_fields(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValidationError("Give a list of field names.")


class RouteQuerySet(models.QuerySet["Route"]):
    def naming(self, model: str) -> RouteQuerySet:
        """Those that answer to ``model``: by that very name, or by a pattern that fits."""
        return self.filter(name__in=[model, *(f"{model[:length]}*" for length in range(len(model) + 1))])

    def dead(self) -> RouteQuerySet:
        """Enabled routes without a target that can be used."""
        usable = Target.objects.filter(route=models.OuterRef("pk"), enabled=True, provider__enabled=True)
        return self.filter(enabled=True).exclude(models.Exists(usable))


class Route(ExportModelOperationsMixin("route"), models.Model):  # type: ignore[misc]
    """A public model name, or a pattern ending in ``*``, and how it is answered. Its name is immutable."""

    name = models.CharField(
        "model",
        max_length=255,
        unique=True,
        validators=[MODEL_NAME],
        help_text="The model name that clients ask for, or a start of names followed by *, such as gpt-*. Cannot be changed later.",
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="What people read. Free text, may be changed at any time."
    )
    enabled = models.BooleanField(default=True, help_text="Off: as if the route did not exist.")
    reply_model = models.CharField(
        max_length=10,
        default="upstream",
        choices=[("upstream", "as the upstream says it"), ("asked", "as the client asked for it")],
        help_text="The model name that clients see in replies. With the upstream's own, replies pass byte for byte.",
    )
    allowed_fields = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_fields],
        help_text="Body fields that pick another model, provider or price (OpenRouter's models, provider, route ...) and that clients may send all the same. Empty: they are refused.",
    )
    loss = models.CharField(
        "on loss",
        max_length=10,
        blank=True,
        choices=[
            ("", "drop what is harmless, refuse the rest"),
            ("strict", "strict: refuse every loss"),
            ("lenient", "lenient: drop whatever the upstream cannot express"),
        ],
        help_text="What happens to parts of a request that the upstream's API cannot express. What is dropped is named in the x-gateway-dropped header.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    objects = RouteQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.pk and Route.objects.filter(pk=self.pk).exclude(name=self.name).exists():
            raise ValidationError(
                {
                    "name": "The name cannot be changed: usage rows, permissions and metrics refer to it. Add a route or an alias instead."
                }
            )


class Target(ExportModelOperationsMixin("target"), models.Model):  # type: ignore[misc]
    """One place where a route's requests can go."""

    route = models.ForeignKey(Route, models.CASCADE, related_name="targets", help_text="The route that it belongs to.")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="targets", help_text="Who is called.")
    model = models.CharField(
        "upstream model",
        max_length=255,
        blank=True,
        help_text="The provider's own name for the model. Empty: the name that the client asked for.",
    )
    api = models.CharField(
        "preferred API",
        max_length=20,
        blank=True,
        choices=[(api, api) for api in ALL_APIS],
        help_text="Call this API of the provider if it has several. Empty: the one that the client speaks.",
    )
    max_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Most output tokens to ask for where the client says nothing and the API demands a number (Anthropic's). Empty: the model's own maximum.",
    )
    weight = models.PositiveIntegerField(
        default=1, help_text="Its share among targets of equal priority. 0: only when the others fail."
    )
    priority = models.IntegerField(default=0, help_text="Lower is tried first; a higher number is a fallback.")
    enabled = models.BooleanField(default=True, help_text="Off: this target is skipped.")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("route", "priority", "id")
        constraints = [models.UniqueConstraint(fields=("route", "provider", "model"), name="target_once")]

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model or '(same)'}"

    def clean(self) -> None:
        if self.api and self.provider_id and self.api not in self.provider.api_names:
            raise ValidationError(
                {"api": f"{self.provider} does not serve it. It serves {', '.join(self.provider.api_names)}."}
            )


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
