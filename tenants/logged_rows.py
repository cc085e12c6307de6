"""Rows of what was asked and answered. Only the migration and ``tenants.models`` name this module."""

from __future__ import annotations

from django.db import models

from tenants.response_rows import with_its_tenant


class LoggedRequest(models.Model):
    """The bodies of one request, sealed in ``content`` with what its error said. No column tells a word of them."""

    usage_id = models.UUIDField("request", db_index=True, help_text="The request's own id: that of its usage row.")
    tenant = models.ForeignKey(
        "tenants.Tenant", with_its_tenant, related_name="logged", db_index=False, help_text="Whose request it was."
    )
    request_id = models.CharField(
        max_length=128, blank=True, db_index=True, help_text="What the client or the gateway called it: x-request-id."
    )
    endpoint = models.CharField(max_length=40, blank=True, help_text="What was called.")
    route = models.CharField(max_length=255, blank=True, help_text="The route that it took.")
    model = models.CharField(max_length=255, blank=True, help_text="The model that the route was found by.")
    status = models.PositiveSmallIntegerField(default=0, help_text="The status that the client got.")
    request_cut = models.BooleanField(default=False, help_text="What was asked is not here in full.")
    reply_cut = models.BooleanField(default=False, help_text="What was answered is not here in full.")
    size = models.PositiveIntegerField(help_text="Bytes of its content as it is stored: compressed and encrypted.")
    content = models.BinaryField()
    created_at = models.DateTimeField("logged", help_text="When it was written down (UTC).")
    expires_at = models.DateTimeField(
        "expires", db_index=True, help_text="From this moment (UTC) it can be deleted at any time."
    )

    class Meta:
        ordering = ("-id",)
        permissions = [("read_loggedrequest", "Can read logged bodies")]
        indexes = [models.Index(fields=("tenant", "-id"), name="logged_request_tenant")]

    def __str__(self) -> str:
        return self.request_id or str(self.usage_id)
