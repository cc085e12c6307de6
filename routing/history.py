"""What was changed, by whom and when: the revisions of everything that requests read, and the marks of the secrets."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class RevisionCounter(models.Model):
    """The number of the newest revision. One row, locked until the change commits: so revisions commit in order of number."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.BigIntegerField(default=0)


class Revision(models.Model):
    """One change of anything that requests read: who, when, which objects. Made in the change's own transaction."""

    number = models.BigIntegerField(primary_key=True, help_text="Usage rows and the header x-gateway-revision name it.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(
        max_length=150, blank=True, help_text="Who made the change: a user, or a management command."
    )
    changes = models.JSONField(
        default=list
    )  # [{"action", "model", "id", "name"}], the first 100; rows carry the number too

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return str(self.number)


class Tombstone(models.Model):
    """What a revision deleted, for those that load only what is newer than what they have."""

    revision = models.BigIntegerField(db_index=True)
    model = models.CharField(max_length=60)
    object_id = models.BigIntegerField()


class Fingerprint(models.Model):
    """A one-way mark of each configured secret: a start with other secrets than the database was written with is refused."""

    name = models.CharField(max_length=40, primary_key=True)
    digest = models.CharField(max_length=64)
