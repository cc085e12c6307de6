"""Rows of limits and of what their windows hold. ``tenants.models`` does not name them yet, and no migration makes them.

Of each window ``granted + spent`` never passes the cap that was in force when something was granted. ``granted`` is the
sum of what its leases have left, ``spent`` the sum of all charges. Nothing here refers by constraint: a limit, a tenant or
a provider that is deleted never breaks a charge.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from tenants.leases import MOST

CAP = [MinValueValidator(0), MaxValueValidator(MOST)]


class LeaseCounter(models.Model):
    """One limit, as the budget or limit that it is of says. A limit that gets another window gets another name."""

    name = models.CharField(max_length=100, primary_key=True)
    cap = models.BigIntegerField(validators=CAP, help_text="Nano-dollars, tokens or requests.")
    seconds = models.PositiveIntegerField(
        default=0, help_text="How long what a dead worker admitted counts: the length of a trailing window."
    )
    thresholds = models.JSONField(default=list, blank=True, help_text="Percents of the cap to warn at, each once.")

    objects: ClassVar[models.Manager[LeaseCounter]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class LeaseIncrease(models.Model):
    """A limit's cap is higher for a while."""

    counter = models.CharField(max_length=100, db_index=True)
    amount = models.BigIntegerField(validators=CAP)
    begins_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    made_by = models.CharField(max_length=150)

    objects: ClassVar[models.Manager[LeaseIncrease]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("begins_at")),
                name="lease_increase_ends",
                violation_error_message="It ends after it begins.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.counter} + {self.amount:,}"


class LeaseWindow(models.Model):
    """One window of a limit, for each subject if it counts subjects alone; kept as its history. ``cap`` is what was in
    force, increases included, when it was last asked. Until ``short_until`` somebody could not be served."""

    counter = models.CharField(max_length=100)
    subject = models.CharField(max_length=255, blank=True)
    start = models.BigIntegerField(help_text="Seconds since the epoch.")
    cap = models.BigIntegerField(default=0)
    granted = models.BigIntegerField(default=0)
    spent = models.BigIntegerField(default=0)
    latest = models.BigIntegerField(default=0, help_text="The last grant, by which it is told to who asked.")
    warned = models.PositiveIntegerField(default=0, help_text="The highest threshold that was warned at.")
    short_until = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[LeaseWindow]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("counter", "subject", "start"), name="lease_window")]

    def __str__(self) -> str:
        return f"{self.counter}/{self.subject} {self.start}"


class LeaseOwner(models.Model):
    """A process that holds leases, by the name of its spool. Once ended it is granted nothing any more."""

    name = models.CharField(max_length=200, primary_key=True)
    exchanged_through = models.BigIntegerField(default=-1, help_text="The sequence of the last exchange.")
    settled_through = models.BigIntegerField(default=-1, help_text="The sequence of the last settlement.")
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True, help_text="Empty: it has ended beyond doubt.")

    objects: ClassVar[models.Manager[LeaseOwner]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class HeldLease(models.Model):
    """A slice of a window in the hands of one owner; what is left of it is ``granted - settled``, or nothing."""

    owner = models.CharField(max_length=200)
    number = models.BigIntegerField(help_text="The owner's own, in the order in which it began them.")
    window_id = models.BigIntegerField(db_index=True)
    granted = models.BigIntegerField()
    settled = models.BigIntegerField(default=0)
    closed = models.BooleanField(default=False, help_text="The row goes when all of it is settled.")

    objects: ClassVar[models.Manager[HeldLease]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("owner", "number"), name="held_lease")]

    def __str__(self) -> str:
        return f"{self.owner} {self.number}"

    @property
    def left(self) -> int:
        return max(0, self.granted - self.settled)
