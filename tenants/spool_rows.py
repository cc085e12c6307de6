"""How far the drain has read each process's spool."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import models

from tenants.lease_rows import LeaseOwner
from tenants.spool_reader import Position


class Overtaken(Exception):
    """Another drain has stored this, or more."""


class SpoolPositions(models.QuerySet["SpoolPosition"]):
    def of(self, owner: str) -> Position:
        found = self.filter(pk=owner).values_list("segment", "offset").first()
        return Position(owner, *(found or ()))

    def advance(self, before: Position, after: Position, now: datetime) -> None:
        """In the transaction of the rows between the two, in which nobody else writes. Raises Overtaken."""
        if self.of(before.owner) != before:
            raise Overtaken(before.owner)
        places = {"segment": after.segment, "offset": after.offset, "changed_at": now}
        if not self.filter(pk=after.owner).update(**places):
            self.create(owner=after.owner, **places)

    def forget(self, before: datetime, living: Collection[str]) -> int:
        """Delete what nobody has moved since then of owners that are not ``living``: left by a drain that died after it
        had taken an owner's directory away. How many they were."""
        held = LeaseOwner.objects.using(self.db).filter(ended_at=None).values("name")
        return self.filter(changed_at__lt=before).exclude(owner__in=living).exclude(owner__in=held).delete()[0]


class SpoolPosition(models.Model):
    """Of one owner: all before it is in the database. Written in the transaction of the rows that it is behind."""

    owner = models.CharField(max_length=200, primary_key=True)
    segment = models.BigIntegerField(default=0)
    offset = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField()

    objects = SpoolPositions.as_manager()

    def __str__(self) -> str:
        return f"{self.owner} {self.segment}:{self.offset}"
