"""The operator's own prices: versions, each in force from a moment until another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import ProtectedError
from django.utils import timezone
from django_prometheus.models import ExportModelOperationsMixin

from tenants import price_own
from tenants.pricing import BadPrice

#: What charges by a version stand for: another value would need another version.
KEPT = ("provider", "kind", "model", "effective_from", "rates", "long", "beyond", "tiers")
LONGEST = timedelta(days=1)  # between taking in a request and charging it


class Price(ExportModelOperationsMixin("price"), models.Model):  # type: ignore[misc]
    """One version of the price of one model, or of all that a pattern names. Before the catalogue's; of the operator's own
    the one for a provider comes before the one for a kind of provider, and that before the one for all.

    ``rates`` are nano-dollars for a million of each unit of ``tenants.units``; ``long`` is a list of [input tokens above
    which they apply, rates]; ``tiers`` are rates (and "long") by service tier.
    """

    provider = models.CharField(
        max_length=63, blank=True, help_text="The name of a provider. Empty: any that the kind says."
    )
    kind = models.CharField(max_length=30, blank=True, help_text="A kind of provider. Empty: every kind.")
    model = models.CharField(
        max_length=255, help_text="The provider's name of the model, or a pattern such as my-model-*."
    )
    effective_from = models.DateTimeField(
        null=True, blank=True, help_text="In force from then on (UTC). Empty: always."
    )
    effective_until = models.DateTimeField(
        null=True, blank=True, help_text="Until before this moment (UTC). Empty: for good."
    )
    rates = models.JSONField(default=dict, blank=True)
    long = models.JSONField(default=list, blank=True)
    beyond = models.BooleanField(
        default=False, help_text="Rates for long input apply only to the tokens beyond, not to the whole request."
    )
    tiers = models.JSONField(default=dict, blank=True)
    context_window = models.PositiveIntegerField(
        default=0,
        help_text="Tokens that the model takes; 0 if unknown. What cannot be seen of a request is held for so many.",
    )
    note = models.CharField(max_length=200, blank=True, help_text="Where it is from, or why.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_revision = models.BigIntegerField(default=0, editable=False, db_index=True)

    #: The version that this one ends, from the moment at which it begins itself.
    follows: Price | None = None

    class Meta:
        ordering = ("model", "provider", "kind", "effective_from")

    def __str__(self) -> str:
        return f"{self.model} ({self.version})"

    @property
    def version(self) -> str:
        """What charges call it."""
        return f"own-{self.pk}"

    @property
    def span(self) -> str:
        """When it is in force, for people."""
        start, end = self.effective_from, self.effective_until
        return f"{_day(start) if start else 'always'} until {_day(end) if end else 'further notice'}"

    def clean(self) -> None:
        self.effective_from, self.effective_until = map(_whole, (self.effective_from, self.effective_until))
        if self.effective_from and self.effective_until and self.effective_until <= self.effective_from:
            raise ValidationError({"effective_until": "It ends before it begins."})
        try:
            price_own.override_of(self)
        except BadPrice as error:
            raise ValidationError(str(error)) from None
        self._verify_kept()
        self._verify_alone()

    def _verify_kept(self) -> None:
        stored = Price.objects.filter(pk=self.pk).first() if self.pk else None
        changed = [name for name in KEPT if stored is not None and getattr(stored, name) != getattr(self, name)]
        if changed and self.charge() is not None:
            told = "Requests were charged by this version. End it, and make a new version with what is other."
            raise ValidationError(dict.fromkeys(changed, told))

    def _verify_alone(self) -> None:
        beside = Price.objects.filter(provider=self.provider, kind=self.kind, model__iexact=self.model)
        for other in beside.exclude(pk=self.pk):
            if self.follows is not None and other.pk == self.follows.pk:
                other.end_at(self.effective_from)
            if self.overlaps(other):
                raise ValidationError({"effective_from": f"It overlaps {other.version}, in force {other.span}."})

    def overlaps(self, other: Price) -> bool:
        """Whether both are in force at some moment."""
        return _before(self.effective_from, other.effective_until) and _before(
            other.effective_from, self.effective_until
        )

    def end_at(self, moment: datetime | None) -> None:
        """End it at ``moment``, if it is in force then and begins before."""
        begins = moment is not None and (self.effective_from is None or self.effective_from < moment)
        if begins and (self.effective_until is None or moment < self.effective_until):  # type: ignore[operator]
            self.effective_until = moment

    def charge(self) -> models.Model | None:
        """A request that was charged by it; None if none was. Looks through all since it was made."""
        from tenants.models import Usage

        since = self.created_at - LONGEST
        return Usage.objects.filter(created_at__gte=since, price_version=self.version).order_by("created_at").first()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises ProtectedError where requests were charged by it."""
        if (charge := self.charge()) is not None:
            raise ProtectedError("Requests were charged by this price.", {charge})
        return super().delete(*args, **kwargs)


def _whole(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=0)


def _before(start: datetime | None, end: datetime | None) -> bool:
    return start is None or end is None or start < end


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment.hour or moment.minute else f"{moment:%Y-%m-%d}"
