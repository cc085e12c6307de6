"""Who calls us (tenants and their keys), what they made upstream, and what they spent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants import keys
from tenants.response_rows import Chore, StoredBytes, StoredResponse
from tenants.usage import Rollup, Usage, UsageDay, UsageHour

__all__ = (
    "ApiKey",
    "Chore",
    "OperatorToken",
    "Rollup",
    "StoredBytes",
    "StoredObject",
    "StoredResponse",
    "Tenant",
    "Usage",
    "UsageDay",
    "UsageHour",
)

SLUG = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,62}\Z", "Use 1 to 63 of: a-z 0-9 . _ - and start with a letter or digit."
)


def validate_names(value: Any) -> None:
    """A list of names or patterns; ``*`` stands only at the end of one."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValidationError("Give a list of names.")
    for name in value:
        if "*" in name[:-1]:
            raise ValidationError(f"{name}: * may stand only at the end.")


class Tenant(ExportModelOperationsMixin("tenant"), models.Model):  # type: ignore[misc]
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


class ApiKey(ExportModelOperationsMixin("api_key"), models.Model):  # type: ignore[misc]
    """A client's key. Only its prefix and an HMAC of it are stored: neither is a credential."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="keys", help_text="Whose key it is.")
    name = models.CharField(max_length=100, help_text="What it is for: an application, a person, an environment.")
    prefix = models.CharField(
        max_length=16, editable=False, db_index=True, help_text="The first characters of the key, to recognise it."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: the key is refused within a second, everywhere.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="After this moment (UTC) the key is refused. Empty: never."
    )
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Public model names, or patterns such as gpt-*, that it may call. Empty: all.",
    )
    allowed_providers = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Names of the providers that its requests may go to. Empty: all.",
    )
    may_choose_provider = models.BooleanField(
        default=True, help_text="Whether the header x-provider may pick among the providers that it may use."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was made (UTC).")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        verbose_name = "API key"
        ordering = ("tenant", "name")
        constraints = [models.UniqueConstraint(fields=("tenant", "name"), name="api_key_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def set_key(self, plain: str) -> None:
        """Make ``plain`` the key; only its prefix and its HMAC under the first pepper are kept."""
        self.prefix = keys.prefix_of(plain)
        self.digest = keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()

    def issue(self) -> str:
        """Give this row a new random key and return it; the only moment at which it can be read."""
        plain = keys.issue()
        self.set_key(plain)
        return plain


class OperatorToken(models.Model):
    """A token for the REST API: it acts as its user, with that user's permissions."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="gateway_tokens", help_text="Whose permissions it has."
    )
    name = models.CharField(max_length=100, help_text="What it is for.")
    prefix = models.CharField(
        max_length=16, editable=False, help_text="The first characters of the token, to recognise it."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: the token is refused.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="After this moment (UTC) the token is refused. Empty: never."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was made (UTC).")

    class Meta:
        verbose_name = "API token"
        ordering = ("user", "name")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def issue(self) -> str:
        """Give this row a new random token and return it; the only moment at which it can be read."""
        plain = keys.issue("gwop-")
        self.prefix = keys.prefix_of(plain)
        self.digest = keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()
        return plain


class StoredObject(models.Model):
    """Something that an upstream made for a tenant and that a later request may name by id: a response, an output item,
    a conversation, a container. Names refer by id without constraints: a deleted provider never breaks a row."""

    tenant_id = models.BigIntegerField()
    object_id = models.CharField(max_length=255)
    kind = models.CharField(max_length=20)  # response | item | conversation | container | audio
    provider_id = models.BigIntegerField()
    credential_id = models.BigIntegerField(default=0)
    target_id = models.BigIntegerField(default=0)
    route = models.CharField(max_length=255, blank=True)
    model = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("object_id", "tenant_id"), name="stored_object_owner")]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"
