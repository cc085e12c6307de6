"""Rows of stored responses, and of the regular work on them. Only the migration and ``tenants.models`` name this module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import F, Sum


def with_its_tenant(collector: Any, field: Any, rows: Any, using: str) -> None:
    """Django's CASCADE by one statement. The admin would load every row to list them before a tenant is deleted:
    hundreds of megabytes."""
    collector.fast_deletes.append(rows)


with_its_tenant.lazy_sub_objs = True  # type: ignore[attr-defined]


class StoredResponses(models.QuerySet["StoredResponse"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete these rows, and count them out of what their tenants hold."""
        deleted = 0
        with transaction.atomic(using=self.db):
            held = StoredBytes.held(self.order_by().values_list("tenant_id", flat=True).distinct(), self.db)
            for tenant_id in held:
                mine = self.filter(tenant_id=tenant_id)
                freed = mine.aggregate(all=Sum("size"))["all"] or 0
                deleted += models.QuerySet.delete(mine)[0]
                StoredBytes.objects.using(self.db).filter(tenant_id=tenant_id).update(bytes=F("bytes") - freed)
        return deleted, {"tenants.StoredResponse": deleted}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class StoredResponse(models.Model):
    """A response that the gateway keeps for an upstream that cannot, with the input of its turn. Both are sealed in
    ``content`` and no column tells a word of them."""

    tenant = models.ForeignKey(
        "tenants.Tenant", with_its_tenant, related_name="responses", db_index=False, help_text="Whose it is."
    )
    response_id = models.CharField(max_length=255, verbose_name="id", help_text="The id that the client was given.")
    previous_id = models.CharField(
        max_length=255, blank=True, verbose_name="previous", help_text="The response that it goes on from."
    )
    model = models.CharField(max_length=255, blank=True, help_text="The model that the client asked for.")
    route = models.CharField(max_length=255, blank=True, help_text="The route that it took.")
    size = models.PositiveIntegerField(help_text="Bytes of its content as it is stored: compressed and encrypted.")
    content = models.BinaryField()
    created_at = models.DateTimeField(verbose_name="created", help_text="When it was made (UTC).")
    expires_at = models.DateTimeField(
        verbose_name="expires", db_index=True, help_text="From this moment (UTC) it is not found; then it is deleted."
    )

    objects = StoredResponses.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [models.UniqueConstraint(fields=("response_id", "tenant"), name="stored_response_owner")]
        indexes = [models.Index(fields=("tenant", "expires_at"), name="stored_response_expiry")]

    def __str__(self) -> str:
        return self.response_id

    def delete(self, *_: Any, **__: Any) -> tuple[int, dict[str, int]]:
        return type(self).objects.filter(pk=self.pk).delete()


class StoredBytes(models.Model):
    """What a tenant's stored responses take, always exactly: to sum them before each is kept would read them all."""

    tenant = models.OneToOneField("tenants.Tenant", with_its_tenant, primary_key=True, related_name="+")
    bytes = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.bytes:,}"

    @staticmethod
    def held(tenant_ids: Iterable[int], using: str) -> dict[int, int]:
        """By tenant, of those that exist. Locks the tenants' rows until the transaction ends: nobody adds to or takes
        from what they hold, and none is deleted."""
        tenants = apps.get_model("tenants", "Tenant")._base_manager.using(using).filter(pk__in=tenant_ids)
        there = list(tenants.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        kept = dict(StoredBytes.objects.using(using).filter(tenant_id__in=there).values_list("tenant_id", "bytes"))
        return {tenant_id: kept.get(tenant_id, 0) for tenant_id in there}

    @staticmethod
    def keep(held: dict[int, int], using: str) -> None:
        """Set them, within the same transaction."""
        rows = [StoredBytes(tenant_id=tenant_id, bytes=size) for tenant_id, size in held.items()]
        StoredBytes.objects.using(using).bulk_create(
            rows, update_conflicts=True, unique_fields=("tenant",), update_fields=("bytes",)
        )


class Chore(models.Model):
    """Regular work that one worker of all does: when it was last begun."""

    name = models.CharField(max_length=50, primary_key=True)
    begun_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
