"""The admin of the API tokens of those who operate the gateway.

Nobody can give away more than they have: only a superuser makes a token that acts as somebody else.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest

from tenants.issuing import Rotates
from tenants.key_page import issued_token
from tenants.models import OperatorToken

User: Any = get_user_model()  # the project's own


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


@admin.register(OperatorToken)
class OperatorTokenAdmin(Rotates):
    issued = staticmethod(issued_token)
    list_display = ("name", "user", "prefix", "enabled", "expires_at", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", f"user__{User.USERNAME_FIELD}")
    fields = ("user", "name", "prefix", "enabled", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: OperatorToken | None = None) -> tuple[str, ...]:
        return ("prefix", "user") if obj else ("prefix",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OperatorToken]:
        tokens = OperatorToken.objects.all()
        return tokens if _is_superuser(request) else tokens.filter(user_id=request.user.pk or 0)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        users = User._default_manager.all()
        if any(field.name == "is_active" for field in User._meta.fields):
            users = users.filter(is_active=True)
        kwargs["queryset"] = users if _is_superuser(request) else users.filter(pk=request.user.pk or 0)
        kwargs["initial"] = request.user.pk
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field
