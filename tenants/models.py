"""Who calls us (tenants and their keys), what they made upstream, and what they spent."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from tenants import keys
from tenants.budget_rows import Budget, Notice
from tenants.key_rows import ApiKey
from tenants.lease_rows import HeldLease, LeaseCounter, LeaseIncrease, LeaseOwner, LeaseWindow
from tenants.logged_rows import LoggedRequest
from tenants.price_versions import Price
from tenants.response_rows import Chore, StoredBytes, StoredResponse
from tenants.spool_rows import SpoolPosition
from tenants.tenant_rows import Project, Tenant
from tenants.usage import Rollup, TagDay, TagHour, Usage, UsageDay, UsageHour

__all__ = (
    "ApiKey",
    "Budget",
    "Chore",
    "HeldLease",
    "LeaseCounter",
    "LeaseIncrease",
    "LeaseOwner",
    "LeaseWindow",
    "LoggedRequest",
    "Notice",
    "OperatorToken",
    "Price",
    "Project",
    "Rollup",
    "SpoolPosition",
    "StoredBytes",
    "StoredObject",
    "StoredResponse",
    "TagDay",
    "TagHour",
    "Tenant",
    "Usage",
    "UsageDay",
    "UsageHour",
)


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
