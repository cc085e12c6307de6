"""The admin's list of stored responses: whose, how large and how old. What is in them is not even loaded."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from unfold.admin import ModelAdmin

from tenants.models import StoredResponse
from tenants.read_only import LongList
from tenants.usage_filters import TenantFilter


@admin.register(StoredResponse)
class StoredResponseAdmin(LongList, ModelAdmin):  # type: ignore[misc]
    list_display = ("response_id", "tenant", "model", "bytes_stored", "created_at", "expires_at")
    list_select_related = ("tenant",)
    list_filter = (TenantFilter,)
    search_fields = ("response_id__exact",)
    search_help_text = "A whole response id"
    fields = ("response_id", "tenant", "previous_id", "model", "route", "size", "created_at", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredResponse]:
        found: QuerySet[StoredResponse] = super().get_queryset(request).defer("content")
        return found

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="size")
    def bytes_stored(self, row: StoredResponse) -> str:
        return filesizeformat(row.size)
