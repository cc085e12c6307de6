"""The rows that tell what became of each request, and their sums."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

ROLLUP_KEY = ("start", "tenant_id", "project_id", "key_id", "route", "provider_id")
TAG_KEY = ("start", "tenant_id", "tag")
USED = models.Q(status__lt=400) | models.Q(input_tokens__gt=0) | models.Q(output_tokens__gt=0)
UNPRICED = models.Q(kind="charge", cost__isnull=True) & USED
"""What used something that has no price: what ``unpriced`` counts in sums, and an index holds."""


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
        help_text="charge: one request. attempt: one that came to nothing and has its cost, of the request named below. correction: a later change to that request's charge.",
    )
    corrects = models.UUIDField(
        null=True, help_text="The request whose attempt this was, or whose charge this row corrects."
    )
    created_at = models.DateTimeField("time", db_index=True, help_text="When the gateway took the request in (UTC).")
    request_id = models.CharField(
        max_length=128,
        db_index=True,
        help_text="The x-request-id of the reply: the client's own if it sent a legal one. Not unique.",
    )
    tenant_id = models.BigIntegerField(default=0)
    tenant = models.CharField(max_length=63, blank=True, help_text="Whose request it was.")
    project_id = models.BigIntegerField(default=0)
    project = models.CharField(max_length=63, blank=True, help_text="The part of the tenant, if the key has one.")
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
    price_version = models.CharField(
        max_length=100, blank=True, help_text="The version of the price that the cost was computed by."
    )
    service_tier = models.CharField(max_length=30, blank=True, help_text="Empty: the standard one.")
    billed = models.TextField(
        blank=True,
        default="",
        help_text="What else was used that may have a price, as JSON: units of tenants.units that have no column.",
    )
    charged_to = models.TextField(
        blank=True,
        default="",
        help_text="The budgets' windows that it was charged to: counter/subject/start, one a line.",
    )
    interrupted = models.BooleanField(
        default=False, help_text="The gateway was killed before the end was known: charged by the tenant's policy."
    )
    bound_exceeded = models.BooleanField(
        default=False, help_text="It cost more than the most that was reserved for it. Charged in full."
    )
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
    declared = models.JSONField(
        default=list, help_text="The tags that reports count it by: those that the tenant declares, or other."
    )
    decision = models.TextField(
        blank=True, default="", help_text="Why it went where it went, compact: routing.decision reads it."
    )

    class Meta:
        verbose_name = "request"
        ordering = ("-id",)
        indexes = [
            models.Index(fields=("tenant_id", "-id"), name="usage_tenant"),
            models.Index(fields=("key_id", "-id"), name="usage_key"),
            models.Index(fields=("provider_id", "-id"), name="usage_provider"),
            models.Index(fields=("route", "-id"), name="usage_route"),
            models.Index(fields=("error_kind", "-id"), name="usage_error", condition=~models.Q(error_kind="")),
            models.Index(fields=("project_id", "-id"), name="usage_project", condition=~models.Q(project_id=0)),
            models.Index(fields=("end_user", "-id"), name="usage_end_user", condition=~models.Q(end_user="")),
            models.Index(fields=("-id",), name="usage_interrupted", condition=models.Q(interrupted=True)),
            models.Index(fields=("-id",), name="usage_exceeded", condition=models.Q(bound_exceeded=True)),
            models.Index(fields=("-id",), name="usage_no_price", condition=UNPRICED),
            models.Index(fields=("corrects",), name="usage_corrects", condition=models.Q(corrects__isnull=False)),
            models.Index(
                fields=("upstream_model", "-id"), name="usage_unpriced", condition=models.Q(cost__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.status}"


class Sums(models.Model):
    """Sums of usage rows over one period. ``latency`` is the histogram of tenants.histogram, packed; it is added up by the
    drain in the rows' own transaction. ``KEY`` are the columns that tell one from another, ``NAMES`` those that go by
    the last row."""

    KEY: ClassVar[tuple[str, ...]] = ()
    NAMES: ClassVar[tuple[str, ...]] = ()

    start = models.DateTimeField()
    tenant_id = models.BigIntegerField()
    tenant = models.CharField(max_length=63)
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


class Rollup(Sums):
    """By one combination of tenant, project, key, route and provider."""

    KEY = ROLLUP_KEY
    NAMES = ("tenant", "project", "key", "provider")

    project_id = models.BigIntegerField(default=0)
    project = models.CharField(max_length=63, default="")
    key_id = models.BigIntegerField()
    key = models.CharField(max_length=100)
    route = models.CharField(max_length=255)
    provider_id = models.BigIntegerField()
    provider = models.CharField(max_length=63)

    class Meta:
        abstract = True


class TagRollup(Sums):
    """By tenant and tag: one that the tenant declares, or ``other``. A request with two tags counts in both."""

    KEY = TAG_KEY
    NAMES = ("tenant",)

    tag = models.CharField(max_length=64)

    class Meta:
        abstract = True


class UsageHour(Rollup):
    class Meta:
        constraints = [models.UniqueConstraint(fields=ROLLUP_KEY, name="usage_hour")]


class UsageDay(Rollup):
    class Meta:
        constraints = [models.UniqueConstraint(fields=ROLLUP_KEY, name="usage_day")]


class TagHour(TagRollup):
    class Meta:
        constraints = [models.UniqueConstraint(fields=TAG_KEY, name="tag_hour")]


class TagDay(TagRollup):
    class Meta:
        constraints = [models.UniqueConstraint(fields=TAG_KEY, name="tag_day")]
