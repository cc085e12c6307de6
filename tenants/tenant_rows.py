"""Who calls us: tenants, and the projects that they may divide themselves into."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants.level_rows import COUNT, SLUG, Level, validate_tags

MOST_DECLARED = 200


def validate_declared(value: object) -> None:
    """A list of tags, of which there may be more than one request has."""
    if not isinstance(value, list) or len(value) > MOST_DECLARED:
        raise ValidationError(f"Give a list of at most {MOST_DECLARED} tags.")
    for tag in value:
        validate_tags([tag])


class Tenant(ExportModelOperationsMixin("tenant"), Level):  # type: ignore[misc]
    """A customer of the gateway: a team, an application, a company. Its name is immutable."""

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[SLUG],
        help_text="Short name used in usage rows and metrics. Cannot be changed later.",
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="What people read. Free text, may be changed at any time."
    )
    enabled = models.BooleanField(default=True, help_text="Off: every key of this tenant is refused with 403.")
    anonymous = models.BooleanField(
        default=False,
        help_text="Requests without any key count as this tenant. At most one tenant; refused off loopback unless GATEWAY_ALLOW_ANONYMOUS=1.",
    )
    store_responses = models.BooleanField(
        default=True,
        help_text="Keep responses that clients ask to store, where the provider cannot: encrypted, in the gateway's database. Off: they are answered, but cannot be read again or continued.",
    )
    response_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="Days for which such a response is kept.",
    )
    response_bytes = models.PositiveBigIntegerField(
        default=256 * 2**20,
        help_text="Bytes that they may take in the database, compressed. What comes beyond that is answered, but not kept; nothing older is dropped for it.",
    )
    queue_weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Its share, against other tenants', of a provider whose requests have to wait.",
    )
    unpriced = models.CharField(
        max_length=5,
        default="warn",
        choices=[("block", "block"), ("warn", "warn"), ("allow", "allow")],
        help_text="What becomes of requests for a model without a price. block: refused. warn: answered, listed as used without a price. allow: answered, and not listed. A hard budget refuses them in any case.",
    )
    interrupted = models.CharField(
        max_length=7,
        default="counted",
        choices=[("counted", "what was counted"), ("bound", "the most it may have cost"), ("zero", "nothing")],
        help_text="What a request is charged whose end nobody knows, because the gateway was killed. Under a hard budget it is always the most that it may have cost.",
    )
    tags = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_declared],
        help_text="Tags that reports count apart. Others that clients send are stored with each request, and counted as: other.",
    )
    user_requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="For each end user alone. Empty: no limit."
    )
    user_requests_per_day = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="For each end user alone. Empty: no limit."
    )
    user_tokens_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="For each end user alone. Empty: no limit."
    )
    user_concurrent_requests = models.PositiveIntegerField(
        null=True, blank=True, validators=COUNT, help_text="For each end user alone. Empty: no limit."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was made (UTC).")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=("anonymous",),
                condition=models.Q(anonymous=True),
                name="one_anonymous_tenant",
                violation_error_message="Another tenant is already marked for anonymous requests.",
            )
        ]

    def __str__(self) -> str:
        return self.title or self.name

    def clean(self) -> None:
        if self.pk and Tenant.objects.filter(pk=self.pk).exclude(name=self.name).exists():
            raise ValidationError({"name": "The name cannot be changed: usage rows and metrics refer to it."})
        if self.anonymous and not settings.GATEWAY_ALLOW_ANONYMOUS:
            message = "This server listens off loopback: anonymous requests need GATEWAY_ALLOW_ANONYMOUS=1."
            raise ValidationError({"anonymous": message})


class Project(ExportModelOperationsMixin("project"), Level):  # type: ignore[misc]
    """A part of a tenant: keys of one application, one team, one environment. Its name is immutable."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="projects", help_text="Whose project it is.")
    name = models.CharField(
        max_length=63, validators=[SLUG], help_text="Short name used in usage rows. Cannot be changed later."
    )
    title = models.CharField(max_length=200, blank=True, help_text="What people read.")
    enabled = models.BooleanField(default=True, help_text="Off: every key of this project is refused with 403.")
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was made (UTC).")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("tenant", "name")
        constraints = [models.UniqueConstraint(fields=("tenant", "name"), name="project_name")]

    def __str__(self) -> str:
        return self.title or self.name

    def clean(self) -> None:
        known = Project.objects.filter(pk=self.pk).first() if self.pk else None
        if known is not None and known.name != self.name:
            raise ValidationError({"name": "The name cannot be changed: usage rows refer to it."})
        if known is not None and known.tenant_id != self.tenant_id:
            raise ValidationError({"tenant": "A project stays with its tenant."})
