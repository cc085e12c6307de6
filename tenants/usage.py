"""The rows that tell what became of each request, and their sums."""

from __future__ import annotations

from django.db import models


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
