"""The keys with which clients come in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants import keys
from tenants.level_rows import Level
from tenants.tenant_rows import Project, Tenant
from tenants.terms import SCOPES


def validate_scopes(value: Any) -> None:
    """A list of SCOPES."""
    if not isinstance(value, list) or not all(isinstance(scope, str) for scope in value):
        raise ValidationError("Give a list of scopes.")
    if unknown := set(value) - set(SCOPES):
        raise ValidationError(f"{min(unknown)}: no scope. They are: {', '.join(SCOPES)}.")


class ApiKey(ExportModelOperationsMixin("api_key"), Level):  # type: ignore[misc]
    """A client's key. Only its prefix and an HMAC of it are stored: neither is a credential.

    After a rotation the key before is accepted until ``previous_until``.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="keys", help_text="Whose key it is.")
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="keys", help_text="A part of its tenant, or none."
    )
    name = models.CharField(max_length=100, help_text="What it is for: an application, a person, an environment.")
    prefix = models.CharField(
        max_length=16, editable=False, db_index=True, help_text="The first characters of the key, to recognise it."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    previous_prefix = models.CharField(max_length=16, editable=False, blank=True)
    previous_digest = models.CharField(max_length=64, editable=False, blank=True, db_index=True)
    previous_until = models.DateTimeField(
        null=True, editable=False, help_text="Until then the key before the last rotation is accepted, too (UTC)."
    )
    enabled = models.BooleanField(default=True, help_text="Off: the key is refused within a second, everywhere.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="After this moment (UTC) the key is refused. Empty: never."
    )
    scopes = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_scopes],
        help_text=f"Which endpoints it may call, of: {', '.join(SCOPES)}. Empty: all.",
    )
    may_choose_provider = models.BooleanField(
        default=True, help_text="Whether the header x-provider may pick among the providers that it may use."
    )
    may_explain = models.BooleanField(
        default=False,
        help_text="Whether the header x-gateway-explain: 1 is answered with why the request went where it went. That names providers and their state.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was made (UTC).")
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        verbose_name = "API key"
        ordering = ("tenant", "name")
        constraints = [models.UniqueConstraint(fields=("tenant", "name"), name="api_key_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        if self.project is not None and self.tenant_id and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "This is another tenant's project."})

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def overlapping(self) -> bool:
        """Whether the key before the last rotation is still accepted."""
        return self.previous_until is not None and self.previous_until > timezone.now()

    def end_previous(self) -> None:
        """Accept the key before the last rotation no more."""
        self.previous_prefix, self.previous_digest, self.previous_until = "", "", None

    def set_key(self, plain: str) -> None:
        """Make ``plain`` the key; only its prefix and its HMAC under the first pepper are kept."""
        self.prefix = keys.prefix_of(plain)
        self.digest = keys.digest(plain, settings.GATEWAY_KEY_PEPPERS[0]).hex()

    def issue(self, overlap_until: datetime | None = None) -> str:
        """Give this row a new random key and return it; the only moment at which it can be read. The one before ends at
        once, or is accepted until ``overlap_until``."""
        overlaps = bool(self.digest) and overlap_until is not None
        self.previous_prefix, self.previous_digest = (self.prefix, self.digest) if overlaps else ("", "")
        self.previous_until = overlap_until if overlaps else None
        plain = keys.issue()
        self.set_key(plain)
        return plain
