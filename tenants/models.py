"""Who calls us (tenants and their keys), what they made upstream, and what they spent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants import keys

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


class Usage(models.Model):
    """What became of one request. Immutable; written by tenants.drain and by nothing else.

    ``input_tokens`` is all input, cache reads and writes included; ``output_tokens`` is all output, reasoning included;
    the others are parts of these. ``cost`` is nano-dollars, null when unpriced. Times are microseconds.
    """

    id = models.UUIDField(
        primary_key=True,
        editable=False,
        help_text="Our own id, which begins with the time. It goes to the provider as a header.",
    )
    kind = models.CharField(
        max_length=10,
        default="charge",
        help_text="charge: one request. correction: a later change to the request named below.",
    )
    corrects = models.UUIDField(null=True, help_text="The request whose charge this row corrects.")
    created_at = models.DateTimeField("time", db_index=True, help_text="When the gateway took the request in (UTC).")
    request_id = models.CharField(
        max_length=128,
        db_index=True,
        help_text="The x-request-id of the reply: the client's own if it sent a legal one. Not unique.",
    )
    tenant_id = models.BigIntegerField(default=0)
    tenant = models.CharField(max_length=63, blank=True, help_text="Whose request it was.")
    key_id = models.BigIntegerField(default=0)
    key = models.CharField(max_length=100, blank=True, help_text="The name that the key had then.")
    key_prefix = models.CharField(max_length=16, blank=True, help_text="The first characters of the key.")
    dialect = models.CharField(max_length=20, help_text="Whose protocol the client spoke.")
    endpoint = models.CharField(max_length=30, help_text="Which API it called.")
    model = models.CharField(
        "model asked", max_length=255, blank=True, help_text="The model name that the client sent."
    )
    route = models.CharField(
        max_length=255, blank=True, help_text="The route that answered to it. Reports count by this."
    )
    provider_id = models.BigIntegerField(default=0)
    provider = models.CharField(max_length=63, blank=True, help_text="Who answered, or was tried last.")
    target_id = models.BigIntegerField(default=0)
    upstream_model = models.CharField(max_length=255, blank=True, help_text="The provider's own name of the model.")
    upstream_request_id = models.CharField(
        max_length=255, blank=True, help_text="The provider's request id: quote it to their support."
    )
    upstream_response_id = models.CharField(max_length=255, blank=True, help_text="The provider's id of the answer.")
    status = models.PositiveSmallIntegerField(
        help_text="The HTTP status that the client got. A stream that broke keeps the 200 it began with: see the error kind."
    )
    error_kind = models.CharField(
        max_length=20, blank=True, help_text="Empty: it went well. cancelled: the client left before the end."
    )
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How many times a provider was called for it.")
    stream = models.BooleanField(default=False, help_text="Whether the answer was streamed.")
    input_tokens = models.BigIntegerField(default=0, help_text="All input, cache reads and writes included.")
    output_tokens = models.BigIntegerField(default=0, help_text="All output, reasoning included.")
    cache_read_tokens = models.BigIntegerField(
        default=0, help_text="Part of the input: read from the provider's cache."
    )
    cache_write_tokens = models.BigIntegerField(
        default=0, help_text="Part of the input: written to the provider's cache."
    )
    reasoning_tokens = models.BigIntegerField(default=0, help_text="Part of the output: thinking.")
    estimated = models.BooleanField(default=False, help_text="The provider told no usage, so the gateway counted.")
    cost = models.BigIntegerField(null=True, help_text="Nano-dollars. Empty: the model has no price.")
    duration_us = models.BigIntegerField(
        default=0, help_text="Microseconds from the request's head to the last byte of the answer."
    )
    first_byte_us = models.BigIntegerField(
        null=True, help_text="Microseconds from the request's head to the first byte of the answer."
    )
    revision = models.BigIntegerField(default=0, help_text="The configuration that was in force: see Revisions.")
    client_ip = models.CharField(max_length=45, blank=True, help_text="Where it came from, behind the trusted proxies.")
    end_user = models.CharField(max_length=255, blank=True, help_text="The x-gateway-user that the client sent.")
    tags = models.JSONField(default=list, help_text="The x-gateway-tags that the client sent.")

    class Meta:
        verbose_name = "request"
        ordering = ("-id",)
        indexes = [
            models.Index(fields=("tenant_id", "-id"), name="usage_tenant"),
            models.Index(fields=("key_id", "-id"), name="usage_key"),
            models.Index(fields=("provider_id", "-id"), name="usage_provider"),
            models.Index(fields=("route", "-id"), name="usage_route"),
            models.Index(fields=("error_kind", "-id"), name="usage_error", condition=~models.Q(error_kind="")),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.status}"


class Rollup(models.Model):
    """Sums of usage rows over one period and one combination of tenant, key, route, model and provider.

    ``latency`` is the histogram of tenants.histogram, packed; it is added up by the drain in the rows' own transaction.
    """

    start = models.DateTimeField()
    tenant_id = models.BigIntegerField()
    tenant = models.CharField(max_length=63)
    key_id = models.BigIntegerField()
    key = models.CharField(max_length=100)
    route = models.CharField(max_length=255)
    provider_id = models.BigIntegerField()
    provider = models.CharField(max_length=63)
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    duration_us = models.BigIntegerField(default=0)
    latency = models.BinaryField(default=b"")

    class Meta:
        abstract = True


class UsageHour(Rollup):
    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("start", "tenant_id", "key_id", "route", "provider_id"), name="usage_hour")
        ]


class UsageDay(Rollup):
    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("start", "tenant_id", "key_id", "route", "provider_id"), name="usage_day")
        ]
