"""What may be spent: budgets, and what is told when much of one is."""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator, MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants import budget_carry
from tenants.key_rows import ApiKey
from tenants.leases import MOST
from tenants.level_rows import TAG
from tenants.periods import CALENDARS, KINDS, Period
from tenants.sealed import seal, unseal
from tenants.tenant_rows import Project, Tenant

LATEST = 1000


def validate_thresholds(value: Any) -> None:
    """Rising percents."""
    if not isinstance(value, list) or not all(type(each) is int and 1 <= each <= LATEST for each in value):
        raise ValidationError(f"Give a list of percents from 1 to {LATEST}.")
    if value != sorted(set(value)):
        raise ValidationError("Give rising percents, each once.")


def validate_addresses(value: Any) -> None:
    """A list of e-mail addresses."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValidationError("Give a list of e-mail addresses.")
    for text in value:
        try:
            EmailValidator()(text)
        except ValidationError:  # whose code a field would take for a word of its own
            raise ValidationError(f"{text}: no e-mail address.") from None


def default_thresholds() -> list[int]:
    return [80, 100]


class Budget(ExportModelOperationsMixin("budget"), models.Model):  # type: ignore[misc]
    """What a tenant, or a part of it, may spend in each period. A hard one is never passed: requests reserve the most that
    they may cost before they are sent. ``generation`` rises when its windows change: what was spent in others is kept
    under the name before."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="budgets", help_text="Whose money it is.")
    name = models.CharField(max_length=100, help_text="What refusals and warnings call it.")
    of = models.CharField(
        "counts",
        max_length=8,
        default="tenant",
        choices=[
            ("tenant", "the tenant"),
            ("project", "one project"),
            ("key", "one key"),
            ("end_user", "each end user alone"),
            ("tag", "one tag"),
        ],
        help_text="What is counted.",
    )
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="budgets")
    key = models.ForeignKey(ApiKey, models.CASCADE, null=True, blank=True, related_name="budgets")
    tag = models.CharField(max_length=64, blank=True, validators=[TAG])
    end_user = models.CharField(
        max_length=255, blank=True, help_text="One end user. Empty, where end users are counted: each of them alone."
    )
    amount = models.BigIntegerField(
        validators=[MinValueValidator(0), MaxValueValidator(MOST)], help_text="Nano-dollars in each period."
    )
    hard = models.BooleanField(
        default=True,
        help_text="On: never passed, not by a nano-dollar; requests that might pass it are refused. Off: only counted and warned about.",
    )
    period = models.CharField(
        max_length=5, default="month", choices=[(kind, kind) for kind in KINDS], help_text="How often it begins anew."
    )
    zone = models.CharField(max_length=64, default="UTC", help_text="Whose midnight that is, such as Europe/Berlin.")
    first_day = models.SmallIntegerField(
        default=1, help_text="Of a week 1 (Monday) to 7, of a month 1 to 28 or -1 for its last day."
    )
    begins_at = models.DateTimeField(null=True, blank=True, help_text="Of a fixed period (UTC).")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Of a fixed period (UTC).")
    thresholds = models.JSONField(
        default=default_thresholds,
        blank=True,
        validators=[validate_thresholds],
        help_text="Percents at which to warn, once in each period.",
    )
    emails = models.JSONField(
        default=list, blank=True, validators=[validate_addresses], help_text="Who is warned by e-mail."
    )
    webhook = models.URLField(
        max_length=500, blank=True, help_text="Where warnings are posted to, signed as the README says."
    )
    webhook_secret = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: neither counted nor kept to.")
    generation = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering = ("tenant", "name")
        constraints = [models.UniqueConstraint(fields=("tenant", "name"), name="budget_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def counter(self) -> str:
        """The name of its counter, under which leases and charges know it."""
        return f"b{self.pk}.{self.generation}"

    @property
    def each_alone(self) -> bool:
        """Whether there is a window for each end user."""
        return self.of == "end_user" and not self.end_user

    def windows(self) -> Period:
        """Raises ValueError for what cannot be. What says nothing of this kind of period changes nothing."""
        if self.period == "fixed":
            if self.begins_at is None or self.ends_at is None:
                raise ValueError("A fixed period has a beginning and an end.")
            return Period("fixed", begins=int(self.begins_at.timestamp()), ends=int(self.ends_at.timestamp()))
        zone = self.zone if self.period in CALENDARS else "UTC"
        return Period(self.period, zone, self.first_day if self.period in ("week", "month") else 1)

    def clean(self) -> None:
        self._clean_period()
        for name in ("project", "key", "tag"):
            if bool(getattr(self, name)) != (self.of == name):
                text = "Say which." if self.of == name else f"This budget counts {self.get_of_display()}."
                raise ValidationError({name: text})
        if self.end_user and self.of != "end_user":
            raise ValidationError({"end_user": f"This budget counts {self.get_of_display()}."})
        for part in (self.project, self.key):
            if part is not None and part.tenant_id != self.tenant_id:
                raise ValidationError({self.of: "This is another tenant's."})
        if self.webhook and not self.webhook.startswith(("https://", "http://")):
            raise ValidationError({"webhook": "Give a URL of https or http."})
        before = self.before()
        if before is not None and before.tenant_id != self.tenant_id:
            raise ValidationError({"tenant": "A budget stays with its tenant."})

    def _clean_period(self) -> None:
        try:
            Period("total", self.zone)
        except ValueError as error:
            raise ValidationError({"zone": str(error)}) from None
        try:
            self.windows()
        except ValueError as error:
            missing = "begins_at" if self.begins_at is None else "ends_at"
            name = {"week": "first_day", "month": "first_day", "fixed": missing}.get(self.period, "period")
            raise ValidationError({name: str(error)}) from None
        if self.period != "fixed" and (self.begins_at or self.ends_at):
            name = "begins_at" if self.begins_at else "ends_at"
            raise ValidationError({name: "Only a fixed period has a beginning and an end."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Other windows, or another subject, are another counter, which begins with what was spent in them."""
        before = self.before()
        if before is None or not self.begins_anew(before):
            super().save(*args, **kwargs)
            return
        self.generation = before.generation + 1
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "generation"}
        with transaction.atomic():
            super().save(*args, **kwargs)
            budget_carry.carry(self, before.counter)

    def before(self) -> Budget | None:
        """What is stored; None of a new one."""
        return Budget.objects.filter(pk=self.pk).first() if self.pk else None

    def begins_anew(self, before: Budget) -> bool:
        """Whether it counts something else than ``before``, or in other periods."""
        return before._shape() != self._shape()

    def issue_secret(self) -> str:
        """Give its webhook a new secret and return it; the only moment at which it is shown. It must have been saved."""
        plain = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        self.set_secret(plain)
        return plain

    def set_secret(self, plain: str) -> None:
        self.webhook_secret = b64encode(seal(self._label(), plain.encode())).decode()

    @property
    def secret(self) -> str:
        """What webhooks are signed with. Raises Unreadable."""
        return unseal(self._label(), b64decode(self.webhook_secret)).decode() if self.webhook_secret else ""

    def _label(self) -> bytes:
        return b"budget %d" % self.pk

    def _shape(self) -> tuple[Any, ...]:
        return (self.windows(), self.tenant_id, self.of, self.project_id, self.key_id, self.tag, self.end_user)


class Notice(models.Model):
    """A warning that is to be sent: made in the transaction of the charge that reached the threshold, sent afterwards, at
    least once. ``budget_id`` refers without a constraint."""

    budget_id = models.BigIntegerField()
    counter = models.CharField(max_length=100)
    subject = models.CharField(max_length=255, blank=True)
    start = models.BigIntegerField(help_text="When the period began, seconds since the epoch.")
    percent = models.PositiveIntegerField()
    spent = models.BigIntegerField(help_text="Nano-dollars.")
    cap = models.BigIntegerField(help_text="Nano-dollars.")
    created_at = models.DateTimeField(default=timezone.now)
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.counter} {self.percent} %"
