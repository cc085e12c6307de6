"""Routes and their targets: which models there are for clients, and where their requests can go."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from providers.chat import BadRequest
from providers.models import Provider
from providers.presets import api_choices
from providers.validators import validate_seconds
from routing.conditions import read_conditions
from routing.declared import MODEL, MODELS, check_pause
from routing.strategies import check_sticky

MODEL_NAME = RegexValidator(MODEL.pattern, MODELS)
STRATEGY_CHOICES = [
    ("priority", "priority: by weight among equals"),
    ("weighted", "weighted: the same by another name"),
    ("round_robin", "round robin: in turn"),
    ("least_in_flight", "least in flight: the fewest requests under way"),
    ("lowest_latency", "lowest latency: the quickest to its first byte"),
    ("sticky", "sticky: the same one for the same client or conversation"),
    ("cheapest", "cheapest: what the request will cost least at, as far as prices are known"),
]


def validate_pause(value: float) -> None:
    try:
        check_pause(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def validate_sticky(value: str) -> None:
    try:
        check_sticky(value)
    except BadRequest as error:
        raise ValidationError(f"It {error.message}.") from None


def validate_conditions(value: Any) -> None:
    try:
        read_conditions(value)
    except BadRequest as error:
        raise ValidationError(f"{error.field} {error.message}.") from None


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

    def without_share(self) -> RouteQuerySet:
        """Enabled routes whose usable targets all stand in for others."""
        usable = Target.objects.filter(route=models.OuterRef("pk"), enabled=True, provider__enabled=True)
        normal = usable.filter(fallback_for="")
        return self.filter(models.Exists(usable), enabled=True).exclude(models.Exists(normal))


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
    strategy = models.CharField(
        max_length=20,
        default="priority",
        choices=STRATEGY_CHOICES,
        help_text="Which of the targets of equal priority is tried first. The others stand in when it fails, then those of the next priority.",
    )
    sticky_by = models.CharField(
        max_length=100,
        blank=True,
        validators=[validate_sticky],
        help_text="Strategy sticky: what stays at one target. key, user, conversation (its first words, so that providers' prompt caches hit) or header:NAME. Empty: conversation.",
    )
    deadline = models.FloatField(
        default=540,
        validators=[validate_seconds],
        help_text="Seconds for waiting in queues and for all attempts together, up to the first byte. SDKs give up after 600.",
    )
    connect_timeout = models.FloatField(
        null=True, blank=True, validators=[validate_seconds], help_text="Seconds. Empty: the provider's own."
    )
    first_byte_timeout = models.FloatField(
        null=True, blank=True, validators=[validate_seconds], help_text="Seconds. Empty: the provider's own."
    )
    idle_timeout = models.FloatField(
        null=True, blank=True, validators=[validate_seconds], help_text="Seconds. Empty: the provider's own."
    )
    keep_alive = models.FloatField(
        default=0,
        validators=[validate_pause],
        help_text="Seconds of silence after which a stream's client gets an SSE comment (Anthropic: a ping), so that no proxy between hangs up. The first one says 200: from then on no other target can stand in. 0: never, streams pass byte for byte.",
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
        choices=api_choices,
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
    conditions = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_conditions],
        help_text='Which requests it takes, as {"tools": false, "max_input_tokens": 8000, "tags": ["batch"], "tenants": ["acme"], "headers": {"x-region": "eu-*"}, "times": [{"days": ["sat", "sun"]}]}. All must hold. Empty: all requests.',
    )
    fallback_for = models.CharField(
        "stands in for",
        max_length=20,
        blank=True,
        choices=[
            ("", "its share of all requests"),
            ("context_length", "requests too long for another target"),
            ("content_policy", "requests refused for their content"),
            ("both", "either of these"),
        ],
        help_text="A target that is called only where another has refused a request for one of these reasons.",
    )
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
