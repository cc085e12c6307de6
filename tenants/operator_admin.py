"""The admin of those who operate the gateway: users, groups and their API tokens.

Nobody can give away more than they have: only a superuser makes superusers, grants permissions, edits a superuser,
or makes a token that acts as somebody else.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.issuing import Rotates
from tenants.key_page import issued_token
from tenants.models import OperatorToken

admin.site.unregister(User)
admin.site.unregister(Group)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter = ("is_staff", "is_superuser", "is_active")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        dates = ("last_login", "date_joined")
        return dates if _is_superuser(request) else (*dates, "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or not obj.is_superuser or _is_superuser(request)
        )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (
            obj is None or not obj.is_superuser or _is_superuser(request)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found = super().get_deleted_objects(objs, request)
        if any(user.is_superuser for user in objs) and not _is_superuser(request):
            found[2].add("superuser")
        return found


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> tuple[str, ...]:
        return () if _is_superuser(request) else ("permissions",)


@admin.register(OperatorToken)
class OperatorTokenAdmin(Rotates):
    issued = staticmethod(issued_token)
    list_display = ("name", "user", "prefix", "enabled", "expires_at", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    fields = ("user", "name", "prefix", "enabled", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: OperatorToken | None = None) -> tuple[str, ...]:
        return ("prefix", "user") if obj else ("prefix",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OperatorToken]:
        tokens = OperatorToken.objects.all()
        return tokens if _is_superuser(request) else tokens.filter(user_id=request.user.pk or 0)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        users = User.objects.filter(is_active=True)
        kwargs["queryset"] = users if _is_superuser(request) else users.filter(pk=request.user.pk or 0)
        kwargs["initial"] = request.user.pk
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field
